package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"malcolm/cmd/malcolm/human"
)

const (
	// slowEndTime after a signal, the user is told that the end takes long.
	slowEndTime = 3 * time.Second
	// endTime after a signal, a run that has not ended is left behind. A
	// system call that hangs, such as one to a dead NFS server, cannot be
	// ended; what it would have kept is fetched again.
	endTime = 30 * time.Second
)

// An overdueError says that a run that had to end was left behind.
type overdueError struct{ cause error }

func (e *overdueError) Error() string {
	return fmt.Sprintf("%v, and not done after %s: a disk does not answer", e.cause, human.WholeSeconds(endTime))
}

func (e *overdueError) Unwrap() error { return e.cause }

// watchEnd has exit end the process if the run does not end after ctx has
// ended, until stop is called.
func (t *terminal) watchEnd(ctx context.Context, args []string, exit func(code int)) (stop func()) {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	done := make(chan struct{})
	stopWaiting := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, context.Canceled) { // the run has ended
			return
		}
		slow, end := time.NewTimer(slowEndTime), time.NewTimer(endTime)
		defer slow.Stop()
		defer end.Stop()
		for {
			select {
			case <-done:
				return
			case <-slow.C:
				if command != "serve" { // serve has said how long it may take
					t.Say("not done yet: a disk may be slow; ^C again ends at once")
				}
			case <-end.C:
				t.leaveBehind(&overdueError{cause}, command, args)
				exit(exitCode(cause))
				return
			}
		}
	})
	return func() {
		stopWaiting()
		close(done)
	}
}

// leaveBehind tells of a run that does not end. It touches no disk.
func (t *terminal) leaveBehind(err error, command string, args []string) {
	var advice []string
	if command == "get" {
		advice = append(advice, "to continue: "+resumeCommand(args))
	}
	t.fail(err)
	for _, h := range advice {
		t.Hint(h)
	}
	t.Emit(errorOf(err, advice))
	t.flush()
}
