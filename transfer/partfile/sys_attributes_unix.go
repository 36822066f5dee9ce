//go:build unix

package partfile

import (
	"io/fs"
	"os"
	"syscall"
)

func attributesOf(info fs.FileInfo) Attributes {
	st := info.Sys().(*syscall.Stat_t)
	return Attributes{Mode: modeOf(info), UID: int(st.Uid), GID: int(st.Gid)}
}

func chown(f *os.File, uid, gid int) error { return f.Chown(uid, gid) }
