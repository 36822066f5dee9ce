package admission

import "testing"

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
