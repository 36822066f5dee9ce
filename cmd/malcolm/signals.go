package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// A signalError is the cause of the end of a run that a signal has ended.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string {
	switch e.signal {
	case syscall.SIGINT:
		return "interrupted"
	case syscall.SIGTERM:
		return "terminated"
	}
	return "the terminal hung up"
}

// exitCode is what a shell reports for a program that the signal ended.
func (e *signalError) exitCode() int { return 128 + int(e.signal) }

// sameRequest is how long after the first signal another one counts as the same
// request. Some programs signal a process and its group (timeout), or send
// SIGHUP right after SIGTERM (systemd). A person who means "at once" is slower.
const sameRequest = 200 * time.Millisecond

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP
// cancels, with a [*signalError] as its cause. A second signal, later than
// sameRequest, calls exit at once. stop ends the watching. A signal that was
// ignored at the start stays ignored: nohup, and a shell that starts a
// background job, ask for that. A SIGHUP that a command takes (see hangupsOf)
// does none of this.
func withSignals(parent context.Context, exit func(int)) (ctx context.Context, stop func()) {
	taken := new(hangups)
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, hangupsKey{}, taken))
	signal.Ignore(syscall.SIGPIPE) // writing then fails, which ends the run in order
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		// Go tells only of SIGINT and SIGHUP: its runtime handles
		// SIGTERM before main.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	done := make(chan struct{})
	go obey(signals, done, taken, cancel, exit)
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// obey cancels at the first signal that no command takes, and exits at a later
// one that is not the same request. It returns when done is closed.
func obey(signals <-chan os.Signal, done <-chan struct{}, taken *hangups, cancel context.CancelCauseFunc, exit func(int)) {
	var first time.Time
	for {
		select {
		case s := <-signals:
			if taken.pass(s) {
				continue
			}
			err := &signalError{signal: syscall.SIGINT}
			if number, ok := s.(syscall.Signal); ok {
				err.signal = number
			}
			switch {
			case first.IsZero():
				first = time.Now()
				cancel(err)
			case time.Since(first) > sameRequest:
				exit(err.exitCode())
			}
		case <-done:
			return
		}
	}
}
