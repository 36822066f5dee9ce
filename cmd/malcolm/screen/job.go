//go:build linux || darwin

package screen

import (
	"os"
	"syscall"
	"unsafe"
)

// inForeground reports whether a terminal is this process's to draw on: it is
// not when the shell runs it in the background, behind its prompt.
func inForeground(file *os.File) bool {
	var group int32 // pid_t
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno != 0 || int(group) == syscall.Getpgrp()
}
