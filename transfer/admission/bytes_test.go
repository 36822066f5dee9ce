package admission

import (
	"testing"
	"time"
)

const mib = 1 << 20

// sending opens a connection with a range under way, of which bytes were taken, and
// with a window.
func (b *Book) sends(t *testing.T, k int, owner any, bytes, window int64, now time.Time) *Conn {
	t.Helper()
	c := b.open(t, numbered(k, 1), owner, now)
	b.Begin(c, now)
	b.Accept(c, now)
	b.Moved(c, Progress{Bytes: bytes, Window: window}, now)
	return c
}

// A connection is charged its largest window, no more than it was sent, its buffers and
// its requests. What its place has paid for is free.
func TestCharge(t *testing.T) {
	for _, test := range []struct {
		held held
		want int64
	}{
		{held{}, 0},
		{held{window: 40 << 10, total: mib}, 0},
		{held{window: 10 * mib, total: mib}, mib - free},
		{held{window: mib, total: 10 * mib}, mib - free},
		{held{window: mib, total: mib, buffers: 5, requests: 2}, mib + 5 + 2*requestSize - free},
		{held{requests: 64}, 64*requestSize - free},
	} {
		if got := test.held.charge(); got != test.want {
			t.Errorf("%+v is charged %d, want %d", test.held, got, test.want)
		}
	}
}

// Over the budget those go that have moved less than their charge in 10 s, the largest
// first, until it is kept; nobody goes before, and nobody who moves.
func TestBytesRunOut(t *testing.T) {
	b := New(Limits{Bytes: 10 * mib})
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

// Requests that come to no end are charged, too.
func TestRequestsAreCharged(t *testing.T) {
	b := New(Limits{Bytes: mib})
	now := start
	c := b.open(t, numbered(1, 1), "asks", now)
	for range 3 * mib / requestSize {
		b.Begin(c, now)
	}
	if gone := b.Overdue(now.Add(chargeSpan)); len(gone) != 1 || gone[0] != "asks" {
		t.Errorf("%v had to go, want who asks", gone)
	}
}

// Who holds more than its share is slowed to half of its window in a round trip while
// the budget is spent, and only then; a newcomer is not slowed.
func TestPause(t *testing.T) {
	b := New(Limits{Bytes: 10 * mib})
	const rtt = 100 * time.Millisecond
	big := b.sends(t, 1, nil, 8*mib, 8*mib, start)
	if got := b.Pause(big, mib, 8*mib, rtt); got != 0 {
		t.Errorf("within the budget a piece waits %v", got)
	}
	other := b.sends(t, 2, nil, 4*mib, 4*mib, start)
	if got, want := b.Pause(big, mib, 8*mib, rtt), rtt/4; got != want {
		t.Errorf("a piece of an eighth of the window waits %v, want %v", got, want)
	}
	newcomer := b.sends(t, 3, nil, 100<<10, 100<<10, start)
	if got := b.Pause(newcomer, 16<<10, 100<<10, rtt); got != 0 {
		t.Errorf("a newcomer waits %v", got)
	}
	// Its share of a quarter is one of three clients', and of its own connections.
	b.Moved(newcomer, Progress{Bytes: mib, Window: mib}, start)
	if got := b.Pause(newcomer, 16<<10, mib, rtt); got == 0 {
		t.Error("a client with more than its share does not wait")
	}
	b.Leave(other, start)
	if got := b.Pause(big, mib, 8*mib, rtt); got != 0 {
		t.Errorf("within the budget again a piece waits %v", got)
	}
}

// One client has half of what is left for buffers at most, and another then gets its
// own; nobody waits.
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

// Nobody goes for what the server made it wait.
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

// The window is charged that is in use: once as much has been taken as the largest one
// was, a smaller one counts.
func TestWindowShrinks(t *testing.T) {
	b := New(Limits{})
	c := b.sends(t, 1, nil, 8*mib, 8*mib, start)
	now := start.Add(time.Second)
	b.Moved(c, Progress{Bytes: mib, Window: mib}, now)
	if got := b.Charged(); got < 7*mib {
		t.Errorf("charged %d, want the largest window", got)
	}
	for range 8 {
		now = now.Add(time.Second)
		b.Moved(c, Progress{Bytes: mib, Window: mib}, now)
	}
	if got := b.Charged(); got > mib {
		t.Errorf("charged %d, want the window that is in use", got)
	}
}

// Clients share evenly, and the connections of one share what it has.
func TestShares(t *testing.T) {
	b := New(Limits{})
	conns := []*Conn{b.open(t, numbered(1, 1), nil, start), b.open(t, numbered(1, 2), nil, start), b.open(t, numbered(1, 2), nil, start)}
	passed := make([]int, len(conns))
	for range 4000 {
		next := conns[0]
		for _, c := range conns[1:] {
			if b.Before(c, next) {
				next = c
			}
		}
		b.Pass(next, 100)
		for i, c := range conns {
			if c == next {
				passed[i]++
			}
		}
	}
	for i, want := range []int{2000, 1000, 1000} {
		if passed[i] < want-1 || passed[i] > want+1 {
			t.Errorf("passed = %v pieces, want half for one client, and a quarter for each connection of the other", passed)
		}
	}
}
