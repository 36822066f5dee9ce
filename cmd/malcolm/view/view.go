// Package view shows what happened: as lines of text, bars, a map, events of
// --json, and receipts. It decides what is said. Its caller writes that, and
// knows exit codes and hints.
//
// A view is made by its New function, told each event, and told the end once.
// One goroutine at a time calls a view's methods. A view's only goroutines ask
// for the status at an interval.
package view

import (
	"time"

	"malcolm/cmd/malcolm/screen"
)

// A Printer writes what views say. Any goroutine may call its methods. Only
// those that say so wait for the reader.
type Printer interface {
	// Result writes a line to stdout; with --json, nothing. It waits for
	// the reader.
	Result(line string)
	// Emit writes an event to stdout, with --json; [ClassOf] says how.
	Emit(e Event)

	// The others write a line to stderr. Report's is the status, valid
	// until the next one. Explain's is for -v only.
	Say(format string, args ...any)
	Report(format string, args ...any)
	Explain(format string, args ...any)
	Warn(format string, args ...any)
	// WarnHint says what to do about the warning before it.
	WarnHint(text string)
	// Fail says why a run ends, Hint what to do about it.
	Fail(err error)
	Hint(text string)

	// Draw draws what render returns below all lines, many times a second,
	// until stop is called. stop draws a last frame, which stays. Another
	// goroutine calls render, with the terminal's columns and rows.
	Draw(render func(width, height int) screen.Frame) (stop func())
}

// A Terminal is where views show what happened.
type Terminal struct {
	Printer
	screen.Look      // of stderr
	Drawn       bool // frames can be drawn: they replace the lines at intervals
	JSON        bool // write events
	Debug       bool // say what helps only to find bugs
}

// slowTime is how long hashing, checking or connecting takes before it gets a
// bar.
const slowTime = time.Second

// A painter draws malcolm's output with what a terminal can show.
type painter struct{ screen.Look }

func (t Terminal) painter() painter { return painter{t.Look} }
