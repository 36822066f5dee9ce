package transport

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"malcolm/transfer/admission"
)

// A bookGate admits by a book, as the gate of serve does.
type bookGate struct{ *admission.Book }

func (g bookGate) MustProve(from netip.Addr) bool { return g.Book.MustProve(from, time.Now()) }

func (g bookGate) Enter(from netip.Addr, proved bool) (any, func(), bool) {
	c, _, ok := g.Book.Enter(from, proved, time.Now())
	return c, func() { g.Leave(c, time.Now()) }, ok
}

// An attackedServer is a server in a network that counts the packets between it
// and everybody but the honest client.
type attackedServer struct {
	*network
	server net.Addr
	book   *admission.Book

	mu          sync.Mutex
	repliesLost bool           // packets from the server to attackers are lost
	flights     map[string]int // packets that each attacker's address has sent
	perFlow     int            // packets of each address that arrive; 0: all
	received    int            // bytes from attackers that reached the server
	replied     int            // bytes that the server sent to attackers
	packets     int            // that carried them
	most        int            // connections at the same time
}

const honestHost = 2

// newAttackedServer returns a network with a server that sends size bytes on
// each stream.
func newAttackedServer(t *testing.T, limits admission.Limits, size int) *attackedServer {
	s := &attackedServer{network: newNetwork(t), book: admission.New(limits), flights: make(map[string]int)}
	l := serve(t, s.conn(1, 1), ListenOptions{Gate: bookGate{s.book}})
	s.server = l.Addr()
	drop := s.see
	s.drop.Store(&drop)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			wg.Go(func() {
				for {
					st, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					wg.Go(func() {
						defer st.Release()
						st.Write(make([]byte, size))
						st.CloseWrite()
					})
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return s
}

// see counts a packet and reports whether it is lost.
func (s *attackedServer) see(p simnet.Packet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, s.book.Len())
	honest := net.IPv4(10, 0, 0, honestHost)
	if p.To.String() == s.server.String() {
		if p.From.(*net.UDPAddr).IP.Equal(honest) {
			return false
		}
		from := p.From.String()
		s.flights[from]++
		if s.perFlow > 0 && s.flights[from] > s.perFlow {
			return true
		}
		s.received += len(p.Data)
		return false
	}
	if p.To.(*net.UDPAddr).IP.Equal(honest) {
		return false
	}
	s.replied += len(p.Data)
	s.packets++
	return s.repliesLost
}

// honest downloads size bytes and logs its rate.
func (s *attackedServer) honest(t *testing.T, port, size int) {
	t.Helper()
	began := time.Now()
	c := mustDial(t, s.conn(honestHost, port), s.server, DialOptions{})
	st, err := c.OpenStream(t.Context(), Patient)
	if err != nil {
		t.Fatal(err)
	}
	st.Write([]byte{1})
	if n, err := io.Copy(io.Discard, st); n != int64(size) || err != nil {
		t.Errorf("the honest client got %d bytes, %v, want %d", n, err, size)
	}
	t.Logf("the honest client: %.1f MB/s", float64(size)/1e6/time.Since(began).Seconds())
	c.Close(0, "")
}

// socketAt returns an attacker's socket at addr.
func (s *attackedServer) socketAt(addr *net.UDPAddr) net.PacketConn {
	link := &simnet.SimulatedLink{UploadPacket: s, Latency: s.rtt / 2}
	c := simnet.NewBlockingSimConn(addr, link)
	link.Start()
	s.AddNode(addr, link)
	s.t.Cleanup(func() { c.Close(); link.Close() })
	return c
}

// beginHandshake sends a client's first flight from addr and leaves.
func (s *attackedServer) beginHandshake(t *testing.T, addr *net.UDPAddr) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	c, err := Dial(ctx, s.socketAt(addr), s.server, DialOptions{TLS: clientTLS()})
	if err == nil {
		c.Close(0, "")
		t.Error("an attacker finished a handshake in 5 ms")
	}
}

// firstFlight is the number of packets that a client sends before it hears of
// the server.
const firstFlight = 2

// counts returns what the attack has cost so far.
func (s *attackedServer) counts() (received, replied, packets, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received, s.replied, s.packets, s.most
}

// addresses returns the number of addresses from which attackers have sent.
func (s *attackedServer) addresses() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.flights)
}

