package admission

import (
	"testing"
	"time"
)

// A connection may waste the number of requests that it was told, beyond those
// that were answered whole, before and after. What it earned is no help to
// another one of its client.
func TestWasteOfAConnection(t *testing.T) {
	const limit = 10
	b := New(Limits{Wasted: limit})
	busy := b.open(t, numbered(1, 1), nil, start)
	idle := []*Conn{b.open(t, numbered(1, 1), nil, start), b.open(t, numbered(1, 1), nil, start)}
	for range 100 {
		b.Account(busy, UseWhole, start)
	}
	for i := range 100 + limit {
		if b.Account(busy, UseNone, start) {
			t.Fatalf("too many with %d of %d", i+1, 100+limit)
		}
		if b.Account(busy, UsePart, start) {
			t.Fatal("a part is taken for waste")
		}
	}
	if !b.Account(busy, UseNone, start) {
		t.Error("one more is not too many")
	}
	for range 100 {
		b.Account(busy, UseWhole, start)
	}
	for i := range limit + 1 {
		if got, want := b.Account(idle[i%2], UseNone, start), i == limit; got != want {
			t.Errorf("request %d of two others: too many is %v, want %v", i+1, got, want)
		}
	}
}

// What a client owes is forgiven with time, does not count for others, and is
// remembered when it comes back.
func TestWasteIsForgivenWithTime(t *testing.T) {
	const limit, most = 10, 30 * time.Second
	b := New(Limits{Wasted: limit})
	now := start
	var last *Conn
	for n := range 3 * limit {
		c := b.open(t, numbered(1, 1), nil, now)
		if got, want := b.Account(c, UseNone, now), n >= limit; got != want {
			t.Errorf("request %d: too many is %v, want %v", n, got, want)
		}
		b.Leave(c, now)
	}
	last = b.open(t, numbered(1, 1), nil, now)
	for n := range 2 * limit * int(most/forgiven+1) {
		if got, want := b.Turn(last, most, now), min(most, time.Duration(n)*forgiven/limit); got != want {
			t.Fatalf("connection %d waits %v, want %v", n, got, want)
		}
	}
	other := b.open(t, numbered(1, 2), nil, now)
	if b.Account(other, UseNone, now) || b.Turn(other, most, now) != 0 {
		t.Error("another client pays for it")
	}
	if now = now.Add(forgiven / 2); b.Turn(last, most, now) != 0 || b.Account(last, UseNone, now) {
		t.Error("half the time later nothing is forgiven")
	}
	// The first stat of a connection counts for the connection only.
	for range 3 * limit {
		c := b.open(t, numbered(2, 1), nil, now)
		if b.Account(c, UseStat, now) {
			t.Fatal("first stats are too many")
		}
	}
}
