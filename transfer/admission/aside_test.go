package admission

import (
	"testing"
	"time"
)

// TestAside: what is answered aside is charged while it lasts, but it moves no
// deadline, and its connection goes first when places run out.
func TestAside(t *testing.T) {
	b := New(Limits{Places: LeastPlaces, IdleTime: time.Hour})
	c := b.open(t, numbered(1, 255), "aside", start)
	began := start.Add(time.Minute)
	b.Begin(c, began)
	b.hold(c, began, func(h *held) { h.buffers += free }) // what its place has paid for
	if got := b.Charged(); got != requestSize+askSize {
		t.Errorf("charged %d bytes while it is read, want %d", got, requestSize+askSize)
	}
	b.Aside(c, began)
	if got := b.Charged(); got != requestSize {
		t.Errorf("charged %d bytes while it is answered, want %d", got, requestSize)
	}
	if got, deadline := b.State(c), b.Deadline(c); got != Idle || deadline != start.Add(time.Hour) {
		t.Errorf("state %d until %v, want idle until an hour after the last reply", got, deadline)
	}
	for i := 1; b.Len() < LeastPlaces; i++ {
		b.open(t, numbered(1, i), "later", began)
	}
	now := start.Add(59 * time.Minute)
	if _, gone, ok := b.Enter(host("10.0.0.2"), true, now); !ok || gone != "aside" {
		t.Errorf("one more: %t, and %v goes, want the one that was idle first", ok, gone)
	}
	b.EndAside(c, now)

	b = New(Limits{})
	c = b.open(t, host("10.0.0.1"), "aside", start)
	b.hold(c, start, func(h *held) { h.buffers += free })
	b.Begin(c, start)
	b.Aside(c, start)
	b.EndAside(c, now)
	if got, deadline := b.Charged(), b.Deadline(c); got != 0 || deadline != start.Add(DefaultIdleTime) {
		t.Errorf("afterwards %d bytes are charged, until %v, want none and no other deadline", got, deadline)
	}
}

// A connection that ends while a request is answered aside leaves its place
// when that is over, and not before.
func TestAsideIsLeftBehind(t *testing.T) {
	b := New(Limits{})
	now := start
	c := b.open(t, numbered(1, 1), nil, now)
	b.Begin(c, now)
	b.Aside(c, now)
	b.Leave(c, now)
	if b.Len() != 1 {
		t.Fatalf("%d connections have a place, want the one whose request is not over", b.Len())
	}
	b.EndAside(c, now)
	if b.Len() != 0 {
		t.Errorf("%d connections have a place when all is over", b.Len())
	}
	if behind := c.client.behind; behind != 0 {
		t.Errorf("%d requests count as left behind when all is over", behind)
	}
}
