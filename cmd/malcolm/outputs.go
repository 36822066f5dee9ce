package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"time"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/spool"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/localfile"
)

// lingerTime bounds the wait for the reader of stdout, and then of stderr, when
// a signal has ended the run.
const lingerTime = 500 * time.Millisecond

// outputs are stdout and stderr. A run never waits for their readers: they may
// be a full pipe, a terminal stopped by ^S, a slow disk.
type outputs struct {
	raw            io.Writer // stdout itself, for a file's bytes
	stdout, stderr *spool.Writer
	mute           bool            // stdout gets no lines
	abort          func(error)     // ends the run when nobody can read stdout or stderr; nil: it goes on
	quit           <-chan struct{} // closed when the run has to end; nil: never
	cause          func() error    // why it has to
}

// newOutputs returns the outputs of a run. leftOut says on stderr what is
// missing.
func newOutputs(sys system, leftOut func(spool.Gap) []byte) outputs {
	abort := sys.abort
	if abort == nil {
		abort = func(error) {}
	}
	o := outputs{raw: sys.stdout, abort: abort, quit: sys.quit, cause: sys.cause}
	o.stdout = spool.NewWriter(spool.Again(sys.stdout), spool.Options{
		Wait: sys.wait,
		Notice: func(g spool.Gap) []byte {
			return view.Line(view.Dropped(g))
		},
		Failed: func(err error) bool {
			abort(outputError("stdout", err))
			return false
		},
	})
	o.stderr = spool.NewWriter(spool.Again(sys.stderr), spool.Options{
		Wait:   sys.wait,
		Notice: leftOut,
		Failed: func(err error) bool { // a log on a full disk is no reason to end
			err = outputError("stderr", err)
			if isPipe(err) {
				abort(err)
			}
			return !isPipe(err)
		},
	})
	return o
}

// flush waits until everything written is read; false: it is not. It does not
// wait long when the run has to end.
func (o *outputs) flush() bool {
	out := o.stdout.Flush(o.quit, lingerTime)
	err := o.stderr.Flush(o.quit, lingerTime)
	return out && err
}

// leftOut is the line that stands for lines left out.
func (t *terminal) leftOut(g spool.Gap) []byte {
	return t.lineOf(slog.LevelWarn, fmt.Sprintf("%s and %s are left out here: stderr did not take them in time",
		human.Plural(g.Events, "line", "lines"), human.Plural(g.Reports, "status line", "status lines")))
}

// A pipeError says that nobody reads an output any more.
type pipeError struct{ name string }

func (e *pipeError) Error() string { return "nobody reads " + e.name + " any more" }

// A writeError says that an output cannot be written.
type writeError struct{ err *localfile.Error }

func (e *writeError) Error() string { return e.err.Error() }

func (e *writeError) Unwrap() error { return e.err }

// outputError sorts why stdout or stderr cannot be written; nil stays nil.
func outputError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return &pipeError{name}
	}
	return &writeError{&localfile.Error{Op: "write to", Path: name, Err: err}}
}

func isPipe(err error) bool {
	_, ok := errors.AsType[*pipeError](err)
	return ok
}

// isOutputError reports whether a run ended because an output could not be
// written.
func isOutputError(err error) bool {
	_, ok := errors.AsType[*writeError](err)
	return ok || isPipe(err)
}
