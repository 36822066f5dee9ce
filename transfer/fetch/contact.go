package fetch

import (
	"errors"
	"math/rand/v2"
	"time"

	"malcolm/transfer/pace"
	"malcolm/transfer/source"
)

const (
	// firstPause and longestPause: see backOff. After steadyTime without a
	// loss the pauses begin anew.
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
	steadyTime   = 30 * time.Second
	// secondTry is the least pause after a failed try. It is short because
	// the vote waits for the second try.
	secondTry = 100 * time.Millisecond
	// longestAway bounds the time after which a server asks to be tried
	// again.
	longestAway = time.Minute
)

// run connects, asks what the source offers, and stays until the last
// connection has ended. Then it tries again, after a pause that doubles each
// time.
func (c *contact) run() {
	var pause backOff
	for {
		begun := time.Now()
		final, err := c.visit()
		if final || c.ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= steadyTime {
			pause = backOff{}
		}
		wait := pause.next()
		if err != nil {
			wait = max(wait, secondTry, away(err, c.patience))
		}
		if pace.Sleep(c.ctx, wait) != nil {
			return
		}
	}
}

// away returns how long a server that failed with err is left alone, because it
// asked for that. A tenth of patience is kept for the next try.
func away(err error, patience time.Duration) time.Duration {
	return min(source.WaitOf(err), longestAway, patience/10*9)
}

// visit is one try of a contact. If the try failed, err says so, and visit has
// told it. final says that another try is of no use.
func (c *contact) visit() (final bool, err error) {
	fail := func(err error) (bool, error) {
		c.tell.failed(err, source.IsFinal(err))
		return source.IsFinal(err), err
	}
	way, err := c.source.Connect(c.ctx)
	if err != nil {
		return fail(err)
	}
	defer way.Close()
	c.tell.connected(way.Peer(), way.Traits())
	offer, err := c.stat(way)
	switch {
	case err == errUnasked:
		return c.ctx.Err() != nil, nil
	case err != nil:
		return fail(err)
	}
	select {
	case <-c.down: // left over from an earlier connection
	default:
	}
	c.tell.answered(way, offer)
	select {
	case <-way.Done():
		c.tell.ended(way, way.Err())
	case <-c.ctx.Done():
		return true, nil
	}
	select {
	case <-c.down:
	case <-c.ctx.Done():
	}
	return false, nil
}

// errUnasked says that a connection has ended before anything was asked on it.
var errUnasked = errors.New("nothing was asked yet")

// stat asks what the source offers. A mirror is asked only when it is known
// what it should have.
func (c *contact) stat(way source.Conn) (source.Offer, error) {
	if _, votes := c.source.Voter(); votes && !c.mute {
		o, err := way.Stat(c.ctx, source.Ask{Values: c.values.Load()}, c.tell.indexing)
		if err == nil || source.WhatOf(err) != source.BytesOnly {
			return o, err
		}
		c.mute = true
		c.tell.muted()
	}
	ask, ok := c.wanting.wait(c.ctx, way.Done())
	if !ok {
		return source.Offer{}, errUnasked
	}
	return way.Stat(c.ctx, ask, nil)
}

// A backOff gives the pauses between tries: none, then half a second, doubling.
// The zero backOff is ready to use.
type backOff struct{ last time.Duration }

// next returns the next pause, 25 % more or less at random. Clients that lost a
// server together then come back one by one.
func (b *backOff) next() time.Duration {
	now := b.last
	b.last = min(max(2*b.last, firstPause), longestPause)
	return now - now/4 + time.Duration(rand.Int64N(int64(now/2)+1))
}
