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
	limitSteps = 20
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

// wait blocks until n bytes may pass. The error is that of ctx.
func (l *limiter) wait(ctx context.Context, n int) error {
	if l == nil {
		return ctx.Err()
	}
	delay := l.take(n, time.Now())
	if delay <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take books n bytes and returns how long to wait before they may pass.
func (l *limiter) take(n int, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if oldest := now.Add(-limitBurst); l.free.Before(oldest) {
		l.free = oldest
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	return l.free.Sub(now)
}
