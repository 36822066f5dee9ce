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
