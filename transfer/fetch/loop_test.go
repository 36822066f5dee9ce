package fetch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/pace"
)

// What runs beside the loop ends when the run fails, with the run's error.
func TestDoEndsWithTheRun(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(context.Background())
		defer l.close()
		begun := time.Now()
		time.AfterFunc(time.Minute, func() { l.post(func() { l.fail(broken) }) })
		err := l.do(func(ctx context.Context) error {
			for range 60 {
				if err := pace.Sleep(ctx, time.Minute); err != nil {
					return fmt.Errorf("a consequence: %w", err)
				}
			}
			return nil
		})
		if took := time.Since(begun); err != broken || took > 2*time.Minute {
			t.Errorf("error %v after %v, want that of the run at once", err, took)
		}
	})
}

// What finishes after the run has failed does not count.
func TestDoAfterTheEnd(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			l := newLoop(ctx)
			defer l.close()
			time.AfterFunc(time.Second, func() {
				l.post(func() { cancel(errTest); time.Sleep(time.Second) })
			})
			if err := l.do(func(ctx context.Context) error { <-ctx.Done(); return nil }); err != errTest {
				t.Errorf("error %v, want that of the interrupt", err)
			}
		})
	}
}

// What was posted for a scope that is over is dropped, and nothing else.
func TestPostedBehindTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(context.Background())
		defer l.close()
		inner := l.inner()
		ran := make(map[string]bool)
		inner.beside(func() { inner.post(func() { ran["inner, before its end"] = true }) })
		synctest.Wait() // it lies in the inbox
		inner.halt()
		inner.post(func() { ran["inner, behind its end"] = true })
		l.post(func() { ran["outer"] = true })
		if err := l.until(func() bool { return len(l.inbox) == 0 }); err != nil {
			t.Error(err)
		}
		if !ran["outer"] || len(ran) != 1 {
			t.Errorf("ran %v, want only what was posted for the outer scope", ran)
		}
	})
}

// What ends at once is joined, also when the run has ended long ago.
func TestJoinedLongAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		l := newLoop(ctx)
		ended := false
		l.beside(func() {
			<-l.ctx.Done()
			ended = true
		})
		cancel()
		synctest.Wait()
		time.Sleep(time.Minute)
		l.close()
		if !ended || l.ending.left {
			t.Errorf("ended: %t, something left behind: %t", ended, l.ending.left)
		}
	})
}
