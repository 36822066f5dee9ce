//go:build !unix && !windows

package main

import "os"

const unicodeByDefault = false

// canDraw is false: nothing is known of this system's terminals.
func canDraw(*os.File, func(string) string) bool { return false }

// onResume does nothing.
func onResume(func()) (stop func()) { return func() {} }
