package transport

import (
	"errors"
	"slices"
	"syscall"
)

// isErrno reports whether err wraps one of set. It compares numbers, since on
// Windows syscall's own names for socket errors are not the system's.
func isErrno(err error, set []syscall.Errno) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(set, errno)
}

// isSystem reports whether err is an error of the operating system.
func isSystem(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}
