//go:build unix

package localfile

import (
	"io/fs"
	"syscall"
)

const (
	openNonblock = syscall.O_NONBLOCK
	openNoFollow = syscall.O_NOFOLLOW
)

// An owner tells users of the system apart.
type owner uint32

func ownerOf(info fs.FileInfo) owner {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return owner(st.Uid)
}
