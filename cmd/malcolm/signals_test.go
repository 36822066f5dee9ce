package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// sendSelf sends this process a signal that withSignals catches.
func sendSelf(t *testing.T, s syscall.Signal) {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// TestSignals: the first one cancels with its cause.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send itself a signal there")
	}
	defer hearSignals()()
	for s, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		exited := make(chan int, 1)
		ctx, stop := withSignals(context.Background(), func(code int) { exited <- code })
		sendSelf(t, s)
		select {
		case <-ctx.Done():
		case <-time.After(hangTime):
			t.Fatalf("%v does not cancel", s)
		}
		if got := exitCode(context.Cause(ctx)); got != want {
			t.Errorf("%v: exit code %d, want %d", s, got, want)
		}
		select {
		case code := <-exited:
			t.Errorf("%v: the first one exits, with %d", s, code)
		default:
		}
		stop()
	}
}

// TestSecondSignal: a second signal exits at once. One right after the first,
// as timeout and systemd send it, is the same request.
func TestSecondSignal(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		first os.Signal
		again os.Signal
		exits int // 0: it does not exit
	}{
		{0, syscall.SIGINT, syscall.SIGINT, 0},
		{sameRequest, syscall.SIGTERM, syscall.SIGHUP, 0},
		{sameRequest + 1, syscall.SIGINT, syscall.SIGINT, 130},
		{time.Second, syscall.SIGTERM, syscall.SIGTERM, 143},
		{time.Hour, syscall.SIGINT, syscall.SIGHUP, 129},
	} {
		synctest.Test(t, func(t *testing.T) {
			signals, done, exited := make(chan os.Signal), make(chan struct{}), 0
			ctx, cancel := context.WithCancelCause(t.Context())
			defer close(done)
			go obey(signals, done, nil, cancel, func(code int) { exited = code })
			signals <- c.first
			<-ctx.Done()
			time.Sleep(c.after)
			signals <- c.again
			synctest.Wait()
			if exited != c.exits {
				t.Errorf("%v, and %v %v later: exit code %d, want %d", c.first, c.again, c.after, exited, c.exits)
			}
		})
	}
}

// hearSignals makes this process and its children hear the signals that were
// ignored at its start, until quiet is called: tests may be run by nohup or in
// the background.
func hearSignals() (quiet func()) {
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return func() { signal.Stop(signals) }
}

// TestSignalsStop: stop ends the context and does not speak of a signal.
func TestSignalsStop(t *testing.T) {
	ctx, stop := withSignals(context.Background(), func(code int) { t.Errorf("exits with %d", code) })
	if err := ctx.Err(); err != nil {
		t.Errorf("before any signal: %v", err)
	}
	stop()
	if got := context.Cause(ctx); got != context.Canceled {
		t.Errorf("cause %v, want %v", got, context.Canceled)
	}
}

func TestSignalErrorWords(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		words := (&signalError{signal: s}).Error()
		if words == "" || seen[words] {
			t.Errorf("%v: %q, want words of its own", s, words)
		}
		seen[words] = true
	}
}
