package admission

import (
	"net/netip"
	"testing"
	"time"
)

// start is when the tests begin.
var start = time.Unix(1e9, 0)

func host(s string) netip.Addr { return netip.MustParseAddr(s) }

// numbered returns the nth address of network k, all of which have one /24.
func numbered(k, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(k >> 8), byte(k), byte(n)})
}

// enter lets a proved connection in, or fails the test.
func (b *Book) enter(t *testing.T, from netip.Addr, now time.Time) *Conn {
	t.Helper()
	c, gone, ok := b.Enter(from, true, now)
	if !ok || gone != nil {
		t.Fatalf("a connection from %v: ok %v, and %v had to go", from, ok, gone)
	}
	return c
}

// open lets a connection in that is opened and whose first request is over.
func (b *Book) open(t *testing.T, from netip.Addr, owner any, now time.Time) *Conn {
	t.Helper()
	return b.openRun(t, from, [16]byte{}, owner, now)
}

// openRun is open for a connection of a run.
func (b *Book) openRun(t *testing.T, from netip.Addr, run [16]byte, owner any, now time.Time) *Conn {
	t.Helper()
	c := b.enter(t, from, now)
	b.Shake(c, owner, now)
	b.Opened(c, run, now)
	b.request(c, now)
	return c
}

func (b *Book) request(c *Conn, now time.Time) {
	b.Begin(c, now)
	b.Accept(c, now)
	b.End(c, true, now)
}

// An office of 200 people with four connections each is let in at once.
func TestOfficeIsLetIn(t *testing.T) {
	b := New(Limits{})
	for range 200 * 4 {
		b.open(t, host("192.0.2.1"), nil, start)
	}
}

// A handshake in another's name.
func TestHandshakesInAnothersName(t *testing.T) {
	b := New(Limits{Places: 100, Handshakes: 1000})
	victim := numbered(1, 1)
	taken := 0
	for !b.MustProve(victim, start) {
		if _, _, ok := b.Enter(victim, false, start); !ok {
			t.Fatal("refused")
		}
		taken++
	}
	if taken != MostUnproved {
		t.Errorf("%d handshakes in the name of one address without a proof, want %d", taken, MostUnproved)
	}
	for i := 0; !b.MustProve(numbered(2, i), start); i++ {
		if _, _, ok := b.Enter(numbered(2, i), false, start); !ok {
			t.Fatal("refused")
		}
		taken++
	}
	if taken != 50 {
		t.Errorf("%d handshakes without a proof, want half of the places", taken)
	}
	b = New(Limits{Handshakes: 8})
	for i := range 9 {
		if got := b.MustProve(numbered(1, i), start); got != (i == 8) {
			t.Errorf("handshake %d of a second must prove: %v", i, got)
		}
	}
}

// A client that shakes hands again and again is held to a pace, and its
// half-open connections to a part of the places. Other clients are not.
func TestHandshakesOfOneClient(t *testing.T) {
	b := New(Limits{Places: 1000, Handshakes: 4})
	now := start
	for i := range burst * 4 {
		b.Leave(b.open(t, host("2001:db8::1"), nil, now), now)
		_ = i
	}
	if _, _, ok := b.Enter(host("2001:db8::2"), true, now); ok {
		t.Error("one more is let in")
	}
	b.enter(t, host("2001:db8:0:1::1"), now)
	b.enter(t, host("2001:db8::2"), now.Add(time.Second))

	b = New(Limits{Places: 1000, Handshakes: 1000})
	for range 1000 / halfOpenPart {
		b.enter(t, numbered(1, 1), now)
	}
	if _, _, ok := b.Enter(numbered(1, 1), true, now); ok {
		t.Error("half-open connections of one client take more than their part")
	}
	b.enter(t, numbered(1, 2), now)
}

// Clients that have left are forgotten once they owe nothing, or when there are
// too many.
func TestClientsAreForgotten(t *testing.T) {
	b := New(Limits{})
	now := start
	for i := range departedMost + 1000 {
		b.Leave(b.open(t, numbered(i/200, i%200), nil, now), now)
	}
	b.Leave(b.open(t, host("192.0.2.1"), nil, now), now)
	if n := len(b.clients); n > departedMost+2 {
		t.Errorf("%d clients without a connection are remembered, want at most %d", n, departedMost)
	}
	now = now.Add(2 * forgiven)
	b.Leave(b.open(t, host("192.0.2.1"), nil, now), now)
	if len(b.clients) > 1 || len(b.networks) > 1 {
		t.Errorf("%d clients and %d networks are remembered for ever", len(b.clients), len(b.networks))
	}
}
