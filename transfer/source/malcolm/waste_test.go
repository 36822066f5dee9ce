package malcolm

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/source"
	"malcolm/wire"
)

// A run may waste at one identity what the server has announced, over all its
// connections, and each of them no more than what it earned besides. Nothing is
// given up before the server has said how much may be.
func TestLedger(t *testing.T) {
	t.Parallel()
	var unopened ledger
	if unopened.afford() {
		t.Error("a request is given up before the connection is open")
	}
	var p purse
	a, b, pooled := ledger{}, ledger{}, ledger{pooled: true}
	a.open(&p, 5)
	b.open(&p, 3)
	pooled.open(&p, 4)
	for range 10 {
		a.earn()
		pooled.earn()
	}
	for i, test := range []struct {
		l    *ledger
		want bool
	}{
		{&b, true}, {&pooled, true}, // two of three
		{&a, true}, {&a, true}, {&a, true}, {&a, true}, {&a, true}, {&a, true}, {&a, true}, {&a, true}, {&a, true}, {&a, true}, // earned
		{&a, true}, // the last of three
		{&a, false}, {&b, false}, {&pooled, false},
	} {
		if got := test.l.afford(); got != test.want {
			t.Errorf("step %d: may be given up: %t, want %t", i, got, test.want)
		}
	}
	a.earn() // makes up for the last one
	a.earn()
	if !a.afford() || a.afford() {
		t.Error("what was earned since may be wasted, and no more")
	}
	a.waste()
	if a.wasted != 1 || p.spent != 4 {
		t.Errorf("%d wasted, %d of the purse, want what could not be helped to count", a.wasted, p.spent)
	}
}

// Whatever happens in whatever order, no connection has wasted more than was
// announced, nor have all together, as the server counts.
func TestLedgerKeepsWithin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 6).Draw(t, "announced")
		var p purse
		ledgers := make([]ledger, rapid.IntRange(1, 3).Draw(t, "connections"))
		wasted, address := make([]int, len(ledgers)), 0 // as admission counts them
		for i := range ledgers {
			ledgers[i].open(&p, limit)
		}
		for range rapid.IntRange(0, 60).Draw(t, "requests") {
			i := rapid.IntRange(0, len(ledgers)-1).Draw(t, "connection")
			if rapid.Bool().Draw(t, "whole") {
				ledgers[i].earn()
				wasted[i]--
				continue
			}
			if !ledgers[i].afford() {
				continue
			}
			before := max(wasted[i], 0)
			wasted[i]++
			address += max(wasted[i], 0) - before
			if wasted[i] > limit || address > limit {
				t.Fatalf("connection %d has wasted %d, all together %d; %d were announced", i, wasted[i], address, limit)
			}
		}
	})
}

// A range that is given up is cancelled at once while the server lets requests
// come to nothing. Then it is cancelled when some of it has come, and keeps its
// place until then. Its reader does not wait.
func TestGivenUpWithinTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := generous
		limits.Wasted = 2
		c, f := newFake(limits, func(st *fakeStream, _ wire.Request) {
			st.pause(5 * time.Second)
			st.reply(frame(content(0, 10)))
			st.pause(time.Hour)
		})
		for i := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			b, err := c.Range(ctx, []source.Span{part(sumA, 0, 20)})
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, cancel)
			begun := time.Now()
			if n, err := io.Copy(io.Discard, b); n != 0 || err == nil || time.Since(begun) != time.Second {
				t.Errorf("range %d: %d bytes, %v after %v, want the context's end", i, n, err, time.Since(begun))
			}
			b.Close()
			b.Close()
			synctest.Wait()
			if _, is := f.streams[i].cancelled(); is != (i < limits.Wasted) {
				t.Errorf("range %d is cancelled at once: %t", i, is)
			}
		}
		if streamsOf(c) != 1 || flightOf(c) != 20 {
			t.Errorf("%d streams and %d bytes are under way, want those of the last range", streamsOf(c), flightOf(c))
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if left, is := f.streams[2].cancelled(); !is || left != 20 || streamsOf(c) != 0 || flightOf(c) != 0 {
			t.Errorf("when some of it has come: cancelled %t with %d left, %d streams under way", is, left, streamsOf(c))
		}
	})
}

// A server that sends nothing does not keep the place of what is not wanted.
func TestGivenUpAtLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := generous
		limits.Wasted = 0
		c, f := newFake(limits, func(st *fakeStream, _ wire.Request) { st.pause(time.Hour) })
		b := ranges(t, c, part(sumA, 0, 20))
		b.Close()
		time.Sleep(giveUpTime - 1)
		synctest.Wait()
		if _, is := f.streams[0].cancelled(); is || streamsOf(c) != 1 {
			t.Errorf("cancelled: %t, %d streams under way", is, streamsOf(c))
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if _, is := f.streams[0].cancelled(); !is || streamsOf(c) != 0 || wastedOf(c) != 1 {
			t.Errorf("cancelled: %t, %d streams under way, %d wasted", is, streamsOf(c), wastedOf(c))
		}
	})
}

// What is under way on a connection, and what it has wasted, under its locks.
func streamsOf(c *conn) int {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	return c.room.streams
}

func flightOf(c *conn) int64 {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	return c.room.flight
}

func wastedOf(c *conn) int {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	return c.ledger.wasted
}
