package transport

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
	"pgregory.net/rapid"
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
				if l := b.open(n, 10); l != nil {
					if l.held < min(n, 10) || l.held > n {
						t.Fatalf("open(%d) took %d", n, l.held)
					}
					held[l], all = l.held, append(all, l)
				} else if total-b.Used() >= 10 {
					t.Fatalf("open(%d) failed with %d left", n, total-b.Used())
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

// download reads size bytes on one stream as fast as they come.
func download(t *testing.T, client, server *Conn, size int64) {
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

		full := NewWindowBudget(minConnWindow)
		mustDial(t, n.conn(4, 4), l.Addr(), DialOptions{Windows: full})
		mustAccept(t, l)
		_, err := dial(n.conn(5, 5), l.Addr(), DialOptions{Windows: full})
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

func TestConnLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		limit := &ConnLimit{Max: 4, MaxPerAddr: 2}
		l1 := serve(t, n.conn(1, 1), ListenOptions{Limit: limit})
		l2 := serve(t, n.conn(1, 2), ListenOptions{Limit: limit})
		port := 0
		connect := func(host byte, l *Listener) (*Conn, error) {
			port++
			c, err := dial(n.conn(host, port), l.Addr(), DialOptions{})
			if err == nil {
				mustAccept(t, l)
			}
			return c, err
		}
		must := func(host byte, l *Listener) *Conn {
			t.Helper()
			c, err := connect(host, l)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close(0, "") })
			return c
		}
		a := must(2, l1)
		must(2, l1)
		_, err := connect(2, l1) // a third from one address to one listener
		wantPeer(t, err, PeerRefused)
		must(2, l2) // another listener
		must(3, l1) // another address
		_, err = connect(4, l2)
		wantPeer(t, err, PeerRefused) // a fifth in all
		if got := limit.Len(); got != 4 {
			t.Errorf("connections = %d, want 4", got)
		}

		a.Close(0, "")
		time.Sleep(testRTT)
		synctest.Wait()
		if got := limit.Len(); got != 3 {
			t.Errorf("connections after one closed = %d, want 3", got)
		}
		must(2, l1)
		l1.Close()
		l2.Close()
		synctest.Wait()
		if got := limit.Len(); got != 0 || len(limit.from) != 0 {
			t.Errorf("connections after the end = %d, addresses = %d, want 0, 0", got, len(limit.from))
		}
	})
}

func TestConnLimitCountsFailedHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		limit := &ConnLimit{Max: 1}
		l := serve(t, n.conn(1, 1), ListenOptions{Limit: limit})

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
