//go:build !linux

package main

import (
	"os"
	"os/exec"
)

func isolate(*exec.Cmd) {}

func kill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

// maxRSS is not known: systems count it in different units.
func maxRSS(*os.ProcessState) int64 { return unknown }
