//go:build unix

package certs

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openNonblock keeps an open from waiting for the other end of a FIFO.
const openNonblock = syscall.O_NONBLOCK

// isOurs reports whether a file belongs to this process's user, or to the
// superuser, who can do anything anyway. For a superuser every file is ours.
func isOurs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || os.Geteuid() == 0 || st.Uid == 0 || int(st.Uid) == os.Geteuid()
}

// tryLock takes the exclusive lock of an open file, or returns errLocked.
func tryLock(fd uintptr) error {
	for {
		switch err := unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB); err {
		case unix.EINTR:
			// A signal came before anything was done.
		case unix.EWOULDBLOCK:
			return errLocked
		default:
			return err
		}
	}
}

// passing reports whether err will pass when another process is done with the
// file. Open files block nobody here.
func passing(error) bool { return false }
