// Package view shows what happened: as lines of text, bars, a map, events of
// --json, and receipts. It decides what is said. Its caller writes that, and
// knows exit codes and hints.
//
// A view is made by its New function, told each event, and told the end once.
// All methods of one view are called by one goroutine at a time. Views have no
// goroutines of their own but those that ask how things stand at an interval.
package view

import (
	"time"

	"malcolm/cmd/malcolm/screen"
)

// A Printer writes what views say. Its methods may be called by any goroutine,
// and do not wait for who reads, but where they say so.
type Printer interface {
	// Result writes a line to stdout; with --json, nothing. It waits for the
	// reader.
	Result(line string)
	// Emit writes an event to stdout, with --json; [ClassOf] says how.
	Emit(e Event)

	// The others write a line to stderr. Report's says how things stand, until
	// the next one. Explain's is for -v alone.
	Say(format string, args ...any)
	Report(format string, args ...any)
	Explain(format string, args ...any)
	Warn(format string, args ...any)
	// WarnHint is what to do about the warning before it.
	WarnHint(text string)
	// Fail says why a run ends, Hint what to do about that.
	Fail(err error)
	Hint(text string)

	// Draw draws what render returns below all lines, many times a second,
	// until stop is called, which draws a last frame that stays. render is
	// called by another goroutine, with the columns and rows of the terminal.
	Draw(render func(width, height int) screen.Frame) (stop func())
}

// A Terminal is where views show what happened.
type Terminal struct {
	Printer
	screen.Look      // of stderr
	Drawn       bool // frames can be drawn: they take the place of lines at intervals
	JSON        bool // events are written
	Debug       bool // what only helps to find faults is said
}

// slowTime is how long hashing, checking or connecting takes before it gets a
// bar.
const slowTime = time.Second

// A look draws what this program shows, with what a terminal can show.
type look struct{ screen.Look }

func (t Terminal) look() look { return look{t.Look} }
