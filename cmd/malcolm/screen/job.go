//go:build linux || darwin

package screen

import (
	"os"
	"syscall"
	"unsafe"
)

// inForeground reports whether this process may draw on a terminal. It may not
// if the shell runs it in the background, behind its prompt.
func inForeground(file *os.File) bool {
	var group int32 // pid_t
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno != 0 || int(group) == syscall.Getpgrp()
}
