package main

import (
	"errors"
	"os"

	"golang.org/x/term"
)

// A colorMode is the value of --color.
type colorMode string

// The values of --color.
const (
	colorAuto   colorMode = "auto"
	colorAlways colorMode = "always"
	colorNever  colorMode = "never"
)

// ColorFlags are the flags of every command about colour.
type ColorFlags struct {
	Color     colorMode `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"Colour: auto, always or never. NO_COLOR is honoured."`
	ColorBool bool      `name:"color-printing" short:"c" help:"Colour even when not on a terminal: --color=always."`
}

func (f ColorFlags) mode() (colorMode, error) { return mergeColor(f.Color, f.ColorBool) }

// mergeColor joins --color and -c, which means always. The empty mode is auto.
// The error says that the two contradict each other.
func mergeColor(mode colorMode, printing bool) (colorMode, error) {
	if mode == "" {
		mode = colorAuto
	}
	if !printing {
		return mode, nil
	}
	if mode == colorNever {
		return "", errors.New("-c and --color=never contradict each other")
	}
	return colorAlways, nil
}

// enabled reports whether colour goes to file. In auto it does when file is a
// terminal, NO_COLOR is unset or empty (https://no-color.org) and TERM is not
// "dumb"; an explicit mode is stronger than both. A nil file is no terminal.
// getenv is [os.Getenv] or a test's stand-in.
func (m colorMode) enabled(file *os.File, getenv func(string) string) bool {
	switch m {
	case colorAlways:
		return true
	case colorNever:
		return false
	}
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb" &&
		isTerminal(file)
}

// isTerminal reports whether file is open and a terminal.
func isTerminal(file *os.File) bool {
	return file != nil && term.IsTerminal(int(file.Fd()))
}

// A palette colours text for a terminal. Its zero value leaves text as it is.
// Styles nest; text must carry no escape sequences of others.
type palette struct{ on bool }

func (p palette) bold(s string) string   { return p.wrap("1", s, "22") }
func (p palette) dim(s string) string    { return p.wrap("2", s, "22") }
func (p palette) red(s string) string    { return p.wrap("31", s, "39") }
func (p palette) green(s string) string  { return p.wrap("32", s, "39") }
func (p palette) yellow(s string) string { return p.wrap("33", s, "39") }

// wrap puts s between two SGR sequences (ECMA-48, 8.3.117).
func (p palette) wrap(begin, s, end string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + begin + "m" + s + "\x1b[" + end + "m"
}
