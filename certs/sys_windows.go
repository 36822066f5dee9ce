package certs

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

// openNonblock is not needed: opening never waits here.
const openNonblock = 0

// isOurs cannot tell: Stat returns no owner here.
func isOurs(fs.FileInfo) bool { return true }

// tryLock takes the exclusive lock of an open file, or returns errLocked.
func tryLock(fd uintptr) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(fd), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}

// passing reports whether err will pass when another process is done with the
// file: while one reads it, another cannot replace it.
func passing(err error) bool {
	return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
}
