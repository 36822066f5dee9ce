package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"malcolm/cmd/malcolm/human"
)

const (
	// slowEndTime is how long after a signal it is said that the end takes long.
	slowEndTime = 3 * time.Second
	// endTime is how long after a signal a run ends that does not end by itself. A
	// call of the system that hangs, such as one of a dead NFS server, cannot be
	// ended; what it would have kept is fetched again.
	endTime = 30 * time.Second
)

// An overdueError says that a run that had to end was left behind.
type overdueError struct{ cause error }

func (e *overdueError) Error() string {
	return fmt.Sprintf("%v, and not done after %s: a disk does not answer", e.cause, human.WholeSeconds(endTime))
}

func (e *overdueError) Unwrap() error { return e.cause }

// watchEnd lets exit end the process when ctx has ended and the run does not, until
// stop is called.
func (t *terminal) watchEnd(ctx context.Context, args []string, exit func(code int)) (stop func()) {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	done := make(chan struct{})
	stopWaiting := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, context.Canceled) { // that is the end
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
				if command != "serve" { // which has said how long it may take
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
