package transfer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// limitBurst is how long a limiter may be idle without losing what it
	// could have passed: enough for a late wake-up, too little to be seen.
	limitBurst = 50 * time.Millisecond
	// limitSteps is how many pieces a second a limited rate is cut into.
	limitSteps = 100
	minPiece   = 1 << 10
	// limitOwners bounds how many owners that wait for nothing are remembered.
	limitOwners = 4 << 10
)

// A limiter holds the sum of what passes it to a rate, and shares the rate
// evenly: between the addresses that want to pass bytes, and then between the
// connections of each. This is start-time fair queueing (Goyal, Vin and Cheng,
// 1996), in which only one piece at a time is paid for. A nil limiter lets
// everything pass. Any goroutine may call its methods.
type limiter struct {
	rate float64 // bytes a second

	mu      sync.Mutex
	free    time.Time // when everything that has passed is paid for
	busy    bool      // somebody's piece is being paid for
	waiting []*passage
	fair    fairShare[netip.Addr]
	conns   map[netip.Addr]*fairShare[uint64]
}

// A flow is what bytes belong to. The zero flow is one like any other.
type flow struct {
	addr netip.Addr
	conn uint64
}

// A passage waits for its turn.
type passage struct {
	flow
	turn chan struct{} // closed when its piece is the next to be paid for
}

// newLimiter returns a limiter for rate bytes a second; nil when rate is 0.
func newLimiter(rate int64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: float64(rate), conns: make(map[netip.Addr]*fairShare[uint64])}
}

// piece returns how many bytes to pass at once, at most n, so that those who
// share the limiter take turns.
func (l *limiter) piece(n int) int {
	if l == nil {
		return n
	}
	return min(n, max(int(l.rate/limitSteps), minPiece))
}

// wait blocks until n bytes may pass, and then they have: those that do not are
// to be given back. When ctx ends first, none have, and the error is that of
// ctx.
func (l *limiter) wait(ctx context.Context, n int) error { return l.waitFor(ctx, flow{}, n) }

// waitFor is wait for bytes of f.
func (l *limiter) waitFor(ctx context.Context, f flow, n int) error {
	if l == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if err := l.enter(ctx, f); err != nil {
		return err
	}
	defer l.leave()
	l.charge(f, n)
	if err := sleep(ctx, l.take(n, time.Now())); err != nil {
		l.give(n)
		return err
	}
	return nil
}

// enter waits for the turn of a piece of f.
func (l *limiter) enter(ctx context.Context, f flow) error {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		return nil
	}
	p := &passage{flow: f, turn: make(chan struct{})}
	l.waiting = append(l.waiting, p)
	l.mu.Unlock()
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting, p)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 {
		l.leave() // its turn came meanwhile
	}
	return ctx.Err()
}

// leave gives the turn to the next.
func (l *limiter) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.busy = false
		return
	}
	next := 0
	for i, p := range l.waiting {
		if l.before(p.flow, l.waiting[next].flow) {
			next = i
		}
	}
	p := l.waiting[next]
	l.waiting = slices.Delete(l.waiting, next, next+1)
	close(p.turn)
}

// before reports whether a is to be served before b, which waits for longer. The
// caller holds mu.
func (l *limiter) before(a, b flow) bool {
	if a.addr != b.addr {
		return l.fair.start(a.addr) < l.fair.start(b.addr)
	}
	c := l.conns[a.addr]
	return c != nil && c.start(a.conn) < c.start(b.conn)
}

// charge books n bytes on f.
func (l *limiter) charge(f flow, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) > limitOwners {
		clear(l.conns)
	}
	if l.conns[f.addr] == nil {
		l.conns[f.addr] = new(fairShare[uint64])
	}
	l.fair.charge(f.addr, n)
	l.conns[f.addr].charge(f.conn, n)
}

// take books n bytes and returns how long to wait before they may pass.
func (l *limiter) take(n int, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if oldest := now.Add(-limitBurst); l.free.Before(oldest) {
		l.free = oldest
	}
	l.free = l.free.Add(l.time(n))
	return l.free.Sub(now)
}

// give takes back n bytes that were booked and did not pass. Nobody who waits
// already waits less for it: they go to those who come after.
func (l *limiter) give(n int) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = l.free.Add(-l.time(n))
}

// time returns how long n bytes take.
func (l *limiter) time(n int) time.Duration {
	return time.Duration(float64(n) / l.rate * float64(time.Second))
}

// A fairShare remembers how far each of those who share something is ahead. The
// zero fairShare is ready to use. It belongs to whoever locks it.
type fairShare[K comparable] struct {
	now  int64       // the start of the piece that was served last
	ends map[K]int64 // the end of the last piece of each, where that is ahead of now
}

// start returns where the next piece of k begins; the least is to be served next.
func (s *fairShare[K]) start(k K) int64 { return max(s.ends[k], s.now) }

// charge serves n bytes to k.
func (s *fairShare[K]) charge(k K, n int) {
	s.now = s.start(k)
	if s.ends == nil {
		s.ends = make(map[K]int64)
	}
	if len(s.ends) > limitOwners {
		clear(s.ends)
	}
	s.ends[k] = s.now + int64(n)
}
