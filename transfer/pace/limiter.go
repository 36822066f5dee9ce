// Package pace holds rates down and measures them: a [Limiter] makes bytes wait
// so that a rate is kept and shared fairly, a [Meter] averages a rate that is
// observed.
//
// Any goroutine may call the methods of a Limiter. A Meter has one owner: calls
// of its methods must not overlap. It starts no goroutine and reads no clock;
// its caller says what time it is.
package pace

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/admission"
)

const (
	// limitBurst is how long a limiter may be idle without losing what it
	// could have passed: enough for a late wake-up, too little to be seen.
	limitBurst = 50 * time.Millisecond
	// limitSteps is the number of pieces a second into which a limited rate
	// is cut.
	limitSteps = 100
	minPiece   = 1 << 10
)

// A Limiter holds the sum of what passes it to a rate, in bytes a second. Only
// one piece at a time is paid for. A book of connections decides whose piece is
// next and shares the rate evenly. Without a book the piece that has waited
// longest is next. A nil Limiter lets everything pass. Any goroutine may call
// its methods.
type Limiter struct {
	book *admission.Book // nil: nobody's connections
	rate atomic.Int64    // bytes a second; 0: no limit

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

// NewLimiter returns a limiter for rate bytes a second; nil when rate is 0 or
// less.
func NewLimiter(rate int64) *Limiter {
	if rate <= 0 {
		return nil
	}
	return NewFairLimiter(rate, nil)
}

// NewFairLimiter returns a limiter for the connections of a book, whose rate
// can be changed. 0 or less is no limit.
func NewFairLimiter(rate int64, book *admission.Book) *Limiter {
	l := &Limiter{book: book}
	l.SetRate(rate)
	return l
}

// SetRate changes the rate, to bytes a second; 0 or less is no limit. A piece
// that is being paid for is paid at the rate before.
func (l *Limiter) SetRate(rate int64) { l.rate.Store(max(rate, 0)) }

// IsOff reports whether everything passes.
func (l *Limiter) IsOff() bool { return l == nil || l.rate.Load() == 0 }

// Piece returns how many of n bytes to pass at once, so that those who share
// the limiter take turns: a hundredth of a second's worth, at least 1 KiB.
func (l *Limiter) Piece(n int) int {
	if l.IsOff() {
		return n
	}
	return min(n, max(int(l.rate.Load()/limitSteps), minPiece))
}

// Wait blocks until n bytes may pass, and counts them as passed;
// [Limiter.Refund] those that did not. If ctx ends first, nothing has passed,
// and the error is that of ctx.
func (l *Limiter) Wait(ctx context.Context, n int) error { return l.WaitFor(ctx, nil, n) }

// WaitFor is Wait for bytes of a connection in the limiter's book.
func (l *Limiter) WaitFor(ctx context.Context, conn *admission.Conn, n int) error {
	if l.IsOff() || ctx.Err() != nil {
		return ctx.Err()
	}
	if err := l.enter(ctx, conn); err != nil {
		return err
	}
	defer l.leave()
	if l.book != nil {
		l.book.Pass(conn, int64(n))
	}
	if err := Sleep(ctx, l.take(n, time.Now())); err != nil {
		l.Refund(n)
		return err
	}
	return nil
}

// enter waits for the turn of a piece of a connection.
func (l *Limiter) enter(ctx context.Context, conn *admission.Conn) error {
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
func (l *Limiter) leave() {
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
func (l *Limiter) take(n int, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if oldest := now.Add(-limitBurst); l.free.Before(oldest) {
		l.free = oldest
	}
	l.free = l.free.Add(l.time(n))
	return l.free.Sub(now)
}

// Refund takes back n bytes that were counted as passed and did not pass. Later
// pieces get them, waiting ones do not.
func (l *Limiter) Refund(n int) {
	if n == 0 || l.IsOff() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = l.free.Add(-l.time(n))
}

// time returns how long n bytes take.
func (l *Limiter) time(n int) time.Duration {
	rate := l.rate.Load()
	if rate == 0 { // the limit was lifted this moment
		return 0
	}
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}