func TestHostileHandshakeFloodFromSpoofedAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, forged = 1 << 20, 1000
		s := newAttackedServer(t, admission.Limits{}, size)
		s.repliesLost, s.perFlow = true, firstFlight
		for i := range forged {
			s.beginHandshake(t, &net.UDPAddr{IP: net.IPv4(10, 1, byte(i>>8), byte(i)).To4(), Port: 1})
			if i == forged/2 {
				s.honest(t, 1, size)
			}
		}
		received, replied, packets, most := s.counts()
		t.Logf("%d forged flights of %d bytes: %d connections, %d packets and %d bytes in reply", forged, received, most, packets, replied)
		// A burst, and the handshakes of the time for which a silent
		// client is remembered.
		const rate = admission.DefaultHandshakes
		limit := rate + int(rate*(DefaultHandshakeTimeout/2).Seconds()) + 1
		if most > limit {
			t.Errorf("%d connections were made for forged addresses, want at most %d", most, limit)
		}
		if n := s.addresses(); n != forged || received < forged*1200 {
			t.Errorf("%d flights with %d bytes arrived, want all", n, received)
		}
		if replied > 3*received {
			t.Errorf("%d bytes were sent to forged addresses for %d that they sent", replied, received)
		}
		time.Sleep(DefaultHandshakeTimeout)
		synctest.Wait()
		if got := s.book.Len(); got != 0 {
			t.Errorf("%d connections are left", got)
		}
	})
}

// Forged addresses never take more than half of the places.
func TestHostileSpoofedAddressesLeavePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 10
		s := newAttackedServer(t, admission.Limits{Places: 32, Handshakes: 1000}, size)
		s.repliesLost, s.perFlow = true, firstFlight
		for i := range 100 {
			s.beginHandshake(t, &net.UDPAddr{IP: net.IPv4(10, 1, 0, byte(i)).To4(), Port: 1})
		}
		if _, _, _, most := s.counts(); most != 16 {
			t.Errorf("%d connections for forged addresses, want half of 32", most)
		}
		s.honest(t, 1, size)
	})
}

// Only a few connections can be begun in the name of another client.
func TestHostileSpoofedAddressOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAttackedServer(t, admission.Limits{Handshakes: 1000}, 1)
		s.repliesLost, s.perFlow = true, firstFlight
		for i := range 200 {
			s.beginHandshake(t, &net.UDPAddr{IP: net.IPv4(10, 1, 0, 1).To4(), Port: 1 + i})
		}
		if _, _, _, most := s.counts(); most != admission.MostUnproved {
			t.Errorf("%d connections, want %d", most, admission.MostUnproved)
		}
	})
}

// An address that shakes hands again and again is held to a pace.
func TestHostileHandshakeFloodFromOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, rate, burst = 1 << 20, 4, 16 * 4
		s := newAttackedServer(t, admission.Limits{Handshakes: rate}, size)
		began := time.Now()
		done := 0
		for i := range 400 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			c, err := Dial(ctx, s.socketAt(&net.UDPAddr{IP: net.IPv4(10, 1, 0, 1).To4(), Port: 1 + i}), s.server, DialOptions{TLS: clientTLS()})
			cancel()
			if err == nil {
				done++
				c.Close(0, "")
			} else {
				wantPeer(t, err, PeerRefused)
			}
			if i == 200 {
				s.honest(t, 1, size)
			}
		}
		seconds := time.Since(began).Seconds()
		// The rate counts once with a proof of the address, and once
		// without.
		limit := burst + rate + int(2*rate*seconds) + 1
		t.Logf("%d of 400 handshakes in %.1f s", done, seconds)
		if done > limit || done < burst {
			t.Errorf("%d handshakes in %.1f s, want at most %d", done, seconds, limit)
		}
	})
}

