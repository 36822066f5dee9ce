//go:build unix && !aix

package cache

import (
	"io/fs"
	"os"
	"syscall"
)

// openNonblock keeps an open from waiting for the other end of a FIFO that has
// replaced a file.
const openNonblock = syscall.O_NONBLOCK

func statusOf(info fs.FileInfo) (status, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return status{}, false
	}
	modified, changed := timesOf(st)
	return status{
		device: uint64(st.Dev), inode: uint64(st.Ino),
		modified: timespec{int64(modified.Sec), int64(modified.Nsec)},
		changed:  timespec{int64(changed.Sec), int64(changed.Nsec)},
	}, true
}

// ours reports whether a file or directory belongs to this process's user and
// nobody else may write to it.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}
