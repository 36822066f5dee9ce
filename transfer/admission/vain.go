package admission

import "time"

// A Use says what a request was good for.
type Use int

// The uses of a request.
const (
	UseNone   Use = iota // it came to nothing
	UseHello             // an offer
	UseFetch             // a manifest or a range, whole
	UseAnswer            // told that the server is stopping
)

// forgiven is the time in which as many requests in vain are forgiven as a client may
// have, and as many handshakes as it may begin at once.
const forgiven = burst * time.Second

// An account is what a client's requests that came to nothing have cost.
type account struct {
	requests float64 // not forgiven yet
	at       time.Time
	next     time.Time // from when on its next connection is answered
}

// forgive takes off what the time has paid for.
func (a *account) forgive(now time.Time, limit int) {
	a.requests = max(0, a.requests-float64(limit)*float64(now.Sub(a.at))/float64(forgiven))
	a.at = now
}

// Account counts what a request was good for, and reports whether the connection must
// be closed: too many of its requests came to nothing, or of its client's. The first
// hello of a connection counts for the connection only: the pace of handshakes limits
// those of a client.
func (b *Book) Account(c *Conn, u Use, now time.Time) (tooMany bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	switch u {
	case UseNone, UseHello:
		n = 1
	case UseFetch:
		n = -1
	}
	c.vain = max(c.vain+n, 0)
	if u == UseHello && c.vain <= 1 {
		n = 0
	}
	a, limit := &c.client.vain, b.limits.Vain
	a.forgive(now, limit)
	a.requests = min(max(0, a.requests+float64(n)), float64(limit+1))
	return c.vain > limit || n > 0 && a.requests > float64(limit)
}

// Turn returns how long a new connection waits for its first answer: not at all, or for
// its turn when its client's requests came to nothing too often; at most most.
func (b *Book) Turn(c *Conn, most time.Duration, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, limit := &c.client.vain, b.limits.Vain
	if a.forgive(now, limit); a.requests < float64(limit) {
		return 0
	}
	if a.next.Before(now) {
		a.next = now
	}
	wait := a.next.Sub(now)
	if wait > most {
		return most
	}
	a.next = a.next.Add(forgiven / time.Duration(limit))
	return wait
}
