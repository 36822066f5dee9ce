package admission

import (
	"testing"
	"time"
)

// When places have run out, idle connections go: of the largest network first,
// the longest idle first. Those whose bytes move stay, and then the next one is
// refused.
func TestPlacesRunOut(t *testing.T) {
	const places = 300
	b := New(Limits{Places: places})
	now := start
	var movers []*Conn
	for i := range 100 { // a client of the largest network moves, too
		movers = append(movers, b.open(t, numbered(1, i%50), "mover", now))
	}
	for i := range 120 {
		b.open(t, numbered(2, i), "many", now)
	}
	for i := range 80 {
		b.open(t, numbered(3+i, 1), "few", now)
	}
	move := func(span time.Duration) {
		for end := now.Add(span); now.Before(end); now = now.Add(time.Second) {
			for _, c := range movers {
				b.Moved(c, Progress{Bytes: 1100}, now)
			}
		}
	}
	move(30 * time.Second)
	if _, _, ok := b.Enter(host("192.0.2.1"), true, now); ok {
		t.Error("somebody had to go who was idle for half a minute")
	}
	move(35 * time.Second)
	seen := make(map[any]int)
	for i := range 200 {
		c, gone, ok := b.Enter(numbered(1000+i, 1), true, now)
		if !ok {
			t.Fatalf("newcomer %d is refused", i)
		}
		seen[gone]++
		if i == 30 && seen["many"] != 31 {
			t.Errorf("gone = %v, want those of the largest network first", seen)
		}
		b.Shake(c, "new", now)
		b.Opened(c, [16]byte{}, now)
		b.request(c, now)
	}
	if seen["many"] != 120 || seen["few"] != 80 {
		t.Errorf("gone = %v, want all that were idle and nobody else", seen)
	}
	if _, _, ok := b.Enter(host("192.0.2.1"), true, now); ok || b.Len() != places {
		t.Errorf("one more is let in, or %d are there", b.Len())
	}
}

// A connection that is not opened goes before any other. Its deadline runs from
// the handshake, whatever it sends.
func TestUnopenedGoFirst(t *testing.T) {
	b := New(Limits{Places: 2})
	idle := b.open(t, numbered(1, 1), "idle", start)
	shaken := b.enter(t, numbered(2, 1), start)
	b.Shake(shaken, "shaken", start)
	now := start.Add(9 * time.Second)
	b.Begin(shaken, now)
	b.End(shaken, false, now)
	if got, want := b.Deadline(shaken), start.Add(DefaultOpenTime); got != want {
		t.Errorf("the deadline is %v behind the handshake, want %v", got.Sub(start), want.Sub(start))
	}
	if got, want := b.Deadline(idle), start.Add(DefaultIdleTime); got != want {
		t.Errorf("the deadline of one that was accepted is %v behind that, want %v", got.Sub(start), want.Sub(start))
	}
	now = start.Add(2 * stillSpan)
	if _, gone, ok := b.Enter(numbered(3, 1), true, now); !ok || gone != "shaken" {
		t.Errorf("%v had to go, %v, want who has not opened", gone, ok)
	}
	if _, gone, ok := b.Enter(numbered(4, 1), true, now); !ok || gone != "idle" {
		t.Errorf("%v had to go, %v, want who idles: a handshake cannot be ended", gone, ok)
	}
}

// Each state of a connection, and its deadline.
func TestStates(t *testing.T) {
	b := New(Limits{OpenTime: time.Second, IdleTime: time.Minute})
	now := start
	c := b.enter(t, numbered(1, 1), now)
	step := func(name string, do func(), state State, deadline time.Time) {
		t.Helper()
		now = now.Add(100 * time.Millisecond)
		do()
		if got := b.State(c); got != state {
			t.Errorf("%s: state %d, want %d", name, got, state)
		}
		if got := b.Deadline(c); !got.Equal(deadline) {
			t.Errorf("%s: deadline at %v, want %v", name, got.Sub(start), deadline.Sub(start))
		}
	}
	at := func(tenths int, more time.Duration) time.Time {
		return start.Add(time.Duration(tenths)*100*time.Millisecond + more)
	}
	step("in the handshake", func() {}, HalfOpen, time.Time{})
	step("shaken", func() { b.Shake(c, nil, now) }, Shaken, at(2, time.Second))
	step("asks", func() { b.Begin(c, now) }, Shaken, at(2, time.Second))
	step("is refused", func() { b.End(c, false, now) }, Shaken, at(2, time.Second))
	step("asks again", func() { b.Begin(c, now) }, Shaken, at(2, time.Second))
	step("is opened", func() { b.Opened(c, [16]byte{}, now) }, Asking, at(6, time.Minute))
	step("is answered", func() { b.Accept(c, now) }, Sending, time.Time{})
	step("has all", func() { b.End(c, true, now) }, Idle, at(8, time.Minute))
	step("asks once more", func() { b.Begin(c, now) }, Asking, at(8, time.Minute))
	step("is opened once more", func() { b.Opened(c, [16]byte{1}, now) }, Asking, at(8, time.Minute))
	step("is answered once more", func() { b.Accept(c, now) }, Sending, time.Time{})
	step("has that, too", func() { b.End(c, true, now) }, Idle, at(12, time.Minute))
}

// A connection that ends with requests under way keeps its place until they are
// over, and nobody gets it. A client that leaves too many of them behind may
// not have the file read until one is over; others may.
func TestRequestsLeftBehind(t *testing.T) {
	b := New(Limits{Places: mostLeft + 2})
	now := start
	leave := func(i int) *Conn {
		c := b.open(t, numbered(1, 1), i, now)
		b.Begin(c, now)
		b.Accept(c, now)
		b.Ranges(c, 1, 1, now)
		b.Wait(c, now)
		b.Leave(c, now)
		b.Leave(c, now)
		return c
	}
	var left []*Conn
	for i := range mostLeft {
		last := b.open(t, numbered(1, 1), nil, now)
		if !b.MayRead(last) {
			t.Fatalf("with %d requests left behind nothing may be read", i)
		}
		b.Leave(last, now)
		left = append(left, leave(i))
	}
	mine, other := b.open(t, numbered(1, 1), "mine", now), b.open(t, numbered(1, 2), "other", now)
	if b.MayRead(mine) || !b.MayRead(other) {
		t.Error("the client may have more read, or another one may not")
	}
	if load, _ := b.Load(); load.Conns != mostLeft+2 {
		t.Errorf("%d connections have a place, want those too whose requests are not over", load.Conns)
	}
	if got := b.State(mine); got != Idle || b.clients[Client(mine.Host)].ranges != 0 {
		t.Errorf("state %d, %d ranges are being sent, want none", got, b.clients[Client(mine.Host)].ranges)
	}
	now = now.Add(2 * stillSpan)
	if _, gone, ok := b.Enter(numbered(2, 1), true, now); !ok || gone != "mine" {
		t.Errorf("%v had to go, %v, want who is there and idle", gone, ok)
	}
	b.Ranges(left[0], -1, -1, now)
	b.Resume(left[0], now)
	b.End(left[0], true, now)
	mine = b.open(t, numbered(1, 1), "mine", now)
	if !b.MayRead(mine) {
		t.Error("although one is over, nothing may be read")
	}
	for _, c := range left[1:] {
		b.Ranges(c, -1, -1, now)
		b.End(c, true, now)
	}
	if b.Len() != 3 {
		t.Errorf("%d connections have a place, want 3", b.Len())
	}
}
