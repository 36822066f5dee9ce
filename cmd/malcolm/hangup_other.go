//go:build !unix

package main

// hasTerminal: SIGHUP is the end of a console.
func hasTerminal() bool { return true }
