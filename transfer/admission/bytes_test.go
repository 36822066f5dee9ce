package admission

import (
	"testing"
	"time"

	"malcolm/wire"
)

const mib = 1 << 20

// sends opens a connection with a range under way, of which bytes were taken,
// and with a congestion window.
func (b *Book) sends(t *testing.T, k int, owner any, bytes, window int64, now time.Time) *Conn {
	t.Helper()
	c := b.open(t, numbered(k, 1), owner, now)
	b.Begin(c, now)
	b.Accept(c, now)
	b.Moved(c, Progress{Bytes: bytes, Window: window}, now)
	return c
}

// A connection is charged its largest window, but at most what it was sent, its
// buffers and its requests. What its place has paid for is free.
func TestCharge(t *testing.T) {
	for _, test := range []struct {
		held held
		want int64
	}{
		{held{}, 0},
		{held{window: 36 << 10, total: mib}, 0},
		{held{window: 10 * mib, total: 3 * mib}, 4*mib - free},
		{held{window: 3 * mib, total: 10 * mib}, 4*mib - free},
		{held{window: 3 * mib, total: 3 * mib, buffers: 5, requests: 2}, 4*mib + 5 + 2*requestSize - free},
		{held{requests: 64}, 64*requestSize - free},
		{held{requests: 64, asking: 64}, 64*(requestSize+wire.MaxRequestLen) - free}, // not askSize: it follows
		{held{requests: 64, spans: 64 * wire.MaxSpans}, 64*(requestSize+wire.MaxSpans*spanSize) - free},
	} {
		if got := test.held.charge(); got != test.want {
			t.Errorf("%+v is charged %d, want %d", test.held, got, test.want)
		}
	}
}

// Over the budget, connections that moved less than their charge in 10 s go,
// the largest first, until the budget is kept. Nobody goes before, and nobody
// whose bytes move.
func TestBytesRunOut(t *testing.T) {
	b := New(Limits{Bytes: 14 * mib})
	now := start
	small := b.sends(t, 1, "small", mib, mib, now)
	b.sends(t, 2, "large", 4*mib, 4*mib, now)
	b.sends(t, 3, "larger", 5*mib, 5*mib, now)
	mover := b.sends(t, 4, "mover", 6*mib, 6*mib, now)
	if gone := b.Overdue(now.Add(9 * time.Second)); gone != nil {
		t.Errorf("%v had to go after 9 s", gone)
	}
	for range 11 {
		now = now.Add(time.Second)
		b.Moved(mover, Progress{Bytes: mib, Window: 6 * mib}, now)
	}
	gone := b.Overdue(now)
	if len(gone) != 2 || gone[0] != "larger" || gone[1] != "large" {
		t.Fatalf("%v had to go, want the largest two that do not move", gone)
	}
	if gone := b.Overdue(now.Add(time.Minute)); gone != nil {
		t.Errorf("%v had to go within the budget", gone)
	}
	if small.at < 0 || mover.at < 0 {
		t.Error("the wrong ones went")
	}
}

// Requests that never end are charged, too.
func TestRequestsAreCharged(t *testing.T) {
	b := New(Limits{Bytes: mib})
	now := start
	c := b.open(t, numbered(1, 1), "asks", now)
	for range mib / requestSize {
		b.Begin(c, now)
	}
	if gone := b.Overdue(now.Add(chargeSpan)); len(gone) != 1 || gone[0] != "asks" {
		t.Errorf("%v had to go, want who asks", gone)
	}
}

// A connection that holds more than its share is slowed to half of its window
// in a round trip, but only while the budget is spent. A newcomer is not
// slowed.
func TestPaceSlowsLargeShares(t *testing.T) {
	b := New(Limits{Bytes: 14 * mib})
	const rtt = 100 * time.Millisecond
	pace := func(name string, c *Conn, window, want int64, pause time.Duration) {
		t.Helper()
		if n, wait := b.Pace(c, mib, window, rtt); n != want || wait != pause {
			t.Errorf("%s sends %d bytes after %v, want %d after %v", name, n, wait, want, pause)
		}
	}
	big := b.sends(t, 1, nil, 8*mib, 8*mib, start)
	pace("within the budget it", big, 8*mib, mib, 0)
	other := b.sends(t, 2, nil, 4*mib, 4*mib, start)
	pace("it", big, 8*mib, mib, rtt/4)
	newcomer := b.sends(t, 3, nil, 60<<10, 60<<10, start)
	pace("a newcomer", newcomer, 60<<10, mib, 0)
	// With two other clients its share is a third, divided by its own
	// connections.
	b.Moved(newcomer, Progress{Bytes: mib, Window: mib}, start)
	pace("with more than its share it", newcomer, mib, mib/4, rtt/2)
	pace("with a small window it", newcomer, 16<<10, LeastBuffer, rtt/2)
	pace("with no window it", newcomer, 0, LeastBuffer, 2*rtt)
	b.Leave(other, start)
	pace("within the budget again it", big, 8*mib, mib, 0)
}

// One client has at most half of what is left for buffers, and another then
// gets its own. Nobody waits.
func TestBuffersAreShared(t *testing.T) {
	const n = 16
	b := New(Limits{Bytes: n * MostBuffer})
	greedy, other := b.open(t, numbered(1, 1), nil, start), b.open(t, numbered(1, 2), nil, start)
	large := func(c *Conn, tries int) (n int) {
		for range tries {
			if b.Take(c, MostBuffer, start) == MostBuffer {
				n++
			}
		}
		return n
	}
	if got := large(greedy, 100); got < n/2-2 || got > n/2 {
		t.Errorf("one client has %d of %d buffers, want about half", got, n)
	}
	if got := large(other, n/8); got != n/8 {
		t.Errorf("another one has %d, want %d", got, n/8)
	}
}

// Time that the server made a connection wait is not held against it.
func TestWaitingForTheServer(t *testing.T) {
	b := New(Limits{Bytes: mib, Places: 1})
	now := start
	c := b.sends(t, 1, "waits", 4*mib, 4*mib, now)
	b.Wait(c, now)
	b.Wait(c, now.Add(time.Second)) // two of its replies
	b.Resume(c, now.Add(2*time.Second))
	now = now.Add(10 * time.Minute)
	if gone := b.Overdue(now); gone != nil {
		t.Errorf("%v is overdue while it waits", gone)
	}
	if _, _, ok := b.Enter(numbered(2, 1), true, now); ok {
		t.Error("it had to go while it waits")
	}
	b.Resume(c, now)
	now = now.Add(chargeSpan)
	if gone := b.Overdue(now); len(gone) != 1 {
		t.Errorf("%v is overdue when it waits no more, want it", gone)
	}
}

// The window in use is charged: once a whole largest window has been taken, a
// smaller one counts.
func TestWindowShrinks(t *testing.T) {
	b := New(Limits{})
	c := b.sends(t, 1, nil, 8*mib, 8*mib, start)
	now := start.Add(time.Second)
	b.Moved(c, Progress{Bytes: mib, Window: mib}, now)
	if got := b.Charged(); got < 7*mib {
		t.Errorf("charged %d, want the largest window", got)
	}
	for range 11 {
		now = now.Add(time.Second)
		b.Moved(c, Progress{Bytes: mib, Window: mib}, now)
	}
	if got := b.Charged(); got > mib+mib/3 {
		t.Errorf("charged %d, want the window that is in use", got)
	}
}
