package serve

import (
	"context"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/pace"
	"malcolm/transport"
	"malcolm/wire"
)

// A customer is a connection as the book and the limiter see it, which share
// out what a server has. Any goroutine may call its methods.
type customer struct {
	srv   *Server
	rec   *admission.Conn
	stats func() transport.Stats
}

// turn returns how long the connection's first answer has to wait.
func (c *customer) turn() time.Duration {
	return c.srv.book.Turn(c.rec, c.srv.limits.OpenTimeout/2, time.Now())
}

// took says that the client has taken n bytes. ofFile says that they are of the
// file.
func (c *customer) took(n int, ofFile bool, stats transport.Stats) {
	p := admission.Progress{Bytes: int64(n), File: ofFile, Window: int64(stats.Window)}
	c.srv.book.Moved(c.rec, p, time.Now())
}

// excused runs do while the client waits for us. A client is not closed for
// that time.
func (c *customer) excused(do func() error) error {
	c.srv.book.Wait(c.rec, time.Now())
	defer func() { c.srv.book.Resume(c.rec, time.Now()) }()
	return do()
}

// pay waits until some of n bytes may be sent, and returns how many. The first
// paid bytes are already paid for. It waits while clients hold more than they
// may, and for the rate limit.
func (c *customer) pay(ctx context.Context, n, paid int) (int, error) {
	stats, limit := c.stats(), c.srv.limit
	size, pause := c.srv.book.Pace(c.rec, int64(n), int64(stats.Window), stats.SmoothedRTT)
	// A slowed client still moves its charge in time if it takes what it is
	// sent.
	if pause > 0 && pace.Sleep(ctx, pause) != nil {
		return 0, errReset{wire.StreamStopping}
	}
	n = limit.Piece(int(size))
	if n <= paid || limit.IsOff() {
		return n, nil
	}
	return n, c.excused(func() error {
		if limit.WaitFor(ctx, c.rec, n-paid) != nil {
			return errReset{wire.StreamStopping}
		}
		return nil
	})
}

// buffer returns a buffer for n bytes (a smaller one when memory is short) with
// frameHead bytes in front, and what gives it back.
func (c *customer) buffer(n int) (buf []byte, free func()) {
	size := c.srv.book.Take(c.rec, int64(bufferSize(n)), time.Now())
	b := c.srv.pools.get(int(size))
	return *b, func() {
		c.srv.pools.put(b)
		c.srv.book.Give(c.rec, size, time.Now())
	}
}
