package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"malcolm/cmd/malcolm/human"
)

const (
	// After a signal the user is told after slowEndTime that the end takes
	// long.
	slowEndTime = 3 * time.Second
	// A run that has not ended endTime after a signal is left behind. A
	// system call that hangs, such as one to a dead NFS server, cannot be
	// ended. What the run would have kept is fetched again.
	endTime = 30 * time.Second
)

// An overdueError says that a run that had to end was left behind.
type overdueError struct{ cause error }

func (e *overdueError) Error() string {
	return fmt.Sprintf("%v, and not done after %s: a disk does not answer", e.cause, human.WholeSeconds(endTime))
}

func (e *overdueError) Unwrap() error { return e.cause }

// watchEnd calls exit if the run does not end in time after ctx has ended. stop
// ends the watching.
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
		advice = append(advice, "to continue: "+resumeCommand(t.shown(args)))
	}
	t.fail(err)
	for _, h := range advice {
		t.Hint(h)
	}
	t.Emit(errorOf(err, advice))
	t.flush()
}
