package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// A signalError is the cause with which a run ends that a signal ended.
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

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP
// cancels, with a [*signalError] as its cause. A second one calls exit at once.
// stop ends the watching. A signal that was ignored when the program started
// stays ignored: nohup, and a shell that starts a background job, ask for that.
func withSignals(parent context.Context, exit func(int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signal.Ignore(syscall.SIGPIPE) // what is written then has an error, which ends the run in order
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		// Go tells of SIGINT and SIGHUP only: its runtime takes SIGTERM over before main.
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	done := make(chan struct{})
	go func() {
		for count := 0; ; count++ {
			select {
			case s := <-signals:
				err := &signalError{signal: syscall.SIGINT}
				if number, ok := s.(syscall.Signal); ok {
					err.signal = number
				}
				if count > 0 {
					exit(err.exitCode())
				}
				cancel(err)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
