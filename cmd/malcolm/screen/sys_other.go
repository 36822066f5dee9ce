//go:build !unix && !windows

package screen

import "os"

const unicodeByDefault = false

// knowsSequences is false: nothing is known of this system's terminals.
func knowsSequences(*os.File, func(string) string) bool { return false }

// onResume does nothing.
func onResume(func()) (stop func()) { return func() {} }
