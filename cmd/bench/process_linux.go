package main

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate keeps the terminal's ^C from a program, which is stopped in order
// instead. It ends the program when this process is killed.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// kill ends a program and its children at once.
func kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// maxRSS returns the most that a program had resident, in bytes; or this
// process at the fork, if that was more.
func maxRSS(s *os.ProcessState) int64 {
	if usage, ok := s.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return unknown
}
