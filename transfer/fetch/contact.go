package fetch

import (
	"math/rand/v2"
	"time"

	"malcolm/transfer/pace"
	"malcolm/transfer/source"
)

const (
	// firstPause, longestPause: see backOff. steadyTime is how long a server
	// must have been there for the pauses to begin anew.
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
	steadyTime   = 30 * time.Second
	// secondTry is how long after a try that failed the next one begins at the
	// earliest: the vote waits for it.
	secondTry = 100 * time.Millisecond
)

// run connects, asks what the source offers, and stays until the last connection
// has ended; then it tries again, after a pause that doubles each time.
func (c *contact) run() {
	var pause backOff
	for {
		begun := time.Now()
		failed, final := c.visit()
		if final || c.ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= steadyTime {
			pause = backOff{}
		}
		wait := pause.next()
		if failed {
			wait = max(wait, secondTry)
		}
		if pace.Sleep(c.ctx, wait) != nil {
			return
		}
	}
}

// visit is one try of a contact. It reports whether the try failed, and whether
// another one has no use, which it has told, too.
func (c *contact) visit() (failed, final bool) {
	fail := func(err error) (bool, bool) {
		c.tell.failed(err, source.IsFinal(err))
		return true, source.IsFinal(err)
	}
	way, err := c.source.Connect(c.ctx)
	if err != nil {
		return fail(err)
	}
	defer way.Close()
	c.tell.connected(way.Peer(), way.Traits())
	offer, err := way.Stat(c.ctx, source.Ask{Values: c.values.Load()}, c.tell.indexing)
	if err != nil {
		return fail(err)
	}
	select {
	case <-c.down: // of an earlier connection
	default:
	}
	c.tell.answered(way, offer)
	select {
	case <-way.Done():
		c.tell.ended(way, way.Err())
	case <-c.ctx.Done():
		return false, true
	}
	select {
	case <-c.down:
	case <-c.ctx.Done():
	}
	return false, false
}

// A backOff is the pauses between tries: none, then half a second, doubling.
// The zero backOff is ready to use.
type backOff struct{ last time.Duration }

// next returns the next pause, a quarter more or less at random, so that
// clients that lost a server together do not come back together.
func (b *backOff) next() time.Duration {
	now := b.last
	b.last = min(max(2*b.last, firstPause), longestPause)
	return now - now/4 + time.Duration(rand.Int64N(int64(now/2)+1))
}
