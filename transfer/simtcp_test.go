package transfer

import (
	"context"
	"net"
	"net/netip"

	"malcolm/transfer/source/sourcetest"
)

// simTCP is the TCP of a world. The world's lock protects it.
type simTCP struct {
	on    bool                               // servers that start get TCP ports too
	ports map[netip.AddrPort]*sourcetest.TCP // of servers that have them
}

// Dial implements [Network]. A server without a TCP port refuses.
func (w *world) Dial(ctx context.Context, remote netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	t := w.tcp.ports[remote]
	w.port++
	from := netip.AddrPortFrom(clientHost, uint16(w.port))
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
	if w.tcp.ports == nil {
		w.tcp.ports = make(map[netip.AddrPort]*sourcetest.TCP)
	}
	w.tcp.ports[at] = t
	return t
}

// overTCP returns the TCP port of a server.
func (s *server) overTCP(i int) *sourcetest.TCP {
	at := netip.AddrPortFrom(netip.MustParseAddr(s.targets[i].Host), s.targets[i].Port)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.tcp.ports[at]
}
