package fetch

import (
	"context"
	"testing"
	"testing/synctest"
)

// A wait for a buffer ends with its context, and a buffer that is given back is
// given again.
func TestBufferPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBufferPool(2, 100)
		a, errA := p.get(t.Context())
		b, errB := p.get(t.Context())
		if errA != nil || errB != nil || len(*a) != 100 || len(*b) != 100 || &(*a)[0] == &(*b)[0] {
			t.Fatalf("two buffers = %v, %v, want different ones of 100 bytes", errA, errB)
		}
		got := make(chan error, 1)
		go func() {
			c, err := p.get(t.Context())
			got <- err
			p.put(c)
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("a third buffer was given out")
		default:
		}
		p.put(a)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c, err := p.get(t.Context()); err != nil || len(*c) != 100 {
			t.Fatalf("get = %v, want the buffer back", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errTest)
		if _, err := p.get(ctx); err != errTest {
			t.Errorf("get = %v, want the cause", err)
		}
	})
}
