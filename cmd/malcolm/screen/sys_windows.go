package screen

import (
	"os"
	"syscall"
)

const unicodeByDefault = true

var setConsoleMode = syscall.NewLazyDLL("kernel32.dll").NewProc("SetConsoleMode")

// knowsSequences makes a console understand the sequences that draw frames.
// Those before Windows 10 cannot.
func knowsSequences(file *os.File, _ func(string) string) bool {
	const virtualTerminalProcessing = 4
	var mode uint32
	console := syscall.Handle(file.Fd())
	if err := syscall.GetConsoleMode(console, &mode); err != nil {
		return false
	}
	done, _, _ := setConsoleMode.Call(uintptr(console), uintptr(mode|virtualTerminalProcessing))
	return done != 0
}

// onResume does nothing: nothing is stopped by ^Z.
func onResume(func()) (stop func()) { return func() {} }
