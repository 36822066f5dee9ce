package transfer

import (
	"context"
	"hash/fnv"
	"net"
	"net/netip"
	"testing"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transport"
)

// simTCP is the TCP of a world. The world's lock protects it.
type simTCP struct {
	on    bool                               // servers that start get TCP ports too
	only  bool                               // nobody uses UDP
	led   bool                               // ports take the settings of links, but for those of one way
	ports map[netip.AddrPort]*sourcetest.TCP // of servers that have them
}

// Dial implements [Network]. A server without a TCP port refuses.
func (w *world) Dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	return w.dialFrom(ctx, clientHost, remote)
}

func (w *world) dialFrom(ctx context.Context, host netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	t := w.tcp.ports[remote]
	w.port++
	from := netip.AddrPortFrom(host, uint16(w.port))
	w.mu.Unlock()
	if t == nil {
		t = sourcetest.NewTCP(remote, sourcetest.TCPPath{Refuses: true})
	}
	return t.Dial(ctx, from)
}

// listenTCP opens a server's TCP port.
func (w *world) listenTCP(at netip.AddrPort) net.Listener {
	t := sourcetest.NewTCP(at, sourcetest.TCPPath{Delay: defaultDelay, Rate: defaultRate})
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.links[at]; w.tcp.led && l != nil {
		l.tcp = t
		l.leadTCP()
	}
	if w.tcp.ports == nil {
		w.tcp.ports = make(map[netip.AddrPort]*sourcetest.TCP)
	}
	w.tcp.ports[at] = t
	return t
}

// leadTCP gives the settings of a link to the TCP port behind it. w.mu is held.
func (l *link) leadTCP() {
	if l.tcp != nil {
		l.tcp.Set(func(p *sourcetest.TCPPath) {
			p.Delay, p.Rate, p.Hole, p.Window = l.delay, l.rate, l.hole, 0
			if 0 < l.rate && l.rate < defaultRate { // else what is sent has long left
				p.Window = max(leastWindow, int(l.rate*(2*l.delay+l.queue).Seconds()))
			}
		})
	}
}

// leastWindow is the least window of a TCP connection, in bytes.
const leastWindow = 32 << 10

// overBoth runs f twice, over QUIC and over TCP, each in a world of its own.
func overBoth(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("quic", func(t *testing.T) { bubble(t, f) })
	t.Run("tcp", func(t *testing.T) { bubbleTCP(t, f) })
}

// overEither is overBoth where the rooms above the transport are the subject.
// With the race detector f runs over one of them, which the test's name picks:
// half of the cases of a table run over each.
func overEither(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	name := fnv.New64a()
	name.Write([]byte(t.Name()))
	switch {
	case !raceEnabled:
		overBoth(t, f)
	case name.Sum64()>>32%2 == 0:
		t.Run("quic", func(t *testing.T) { bubble(t, f) })
	default:
		t.Run("tcp", func(t *testing.T) { bubbleTCP(t, f) })
	}
}

// bubbleTCP is [bubble] in a world in which servers, malicious ones too,
// clients and attackers use TCP alone.
func bubbleTCP(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	bubble(t, func(t *testing.T, w *world) {
		w.tcp = simTCP{on: true, only: true, led: true}
		f(t, w)
	})
}

// reaches gives a run the world's network, unless it has another one.
func (w *world) reaches(cfg *getConfig) {
	if cfg.Network == nil {
		cfg.Network = w
	}
	if w.tcp.only && cfg.Transport == 0 {
		cfg.Transport = transport.TCP
	}
}

// mostLinks is how many TLS connections a client's connection is made of.
const mostLinks = 8

// mostStreams is how many requests a client can have under way on a connection,
// one on each of its 8 TLS connections over TCP.
func (w *world) mostStreams() int {
	if w.tcp.only {
		return mostLinks
	}
	return transport.DefaultMaxStreams
}

// dialer returns what makes TCP connections to a server from a host; nil where
// UDP is used.
func (w *world) dialer(t source.Target, host netip.Addr) func(context.Context) (net.Conn, error) {
	if !w.tcp.only {
		return nil
	}
	to := addrOf(t).AddrPort()
	return func(ctx context.Context) (net.Conn, error) { return w.dialFrom(ctx, host, to) }
}

// resetTCP ends a server's TCP connections, as the network does, or as the
// system does when a process is killed.
func (s *server) resetTCP(killed bool) {
	for i := range s.targets {
		if t := s.overTCP(i); t != nil {
			if killed {
				t.Close()
			}
			t.Reset()
		}
	}
}

// overTCP returns the TCP port of a server.
func (s *server) overTCP(i int) *sourcetest.TCP {
	return s.w.portOf(s.targets[i])
}

// portOf returns the TCP port at a target; nil: it has none.
func (w *world) portOf(t source.Target) *sourcetest.TCP {
	at := netip.AddrPortFrom(netip.MustParseAddr(t.Host), t.Port)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tcp.ports[at]
}
