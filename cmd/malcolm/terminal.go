package main

// The rules of the terminal.
//
// stdout carries what was asked for and nothing else: the path of the finished
// file, help, the version. Everything else goes to stderr, through this file.
// Package view puts what happened into words, and writes through a terminal
// too.
//
// Text is in lower case and in sentences of one line. An error begins with
// "malcolm: error: ", advice on what to do next with "malcolm: hint: ", a
// problem that does not end the run with "malcolm: warning: "; all other lines
// have no prefix. Names that somebody else chose are quoted. If no person
// watches, the lines of a long command begin with the time (see
// [OutputFlags.isTimed]).
//
// Each interval writes one line for each server whose numbers changed, and one
// for the total. While nothing changes, it writes nothing. On a terminal that
// can be drawn on, a frame replaces these lines (see [screen.Screen]): all
// other lines scroll above it, and the last frame stays.

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"malcolm/cmd/malcolm/config"
	"malcolm/cmd/malcolm/metrics"
	"malcolm/cmd/malcolm/screen"
	"malcolm/cmd/malcolm/spool"
	"malcolm/cmd/malcolm/view"
	"malcolm/transport"
)

// A terminal writes lines for people. Any goroutine may call its methods.
type terminal struct {
	screen.Look // of stderr
	flags       OutputFlags
	log         *slog.Logger // what stderr gets
	least       slog.Level   // least level that is written
	debug       bool         // MALCOLM_DEBUG is set: say what helps only to find bugs
	outputs
	records

	screen  *os.File // stderr, if it is a terminal to draw on; else nil
	will    *screen.LastWill
	in      io.Reader
	getenv  func(string) string
	configs []config.Place // where config files may be

	mu   sync.Mutex
	said sink // where lines for stderr go: a screen, or stderr itself
}

// records are what a command writes besides its output; nil: not wanted.
type records struct {
	receipt *view.Receipt // nil also if it could not be written
	sums    *sumsFile
	qlog    *transport.QLog
	metrics *metrics.Metrics
}

// A sink takes lines and never waits for their reader.
type sink interface {
	Put(spool.Class, []byte)
}

func newTerminal(sys system, mode screen.ColorMode) *terminal {
	t := &terminal{Look: screen.LookOf(sys.getenv), in: sys.stdin, will: sys.will, getenv: sys.getenv, configs: sys.configs, least: levelReport}
	t.debug = sys.getenv("MALCOLM_DEBUG") != ""
	t.outputs = newOutputs(sys, t.leftOut)
	t.said = t.stderr
	t.color(mode, sys)
	file, _ := sys.stderr.(*os.File)
	if screen.CanDraw(file, sys.getenv) {
		t.screen = file
	}
	t.log = slog.New(lineHandler{t: t})
	return t
}

// color turns stderr's colour on or off.
func (t *terminal) color(mode screen.ColorMode, sys system) {
	file, _ := sys.stderr.(*os.File)
	t.On = mode.Enabled(file, sys.getenv)
}

// Result writes a line to stdout. With --json, which writes events there, it
// does nothing. On a terminal with bars it writes the line above them.
func (t *terminal) Result(line string) {
	if t.flags.JSON || t.mute {
		return
	}
	text := []byte(t.inLocale(line) + "\n")
	if to := t.drawn(); to != nil {
		to.Put(spool.Result, text)
		return
	}
	t.stdout.PutWait(text, t.quit)
}

// drawn returns the screen that is drawn on the terminal to which stdout goes;
// nil: stdout goes elsewhere, or nothing is drawn.
func (t *terminal) drawn() *screen.Screen {
	if file, ok := t.raw.(*os.File); !ok || !screen.IsTerminal(file) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s, _ := t.said.(*screen.Screen)
	return s
}

// Say writes a line to stderr.
func (t *terminal) Say(format string, args ...any) {
	t.tell(slog.LevelInfo, fmt.Sprintf(format, args...))
}

// Emit writes an event to stdout, with --json.
func (t *terminal) Emit(e view.Event) {
	if !t.flags.JSON {
		return
	}
	if class, wait := view.ClassOf(e); wait {
		t.stdout.PutWait(view.Line(e), t.quit)
	} else {
		t.stdout.Put(class, view.Line(e))
	}
}

// inLocale writes malcolm's own characters beyond ASCII in the locale's. Names
// stay as they are, so that they can be pasted.
func (t *terminal) inLocale(text string) string {
	if t.Unicode {
		return text
	}
	return strings.ReplaceAll(text, "…", "...")
}

// Report writes the status to stderr, valid until the next line. Some are left
// out when stderr is read slowly.
func (t *terminal) Report(format string, args ...any) {
	t.tell(levelReport, fmt.Sprintf(format, args...))
}

// Explain writes a line to stderr with -v.
func (t *terminal) Explain(format string, args ...any) {
	t.tell(slog.LevelDebug, fmt.Sprintf(format, args...))
}

func (t *terminal) Warn(format string, args ...any) {
	t.tell(slog.LevelWarn, fmt.Sprintf(format, args...))
}

// WarnHint is the hint for a warning.
func (t *terminal) WarnHint(text string) { t.tell(levelWarnHint, text) }

func (t *terminal) fail(err error) { t.tell(slog.LevelError, err.Error()) }

// Fail says why a run ends. A signal is not an error.
func (t *terminal) Fail(err error) {
	if s, ok := errors.AsType[*signalError](err); ok {
		t.Say("%s", s.Error())
	} else {
		t.fail(errors.New(describe(err)))
	}
}

// Hint is the hint for an error.
func (t *terminal) Hint(text string) { t.tell(levelHint, text) }

// finish reports how a command ended and returns the exit code.
func (t *terminal) finish(err error) int {
	if failed := t.qlog.Close(); failed != nil {
		t.Warn("%v", failed)
	}
	if err == nil {
		return exitDone
	}
	if _, ok := errors.AsType[*pipeError](err); ok {
		return exitPipe
	}
	advice := hints(err)
	if told, ok := errors.AsType[*reportedError](err); ok {
		advice = append(hints(told.err), told.more...)
	} else {
		t.Fail(err)
		for _, h := range advice {
			t.Hint(h)
		}
	}
	if t.receipt != nil {
		if failed := t.receipt.Write(errorOf(err, advice)); failed != nil {
			t.Warn("%v", failed)
		}
	}
	t.Emit(errorOf(err, advice))
	return exitCode(err)
}

// A reportedError has already been told to the user.
type reportedError struct {
	err  error
	more []string // hints beyond the error's own
}

func (e *reportedError) Error() string { return e.err.Error() }

func (e *reportedError) Unwrap() error { return e.err }