// Handshakes that a client begins and does not continue take places for a
// while, but only its own.
func TestHostileHalfOpenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		s := newAttackedServer(t, admission.Limits{}, size)
		s.repliesLost, s.perFlow = true, firstFlight
		for i := range 10 * admission.MostUnproved {
			s.beginHandshake(t, &net.UDPAddr{IP: net.IPv4(10, 1, 0, 1).To4(), Port: 1 + i})
		}
		s.honest(t, 1, size)
		if _, _, _, most := s.counts(); most > admission.MostUnproved+1 {
			t.Errorf("%d half-open connections of one address", most)
		}
		time.Sleep(DefaultHandshakeTimeout)
		synctest.Wait()
		if got := s.book.Len(); got != 0 {
			t.Errorf("%d connections are left behind the time for a handshake", got)
		}
	})
}

// Datagrams that are no handshake make no connection. An answer, if any, has
// fewer bytes than they have.
func TestHostileGarbageOnThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, datagrams = 1 << 20, 4000
		s := newAttackedServer(t, admission.Limits{}, size)
		s.repliesLost = true
		pc := s.socketAt(&net.UDPAddr{IP: net.IPv4(10, 1, 0, 1).To4(), Port: 1})
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range datagrams {
			pc.WriteTo(garbage(rng, i), s.server)
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
			if i == datagrams/2 {
				s.honest(t, 1, size)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		received, replied, packets, most := s.counts()
		t.Logf("%d bytes of garbage: %d packets and %d bytes in reply, %d connections", received, packets, replied, most)
		if replied > received {
			t.Errorf("%d bytes in reply to %d", replied, received)
		}
		if most > 1+admission.DefaultHandshakes {
			t.Errorf("%d connections", most)
		}
		time.Sleep(DefaultHandshakeTimeout)
		synctest.Wait()
		if got := s.book.Len(); got != 0 {
			t.Errorf("%d connections are left", got)
		}
	})
}

// garbage returns random bytes, half of the time in the form of some QUIC
// packet.
func garbage(rng *rand.Rand, i int) []byte {
	b := make([]byte, 1+rng.IntN(1400))
	for j := range b {
		b[j] = byte(rng.Uint32())
	}
	if len(b) < 7 || i%2 == 0 {
		return b
	}
	version := uint32(1)
	if rng.IntN(4) == 0 {
		version = rng.Uint32() // asks for a negotiation
	}
	b[0] |= 0xc0
	if rng.IntN(2) == 0 {
		b[0] &^= 0x30 // Initial
		b = append(b, make([]byte, 1200)...)
	}
	binary.BigEndian.PutUint32(b[1:], version)
	b[5] = byte(rng.IntN(22)) // length of the connection ID
	return b
}

// A client cannot open a stream in place of one that the server still works on,
// even if both of its sides have ended.
func TestHostileStreamsThatEndEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams = 4
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{MaxStreams: streams})
		client := mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{})
		server := mustAccept(t, l)
		var working []Stream
		for range streams {
			st, err := client.OpenStream(t.Context(), Patient)
			if err != nil {
				t.Fatal(err)
			}
			st.Write([]byte{1})
			st.CloseWrite()
			st.CancelRead(1, LeftUnknown)
			s, err := server.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, s)
			s.CancelWrite(1)
			working = append(working, s)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.OpenStream(short, Patient); err == nil {
			t.Error("a stream more was opened while the server works on all")
		}
		working[0].Release()
		if _, err := client.OpenStream(t.Context(), Patient); err != nil {
			t.Errorf("no stream in the place of one that was released: %v", err)
		}
	})
}
