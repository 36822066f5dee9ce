package admission

import "time"

// A Use says what a request was good for.
type Use int

// The uses of a request.
const (
	UseNone  Use = iota // refused, or cancelled before a byte of the reply was taken
	UseStat             // an offer
	UseWhole            // answered whole: values, ranges, a recheck
	UsePart             // a part of the reply was taken, or the server is stopping
)

// forgiven is the time in which a client's whole budget of wasted requests, and
// its whole burst of handshakes, refills.
const forgiven = burst * time.Second

// An account counts a client's wasted requests.
type account struct {
	requests float64 // not forgiven yet
	at       time.Time
	next     time.Time // when its next connection may be answered
}

// forgive takes off what the time has paid for.
func (a *account) forgive(now time.Time, limit int) {
	a.requests = max(0, a.requests-float64(limit)*float64(now.Sub(a.at))/float64(forgiven))
	a.at = now
}

// Account counts what a request was good for. tooMany reports whether the
// connection must be closed: it, or all of its client, have wasted more
// requests than allowed. A request that was answered whole takes one off what
// its connection has wasted, and helps no other connection. The first stat of a
// connection counts for the connection only: the pace of handshakes limits
// those of a client.
func (b *Book) Account(c *Conn, u Use, now time.Time) (tooMany bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	switch u {
	case UseNone, UseStat:
		n = 1
	case UseWhole:
		n = -1
	}
	if u == UseNone {
		b.counts.Wasted++
	}
	before := max(c.wasted, 0)
	c.wasted += n
	more := max(c.wasted, 0) - before
	if u == UseStat && !c.offered {
		c.offered, more = true, 0
	}
	a, limit := &c.client.waste, b.limits.Wasted
	a.forgive(now, limit)
	a.requests = min(max(0, a.requests+float64(more)), float64(limit+1))
	return c.wasted > limit || more > 0 && a.requests > float64(limit)
}

// Turn returns how long a new connection waits for its first answer, at most
// most. It is 0 unless its client has wasted more requests than allowed.
func (b *Book) Turn(c *Conn, most time.Duration, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, limit := &c.client.waste, b.limits.Wasted
	if a.forgive(now, limit); a.requests < float64(limit) {
		return 0
	}
	if a.next.Before(now) {
		a.next = now
	}
	wait := a.next.Sub(now)
	if wait > 0 {
		b.counts.Delayed++
	}
	if wait > most {
		return most
	}
	a.next = a.next.Add(forgiven / time.Duration(limit))
	return wait
}
