//go:build unix

package main

import (
	"os"
	"syscall"
)

// hasTerminal reports whether a terminal controls the process. If so, SIGHUP
// means that the terminal is gone.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
