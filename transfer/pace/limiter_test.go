package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiterShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 10_000
		l := NewLimiter(rate)
		begun := time.Now()
		done := make(chan error)
		for range 3 {
			go func() {
				var err error
				for left := 10_000; left > 0 && err == nil; {
					n := l.Piece(left)
					err = l.Wait(t.Context(), n)
					left -= n
				}
				done <- err
			}()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got, want := time.Since(begun), 3*time.Second-limitBurst; got.Round(time.Millisecond) != want {
			t.Errorf("30000 bytes at %d a second took %v, want %v", rate, got, want)
		}
	})
}

func TestLimiterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := l.Wait(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("Wait = %v after %v, want the context's end", err, time.Since(begun))
		}
		if err := NewLimiter(1<<40).Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v, want the context's end although there is nothing to wait for", err)
		}
	})
}

func TestNoLimiter(t *testing.T) {
	for _, rate := range []int64{0, -1} {
		l := NewLimiter(rate)
		if l != nil {
			t.Fatalf("NewLimiter(%d) = %v, want nil", rate, l)
		}
		if got := l.Piece(1 << 30); got != 1<<30 {
			t.Errorf("Piece = %d, want all", got)
		}
		ctx, cancel := context.WithCancel(context.Background())
		if err := l.Wait(ctx, 1<<30); err != nil {
			t.Error(err)
		}
		cancel()
		if err := l.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait = %v, want the context's end", err)
		}
	}
}

func TestLimiterPiece(t *testing.T) {
	for _, test := range []struct {
		rate    int64
		n, want int
	}{
		{1 << 20, 1 << 20, 1 << 20 / limitSteps},
		{1 << 20, 100, 100},
		{1, 1 << 20, minPiece},
		{1, 10, 10},
		{1 << 50, 1 << 20, 1 << 20},
	} {
		if got := NewLimiter(test.rate).Piece(test.n); got != test.want {
			t.Errorf("Piece(%d) at %d = %d, want %d", test.n, test.rate, got, test.want)
		}
	}
}

func TestLimiterIdleTime(t *testing.T) {
	l := NewLimiter(1000)
	now := time.Unix(1e9, 0)
	for _, step := range []struct {
		after time.Duration
		n     int
		delay time.Duration
	}{
		{0, 100, 50 * time.Millisecond},                                 // of 100 ms, limitBurst is free
		{0, 100, 150 * time.Millisecond},                                // behind the first
		{150 * time.Millisecond, 100, 100 * time.Millisecond},           // all paid for, nothing saved
		{100 * time.Millisecond, 0, 0},                                  // just now
		{time.Hour, 50, 0},                                              // no more than the burst is saved
		{0, 1000, time.Second},                                          // and it is used up
		{3 * time.Second, 100, 50 * time.Millisecond},                   // again
		{-10 * time.Second, 100, 10*time.Second + 150*time.Millisecond}, // a clock that went back lets nothing through
	} {
		now = now.Add(step.after)
		if got := l.take(step.n, now); got != step.delay {
			t.Errorf("take(%d) after %v = %v, want %v", step.n, step.after, got, step.delay)
		}
	}
}

// Bytes that were booked and did not pass are there for others, even if the
// wait for them was given up.
func TestLimiterGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1000)
		now := time.Now()
		l.take(1000, now)
		l.Refund(600)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := l.Wait(ctx, 5000); err == nil {
			t.Error("5000 bytes passed at once")
		}
		if got, want := l.take(100, now), 500*time.Millisecond-limitBurst; got != want {
			t.Errorf("100 bytes behind 400 wait for %v, want %v", got, want)
		}
	})
}
