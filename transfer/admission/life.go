package admission

import "time"

// A State is what a connection does.
type State int

// The states of a connection. Each has one deadline: see [Book.Deadline].
const (
	HalfOpen State = iota // its handshake is under way
	Shaken                // it is not opened yet
	Idle                  // nothing is under way
	Asking                // a request is being read, no reply is under way
	Sending               // a reply is under way
)

// A life is the stage of a connection, and what is under way on it.
type life struct {
	stage   State     // HalfOpen, Shaken, or Idle once it was opened
	since   time.Time // end of the handshake or of the last reply
	asking  int       // requests that are being read or were refused
	replies int       // under way
	ranges  int       // of these, ranges
}

func (l *life) state() State {
	switch {
	case l.stage != Idle:
		return l.stage
	case l.replies > 0:
		return Sending
	case l.asking > 0:
		return Asking
	}
	return Idle
}

// Shake says that a connection's handshake is complete. [Book.Enter] and
// [Book.Overdue] return owner if the connection must go.
func (b *Book) Shake(c *Conn, owner any, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.owner = owner
	b.passed.Shaken++
	if c.at >= 0 {
		b.watchPresence(c.client, func() { c.client.halfOpen-- })
	}
	c.life.stage, c.life.since = Shaken, now
}

// Begin says that reading a request of a connection begins.
func (b *Book) Begin(c *Conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.life.asking++
	b.hold(c, now, func(h *held) { h.requests++; h.asking++ })
}

// Accept says that a request is answered.
func (b *Book) Accept(c *Conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.life.asking--
	b.setReplies(c, c.life.replies+1)
	b.hold(c, now, func(h *held) { h.asking-- })
}

// Aside says that a request is answered without counting as use: it does not
// keep an idle connection alive. EndAside ends it.
func (b *Book) Aside(c *Conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.life.asking--
	b.hold(c, now, func(h *held) { h.asking-- })
}

// EndAside ends one Aside.
func (b *Book) EndAside(c *Conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold(c, now, func(h *held) { h.requests-- })
	b.settle(c, now)
}

// End says that a request is over, whether it was accepted or not.
func (b *Book) End(c *Conn, accepted bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if accepted {
		b.setReplies(c, c.life.replies-1)
		c.life.since = now
	} else {
		c.life.asking--
	}
	b.hold(c, now, func(h *held) {
		h.requests--
		if !accepted {
			h.asking--
		}
	})
	b.settle(c, now)
}

// settle takes the place of a connection that has ended once its requests are
// over.
func (b *Book) settle(c *Conn, now time.Time) {
	if c.ended && c.held.requests == 0 {
		b.remove(c, now)
	}
}

// MayRead reports whether the file may be read for a connection. It may not
// while mostLeft abandoned requests of its client are still at work. A read of
// a disk that hangs cannot be ended, and a client can come back at once.
func (b *Book) MayRead(c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.client.behind < mostLeft
}

// setReplies changes the number of a connection's replies.
func (b *Book) setReplies(c *Conn, n int) {
	had, has := c.life.replies > 0, n > 0
	c.life.replies = n
	switch {
	case c.at < 0 || c.ended || had == has:
	case has:
		b.countSending(c, 1)
	default:
		b.countSending(c, -1)
	}
}

// countSending counts a run's connections with a reply under way, and the runs
// of a client and the clients that have one.
func (b *Book) countSending(c *Conn, change int) {
	for _, n := range []*int{&c.run.sending, &c.client.sending, &b.sending} {
		before := *n > 0
		*n += change
		if before == (*n > 0) {
			return
		}
	}
}

// Ranges counts n more requests for ranges that are being answered, with spans
// in all; both may be negative.
func (b *Book) Ranges(c *Conn, n, spans int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold(c, now, func(h *held) { h.spans += spans })
	c.life.ranges += n
	if c.at >= 0 && !c.ended {
		c.client.ranges += n
	}
}

// State returns what a connection does.
func (b *Book) State(c *Conn) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.life.state()
}

// Deadline returns when a connection must be closed if its state has not
// changed by then; the zero time: never. Until the connection is opened, the
// deadline runs from the end of the handshake, whatever the client sends.
// Reading a request does not move it. Replies have time limits of their own.
func (b *Book) Deadline(c *Conn) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch c.life.state() {
	case Shaken:
		return c.life.since.Add(b.limits.OpenTime)
	case Idle, Asking:
		return c.life.since.Add(b.limits.IdleTime)
	}
	return time.Time{}
}

// leastWorthy returns the connection that goes when places have run out: one
// that has not opened, else one that is idle; of the largest network, the
// longest idle; nil if all move.
func (b *Book) leastWorthy(now time.Time) (out *Conn) {
	var opened bool
	var moved time.Duration
	for _, c := range b.conns {
		idle := c.watch.read(now) - c.still.at
		switch {
		case c.ended:
			continue // nothing would be free
		case c.life.stage == HalfOpen:
			continue // it cannot be closed; the time for a handshake ends it
		case c.life.stage == Idle && idle < stillSpan:
			continue
		}
		isOpen := c.life.stage == Idle
		switch size := c.client.network.places; {
		case out == nil:
		case isOpen != opened:
			if isOpen {
				continue
			}
		case size != out.client.network.places:
			if size < out.client.network.places {
				continue
			}
		case idle < moved || idle == moved && c.number > out.number:
			continue
		}
		out, opened, moved = c, isOpen, idle
	}
	return out
}
