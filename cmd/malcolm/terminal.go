package main

// The rules of the terminal.
//
// stdout carries what was asked for and nothing else: the path of the finished
// file, help, the version. Everything else goes to stderr, through this file.
//
// Text is in lower case and in sentences of one line. An error begins with
// "malcolm: error: ", advice on what to do next with "malcolm: hint: ", what
// goes wrong without ending the run with "malcolm: warning: "; all other lines
// have no prefix. Names that somebody else chose are quoted.
//
// Every interval there is one line for each server whose numbers changed and
// one for the total; nothing while nothing changes.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// A terminal writes lines for people. Any goroutine may call its methods.
type terminal struct {
	palette
	mu       sync.Mutex
	in       io.Reader
	out, err io.Writer
}

func newTerminal(sys system, mode colorMode) *terminal {
	file, _ := sys.stderr.(*os.File)
	return &terminal{
		palette: palette{on: mode.enabled(file, sys.getenv)},
		in:      sys.stdin,
		out:     sys.stdout,
		err:     sys.stderr,
	}
}

// result writes a line to stdout.
func (t *terminal) result(line string) { t.line(t.out, line) }

// say writes a line to stderr.
func (t *terminal) say(format string, args ...any) {
	t.line(t.err, fmt.Sprintf(format, args...))
}

func (t *terminal) warn(format string, args ...any) {
	t.line(t.err, t.yellow("malcolm: warning: ")+fmt.Sprintf(format, args...))
}

func (t *terminal) fail(err error) { t.line(t.err, t.red("malcolm: error: ")+err.Error()) }

func (t *terminal) hint(text string) { t.line(t.err, t.dim("malcolm: hint: ")+text) }

func (t *terminal) line(w io.Writer, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintln(w, line)
}

// finish reports how a command ended and returns the exit code.
func (t *terminal) finish(err error) int {
	if err == nil {
		return exitDone
	}
	var quiet *reportedError
	if !errors.As(err, &quiet) {
		t.fail(errors.New(describe(err)))
		for _, h := range hints(err) {
			t.hint(h)
		}
	}
	return exitCode(err)
}

// A reportedError has been told to the user already.
type reportedError struct{ err error }

func (e *reportedError) Error() string { return e.err.Error() }

func (e *reportedError) Unwrap() error { return e.err }
