package transport

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
	"pgregory.net/rapid"

	"malcolm/transfer/admission"
)

func TestWindowsCarryAGigabit(t *testing.T) {
	const inFlight = 1_000_000_000 / 8 / 10 // 1 Gbit/s for 100 ms, in bytes
	if maxStreamWindow*3/4 < inFlight || maxConnWindow*3/4 < inFlight {
		t.Error("the windows are too small")
	}
	if maxConnWindow > DefaultWindows-DefaultWindows/8 {
		t.Error("one connection cannot have its largest window")
	}
}

func TestInitialWindows(t *testing.T) {
	for _, tc := range []struct {
		n            int
		stream, conn int64
	}{
		{0, 512 << 10, 1 << 20},
		{1, 512 << 10, 1 << 20},
		{64, 512 << 10, 1 << 20},
		{128, 512 << 10, 512 << 10},
		{256, 256 << 10, 256 << 10},
		{1024, 64 << 10, 64 << 10},
	} {
		if stream, conn := InitialWindows(tc.n); stream != tc.stream || conn != tc.conn {
			t.Errorf("InitialWindows(%d) = %d, %d, want %d, %d", tc.n, stream, conn, tc.stream, tc.conn)
		}
	}
}

func TestWindowBudgetProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int64Range(1, 1000).Draw(t, "total")
		b := NewWindowBudget(total)
		held := map[*lease]int64{}
		var all []*lease // closed ones too
		check := func() {
			var sum int64
			for _, n := range held {
				sum += n
			}
			if got := b.Used(); got != sum || got > total {
				t.Fatalf("used = %d, want %d of %d", got, sum, total)
			}
		}
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			n := rapid.Int64Range(0, 400).Draw(t, "n")
			if len(all) == 0 || rapid.Bool().Draw(t, "open") {
				further := rapid.Bool().Draw(t, "further")
				left := total - b.Used()
				if further {
					left -= total / 8
				}
				if l := b.open(n, 10, further); l != nil {
					if n > left && l.held > left {
						t.Fatalf("open(%d) took %d of %d", n, l.held, left)
					}
					if l.held < min(n, 10) || l.held > n {
						t.Fatalf("open(%d) took %d", n, l.held)
					}
					held[l], all = l.held, append(all, l)
				} else if left >= 10 {
					t.Fatalf("open(%d) failed with %d left", n, left)
				}
				check()
				continue
			}
			l := rapid.SampledFrom(all).Draw(t, "lease")
			_, open := held[l]
			if rapid.Bool().Draw(t, "grow") {
				want := open && b.Used()+n <= total-total/8
				if got := l.grow(n); got != want {
					t.Fatalf("grow(%d) = %v with %d of %d used, want %v", n, got, b.Used(), total, want)
				}
				if want {
					held[l] += n
				}
			} else {
				l.close()
				delete(held, l)
			}
			check()
		}
	})
}

// download reads size bytes on one stream as they come.
func download(t *testing.T, client, server Conn, size int64) {
	t.Helper()
	c, s := streams(t, client, server)
	go func() {
		s.Write(make([]byte, size))
		s.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); n != size || err != nil {
		t.Errorf("read %d bytes, %v, want %d", n, err, size)
	}
}

func TestWindowBudgetOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		const first = 128 << 10
		b := NewWindowBudget(8 * first)
		o := DialOptions{Windows: b, StreamWindow: first / 2, ConnWindow: first}
		c1 := mustDial(t, n.conn(2, 2), l.Addr(), o)
		s1 := mustAccept(t, l)
		if got := b.Used(); got != first {
			t.Errorf("used at the start = %d, want %d", got, first)
		}
		download(t, c1, s1, 8<<20)
		if got := b.Used(); got <= first || got > 7*first {
			t.Errorf("used after a download = %d, want more than %d, at most %d", got, first, 7*first)
		}
		c2 := mustDial(t, n.conn(3, 3), l.Addr(), o)
		s2 := mustAccept(t, l)
		download(t, c2, s2, 1<<20)
		if got := b.Used(); got > 8*first {
			t.Errorf("used by two = %d, want at most %d", got, 8*first)
		}
		c1.Close(0, "")
		c2.Close(0, "")
		if got := b.Used(); got != 0 {
			t.Errorf("used after the end = %d, want 0", got)
		}

		kept := NewWindowBudget(8 * first)
		o = DialOptions{Windows: kept, ConnWindow: first, Further: true}
		for i := range 7 {
			mustDial(t, n.conn(6, 10+i), l.Addr(), o)
			mustAccept(t, l)
		}
		_, err := dial(n.conn(6, 20), l.Addr(), o)
		wantLocal(t, err, LocalWindows)
		o.Further = false
		mustDial(t, n.conn(6, 21), l.Addr(), o)
		mustAccept(t, l)

		full := NewWindowBudget(minConnWindow)
		mustDial(t, n.conn(4, 4), l.Addr(), DialOptions{Windows: full})
		mustAccept(t, l)
		_, err = dial(n.conn(5, 5), l.Addr(), DialOptions{Windows: full})
		wantLocal(t, err, LocalWindows)
		if got := full.Used(); got != minConnWindow {
			t.Errorf("used by one of two = %d, want %d", got, minConnWindow)
		}
	})
}

func TestClientWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		const stream, conn = 64 << 10, 160 << 10
		client := mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{StreamWindow: stream, ConnWindow: conn})
		server := mustAccept(t, l)
		var total int
		for range 4 {
			_, s := streams(t, client, server)
			s.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := s.Write(make([]byte, conn))
			wantLocal(t, err, LocalDeadline)
			if n > stream {
				t.Errorf("a stream took %d bytes, want at most %d", n, stream)
			}
			total += n
		}
		if total != conn {
			t.Errorf("the connection took %d bytes, want %d", total, conn)
		}
	})
}

func TestWindowsGivenBackByFailedDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		b := NewWindowBudget(0)
		_, err := dial(n.conn(2, 2), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 9).To4(), Port: 9}, DialOptions{Windows: b})
		wantNetwork(t, err, NoAnswer)
		if got := b.Used(); got != 0 {
			t.Errorf("used = %d, want 0", got)
		}
	})
}

// A countedGate takes connections while there are fewer than most.
type countedGate struct {
	mu        sync.Mutex
	most, now int
	from      []netip.Addr
}

func (g *countedGate) MustProve(netip.Addr) bool { return false }

func (g *countedGate) Enter(from netip.Addr, _ bool) (any, func(), bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.from = append(g.from, from)
	if g.now == g.most {
		return nil, nil, false
	}
	g.now++
	return len(g.from), func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}, true
}

// A gate that several listeners share is called for each connection, and learns
// of its end. The connection keeps what the gate gave it.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		gate := &countedGate{most: 2}
		l1 := serve(t, n.conn(1, 1), ListenOptions{Gate: gate})
		l2 := serve(t, n.conn(1, 2), ListenOptions{Gate: gate})
		a := mustDial(t, n.conn(2, 2), l1.Addr(), DialOptions{})
		if got := mustAccept(t, l1).Place(); got != 1 || a.Place() != nil {
			t.Errorf("place = %v at the server, %v at the client, want 1 and none", got, a.Place())
		}
		mustDial(t, n.conn(3, 3), l2.Addr(), DialOptions{})
		if got := mustAccept(t, l2).Place(); got != 2 {
			t.Errorf("place = %v, want 2", got)
		}
		_, err := dial(n.conn(4, 4), l1.Addr(), DialOptions{})
		wantPeer(t, err, PeerRefused)
		a.Close(0, "")
		time.Sleep(testRTT)
		synctest.Wait()
		if gate.now != 1 {
			t.Errorf("%d are there after one has closed, want 1", gate.now)
		}
		mustDial(t, n.conn(5, 5), l1.Addr(), DialOptions{})
		mustAccept(t, l1)
		l1.Close()
		l2.Close()
		synctest.Wait()
		if gate.now != 0 {
			t.Errorf("%d are there after the end, want 0", gate.now)
		}
		// The gate is called for each of a client's first packets until
		// it takes one.
		for i, from := range slices.Compact(gate.from) {
			if want := netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + i)}); from != want {
				t.Errorf("connection %d came from %v, want %v", i, from, want)
			}
		}
	})
}

// A handshake that fails gives its place back. One that is not continued keeps
// it for the time that a handshake may take.
func TestGateAndFailedHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		limit := admission.New(admission.Limits{Places: 1})
		l := serve(t, n.conn(1, 1), ListenOptions{Gate: bookGate{limit}})

		conf := clientTLS()
		conf.NextProtos = []string{"h3"}
		_, err := dial(n.conn(2, 2), l.Addr(), DialOptions{TLS: conf})
		wantPeer(t, err, PeerNoALPN)
		synctest.Wait()
		if got := limit.Len(); got != 0 {
			t.Errorf("connections after an alert = %d, want 0", got)
		}

		// A client that sends one flight and is never heard of again.
		var passed atomic.Int64
		drop := func(p simnet.Packet) bool {
			return p.To.String() == "10.0.0.3:3" || p.From.String() == "10.0.0.3:3" && passed.Add(1) > 2
		}
		n.drop.Store(&drop)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = Dial(ctx, n.conn(3, 3), l.Addr(), DialOptions{TLS: clientTLS()})
		wantNetwork(t, err, NoAnswer)
		if passed.Load() == 0 {
			t.Fatal("the first flight did not pass")
		}
		if got := limit.Len(); got != 1 {
			t.Errorf("connections while half open = %d, want 1", got)
		}
		_, err = dial(n.conn(4, 4), l.Addr(), DialOptions{})
		wantPeer(t, err, PeerRefused)
		time.Sleep(DefaultHandshakeTimeout)
		synctest.Wait()
		if got := limit.Len(); got != 0 {
			t.Errorf("connections after the half-open one ended = %d, want 0", got)
		}
		mustDial(t, n.conn(5, 5), l.Addr(), DialOptions{})
	})
}

func TestHostOf(t *testing.T) {
	a := hostOf(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1})
	if b := hostOf(&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1).To4(), Port: 2}); a != b {
		t.Errorf("%v and %v are one host", a, b)
	}
	if b := hostOf(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}); a != b {
		t.Errorf("%v and %v are one host", a, b)
	}
	if b := hostOf(&net.UnixAddr{Name: "x"}); b.IsValid() {
		t.Errorf("a host without an address: %v", b)
	}
}
