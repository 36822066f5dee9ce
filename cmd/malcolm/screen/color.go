package screen

import (
	"os"

	"golang.org/x/term"
)

// A ColorMode is the value of --color.
type ColorMode string

// The values of --color.
const (
	ColorAuto   ColorMode = "auto"
	ColorAlways ColorMode = "always"
	ColorNever  ColorMode = "never"
)

// Enabled reports whether colour goes to file. In auto it does if file is a
// terminal, NO_COLOR is unset or empty (https://no-color.org) and TERM is not
// "dumb". An explicit mode overrides both. A nil file is no terminal. getenv is
// [os.Getenv] or a test's replacement.
func (m ColorMode) Enabled(file *os.File, getenv func(string) string) bool {
	switch m {
	case ColorAlways:
		return true
	case ColorNever:
		return false
	}
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" &&
		IsTerminal(file)
}

// IsTerminal reports whether file is open and a terminal.
func IsTerminal(file *os.File) bool {
	return file != nil && term.IsTerminal(int(file.Fd()))
}

// A Palette colours text for a terminal. Its zero value does not change text.
// Styles nest; text must not contain other escape sequences.
type Palette struct{ On bool }

func (p Palette) Bold(s string) string   { return p.wrap("1", s, "22") }
func (p Palette) Dim(s string) string    { return p.wrap("2", s, "22") }
func (p Palette) Red(s string) string    { return p.wrap("31", s, "39") }
func (p Palette) Green(s string) string  { return p.wrap("32", s, "39") }
func (p Palette) Yellow(s string) string { return p.wrap("33", s, "39") }

// wrap puts s between two SGR sequences (ECMA-48, 8.3.117).
func (p Palette) wrap(begin, s, end string) string {
	if !p.On || s == "" {
		return s
	}
	return "\x1b[" + begin + "m" + s + "\x1b[" + end + "m"
}
