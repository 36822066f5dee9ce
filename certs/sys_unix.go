//go:build unix

package certs

import "golang.org/x/sys/unix"

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

// passing reports whether err goes away by itself when another process is
// done with the file: open files are in nobody's way here.
func passing(error) bool { return false }
