package transfer

import (
	"context"
	"slices"
	"sync"
	"time"

	"malcolm/transfer/admission"
)

const (
	// limitBurst is how long a limiter may be idle without losing what it
	// could have passed: enough for a late wake-up, too little to be seen.
	limitBurst = 50 * time.Millisecond
	// limitSteps is how many pieces a second a limited rate is cut into.
	limitSteps = 100
	minPiece   = 1 << 10
)

// A limiter holds the sum of what passes it to a rate. Who passes next is the book's to
// say, which shares the rate evenly; without a book, it is who waits for the longest.
// Only one piece at a time is paid for. A nil limiter lets everything pass. Any
// goroutine may call its methods.
type limiter struct {
	rate float64         // bytes a second
	book *admission.Book // nil: nobody's connections

	mu      sync.Mutex
	free    time.Time // when everything that has passed is paid for
	busy    bool      // somebody's piece is being paid for
	waiting []*passage
}

// A passage waits for its turn.
type passage struct {
	conn *admission.Conn // nil without a book
	turn chan struct{}   // closed when its piece is the next to be paid for
}

// newLimiter returns a limiter for rate bytes a second; nil when rate is 0.
func newLimiter(rate int64) *limiter { return newFairLimiter(rate, nil) }

// newFairLimiter is newLimiter for the connections of a book.
func newFairLimiter(rate int64, book *admission.Book) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: float64(rate), book: book}
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
func (l *limiter) wait(ctx context.Context, n int) error { return l.waitFor(ctx, nil, n) }

// waitFor is wait for bytes of a connection.
func (l *limiter) waitFor(ctx context.Context, conn *admission.Conn, n int) error {
	if l == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if err := l.enter(ctx, conn); err != nil {
		return err
	}
	defer l.leave()
	if l.book != nil {
		l.book.Pass(conn, int64(n))
	}
	if err := sleep(ctx, l.take(n, time.Now())); err != nil {
		l.give(n)
		return err
	}
	return nil
}

// enter waits for the turn of a piece of a connection.
func (l *limiter) enter(ctx context.Context, conn *admission.Conn) error {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		return nil
	}
	p := &passage{conn: conn, turn: make(chan struct{})}
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
		if l.book != nil && l.book.Before(p.conn, l.waiting[next].conn) {
			next = i
		}
	}
	p := l.waiting[next]
	l.waiting = slices.Delete(l.waiting, next, next+1)
	close(p.turn)
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
