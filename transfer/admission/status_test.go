package admission

import (
	"testing"
	"time"
)

// The clients that were sent the most come first.
func TestClientsAreBounded(t *testing.T) {
	b := New(Limits{})
	for i := range 40 {
		c := b.open(t, numbered(1, i), nil, start)
		b.Moved(c, Progress{Bytes: int64(i), File: true}, start)
		b.Moved(c, Progress{Bytes: 1000}, start)
	}
	list, others := b.Clients(32)
	if len(list) != 32 || others != 8 {
		t.Fatalf("%d clients and %d more, want 32 and 8", len(list), others)
	}
	for i, s := range list {
		if want := int64(39 - i); s.Sent != want || s.Conns != 1 {
			t.Errorf("place %d: %+v, want %d bytes", i, s, want)
		}
	}
}

// A book counts what it refuses, evicts and delays.
func TestCounts(t *testing.T) {
	const places, wasted = 3, 2
	b := New(Limits{Places: places, Wasted: wasted, Handshakes: 100})
	now := start
	var conns []*Conn
	for i := range places {
		conns = append(conns, b.enter(t, numbered(i, 1), now))
		b.Shake(conns[i], i, now)
	}
	if !b.MustProve(numbered(9, 1), now) {
		t.Error("nobody must prove the address although places run out")
	}
	if _, gone, ok := b.Enter(numbered(9, 1), true, now); !ok || gone == nil {
		t.Fatalf("somebody had to go: %v, %v", gone, ok)
	}
	for _, c := range conns {
		b.Opened(c, [16]byte{}, now)
		b.request(c, now)
		b.Moved(c, Progress{Bytes: 1 << 20}, now)
	}
	if _, _, ok := b.Enter(numbered(9, 2), true, now); ok {
		t.Fatal("there was a place left")
	}
	for range wasted {
		b.Account(conns[places-1], UseNone, now)
		b.Account(conns[places-1], UseStat, now)
	}
	for range 2 { // the first has its turn at once
		b.Turn(conns[places-1], time.Second, now)
	}
	if passed, clients := b.Passed(); passed != (Passed{Begun: places + 1, Shaken: places, Opened: places}) || clients != places-1 {
		t.Errorf("passed: %+v, %d clients; want one more begun than shaken, and that the evicted one is no client", passed, clients)
	}
	load, got := b.Load()
	if want := (Counts{Retried: 1, Refused: 1, Evicted: 1, Wasted: wasted, Delayed: 1}); got != want {
		t.Errorf("counts = %+v, want %+v", got, want)
	}
	for _, c := range conns {
		b.Leave(c, now)
		b.End(c, true, now)
	}
	if _, clients := b.Passed(); clients != 0 {
		t.Errorf("%d clients once all have gone, want 0", clients)
	}
	if load.Conns != places {
		t.Errorf("load = %+v, want %d connections", load, places)
	}
}
