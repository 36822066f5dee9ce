package main

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestRunThatDoesNotEnd: after a signal a run has its time. Then it is left
// behind with the signal's exit code, in words and events.
func TestRunThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, stderr := newTranscript(), newTranscript()
		term := newTerminal(system{stdout: out, stderr: stderr, wait: hangTime, getenv: utf8Locale}, "never")
		term.use(OutputFlags{JSON: true}, false)
		ctx, cancel := context.WithCancelCause(t.Context())
		var code atomic.Int64
		code.Store(-1)
		defer term.watchEnd(ctx, []string{"get", "h:1"}, func(c int) { code.Store(int64(c)) })()
		time.Sleep(time.Hour)
		cancel(&signalError{signal: syscall.SIGTERM})
		time.Sleep(endTime - 1)
		synctest.Wait()
		if got, want := stderr.String(), "not done yet: a disk may be slow; ^C again ends at once\n"; got != want || code.Load() != -1 {
			t.Errorf("before its time: exit code %d, %q, want %q", code.Load(), got, want)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if code := code.Load(); code != 143 {
			t.Errorf("exit code %d, want 143", code)
		}
		for _, want := range []string{"malcolm: error: terminated, and not done after 30s: a disk does not answer\n", "malcolm: hint: to continue: malcolm get -r h:1\n"} {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%q lacks %q", stderr.String(), want)
			}
		}
		if want := `{"event":"error","v":1,"exit":143,"kind":"interrupted",`; !strings.HasPrefix(out.String(), want) {
			t.Errorf("stdout %q, want %s", out.String(), want)
		}
	})
}

// TestRunThatEnds: a run that ends in time, or without a signal, is left alone.
func TestRunThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term, _, stderr := newTestTerminal("never")
		for _, cause := range []error{nil, &signalError{signal: syscall.SIGINT}} {
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := term.watchEnd(ctx, []string{"get"}, func(c int) { t.Errorf("exits with %d", c) })
			cancel(cause)
			time.Sleep(slowEndTime - 1)
			stop()
			time.Sleep(time.Hour)
		}
		if stderr.Len() > 0 {
			t.Errorf("it says %q", stderr)
		}
	})
}
