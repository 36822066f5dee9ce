//go:build linux || darwin

package main

import (
	"os"
	"syscall"
)

// isLost reports whether an output loses what is written, although nobody asked
// for that. Go opens /dev/null, for reading and writing, in the place of a
// closed output. A shell's > /dev/null is for writing only.
func isLost(output *os.File) bool {
	if output == nil {
		return false
	}
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := output.Stat()
	if err != nil || !os.SameFile(info, null) {
		return false
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, output.Fd(), syscall.F_GETFL, 0)
	return errno == 0 && flags&syscall.O_ACCMODE == syscall.O_RDWR
}
