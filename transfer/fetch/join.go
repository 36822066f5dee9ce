package fetch

import (
	"context"
	"time"

	"malcolm/transfer/pace"
)

// lastDisk bounds the wait for system calls under way once the user has ended
// the run. A disk that hangs, or a network file system whose server is gone,
// may hold them for hours.
const lastDisk = 1500 * time.Millisecond

// lastLook is one more short wait before the first call is left behind.
const lastLook = 100 * time.Millisecond

// A joiner waits for what runs beside the loop. Once the caller's context has
// ended and lastDisk is over, it leaves behind what still hangs in the system.
// What is left behind shares nothing that the loop reads later. Only the loop's
// goroutine uses a joiner.
type joiner struct {
	late context.Context // done when nothing is waited for any more
	end  func()          // ends what belongs to the joiner
	left bool            // something was left behind
}

// newJoiner returns the joiner of a run whose context is ctx.
func newJoiner(ctx context.Context) *joiner {
	late, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() {
		if pace.Sleep(late, lastDisk) == nil {
			cancel()
		}
	})
	return &joiner{late: late, end: func() {
		stop()
		cancel()
	}}
}

// wait returns when done is closed; false: what closes it was left behind.
func (j *joiner) wait(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
	}
	select {
	case <-done:
		return true
	case <-j.late.Done():
	}
	if !j.left { // what begins only now has a moment, too
		t := time.NewTimer(lastLook)
		defer t.Stop()
		select {
		case <-done:
			return true
		case <-t.C:
		}
	}
	j.left = true
	return false
}

// run runs f and waits for it; false: f was left behind.
func (j *joiner) run(f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return j.wait(done)
}
