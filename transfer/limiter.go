package transfer

import (
	"context"
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
)

// A limiter holds the sum of what passes it to a rate. A nil limiter lets
// everything pass. Any goroutine may call its methods.
type limiter struct {
	rate float64 // bytes a second

	mu   sync.Mutex
	free time.Time // when everything that has passed is paid for
}

// newLimiter returns a limiter for rate bytes a second; nil when rate is 0.
func newLimiter(rate int64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: float64(rate)}
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
func (l *limiter) wait(ctx context.Context, n int) error {
	if l == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if err := sleep(ctx, l.take(n, time.Now())); err != nil {
		l.give(n)
		return err
	}
	return nil
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
