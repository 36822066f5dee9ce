package main

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/systemd"
)

// given are the sockets that the service manager has opened. Each takes the
// place of the flag that would have opened it.
type given struct {
	udp     []net.PacketConn // of the virtual servers
	tcp     []net.Listener   // one for each of udp, nil where it has none
	https   bool             // one of tcp is named so
	http    net.Listener     // nil: not given
	metrics net.Listener     // nil: not given
}

// where says on which sockets serve listens.
type where struct {
	given
	ports []uint16 // to open, if given has none; 0 is any free one
}

// where finds out on which sockets to listen, and checks the flags that say so.
func (c *serveCmd) where(t *terminal) (at where, err error) {
	if at.given, err = c.takeGiven(t); err == nil && len(at.udp) == 0 {
		at.ports, err = c.ports(t)
	}
	if err == nil {
		err = c.HTTPFlags.check(c.NoTCP)
	}
	return at, err
}

// reopen returns open, for the sockets that serve has opened; nil: the service
// manager has, and keeps them open.
func (at *where) reopen(open func(net.Addr) (net.PacketConn, error)) func(net.Addr) (net.PacketConn, error) {
	if len(at.udp) > 0 {
		return nil
	}
	return open
}

// reopenTCP is reopen for TCP.
func (at *where) reopenTCP(open func(net.Addr) (net.Listener, error)) func(net.Addr) (net.Listener, error) {
	if len(at.udp) > 0 {
		return nil
	}
	return open
}

// The names of sockets that say what they are for. Any other name leaves that
// to the kind of the socket: without FileDescriptorName= it is its unit's.
const (
	namedUDP     = "udp"
	namedTCP     = "tcp"
	namedHTTPS   = "https"
	namedHTTP    = "http"
	namedMetrics = "metrics"
)

// takeGiven takes over the sockets of the service manager, and has the flags
// that they replace say what holds.
func (c *serveCmd) takeGiven(t *terminal) (g given, err error) {
	sockets, err := systemd.Sockets(t.getenv, os.Unsetenv, os.Getpid())
	if err != nil {
		return g, err
	}
	if g, err = sortGiven(sockets); err != nil {
		return g, err
	}
	c.HTTPS = c.HTTPS || g.https
	c.HTTPFlags.given, c.MetricsFlags.given = g.http, g.metrics
	for _, each := range []struct {
		flag  string
		asked flags.Listen
		ln    net.Listener
	}{{"http", c.HTTP, g.http}, {"metrics", c.Metrics, g.metrics}} {
		if each.ln != nil && each.asked.IsValid() && each.asked.Port() != addrOf(each.ln.Addr()).Port() {
			t.Warn("--%s %s: left out: the service manager's socket at %s takes its place", each.flag, each.asked, each.ln.Addr())
		}
	}
	if len(g.udp) == 0 {
		return g, nil
	}
	if c.NoTCP && slices.ContainsFunc(g.tcp, func(ln net.Listener) bool { return ln != nil }) {
		return g, usage("--no-tcp, but the service manager has opened sockets for TCP, where clients would wait")
	}
	c.Bind = g.bind()
	return g, c.unsaid(t, g)
}

// unsaid warns of the ports of -p that no socket has.
func (c *serveCmd) unsaid(t *terminal, g given) error {
	words, err := flags.ExpandPorts(c.Ports)
	if err != nil {
		return &usageError{err}
	}
	var without []int
	for _, w := range words {
		has := func(pc net.PacketConn) bool { return addrOf(pc.LocalAddr()).Port() == w.Port }
		if w.Problem == "" && !slices.ContainsFunc(g.udp, has) {
			without = append(without, int(w.Port))
		}
	}
	if len(without) > 0 {
		t.Warn("%s: left out: the service manager has opened the sockets, and none of them has it", portNames(without))
	}
	return nil
}

// sortGiven finds out what sockets are for. If it cannot, the error is a
// [*systemd.SocketError].
func sortGiven(sockets []systemd.Socket) (g given, err error) {
	var udp, tcp []systemd.Socket
	for _, s := range sockets {
		if why := wrongFor(s); why != "" {
			return g, &systemd.SocketError{Number: s.Number, Name: s.Name, Why: why}
		}
		var again bool
		switch {
		case s.UDP != nil:
			again = slices.ContainsFunc(udp, func(o systemd.Socket) bool { return addrOf(o.Addr()) == addrOf(s.Addr()) })
			udp, g.udp = append(udp, s), append(g.udp, s.UDP)
		case s.Name == namedHTTP:
			again, g.http = g.http != nil, s.TCP
		case s.Name == namedMetrics:
			again, g.metrics = g.metrics != nil, s.TCP
		default:
			g.https = g.https || s.Name == namedHTTPS
			tcp = append(tcp, s)
		}
		if again {
			return g, &systemd.SocketError{Number: s.Number, Name: s.Name, Why: "one before it is for the same"}
		}
	}
	if len(udp) > flags.MaxPorts {
		return g, &systemd.SocketError{Why: fmt.Sprintf("%d are for UDP, and at most %d virtual servers are possible", len(udp), flags.MaxPorts)}
	}
	return g, g.pair(tcp)
}

// wrongFor says why a socket cannot be what its name says; empty: it can.
func wrongFor(s systemd.Socket) string {
	switch s.Name {
	case namedUDP:
		if s.UDP == nil {
			return "is for TCP: its unit needs ListenDatagram="
		}
	case namedTCP, namedHTTPS, namedHTTP, namedMetrics:
		if s.TCP == nil {
			return "is for UDP: its unit needs ListenStream="
		}
	}
	return ""
}

// pair puts each socket for TCP beside that for UDP at its address, or else at
// its port.
func (g *given) pair(tcp []systemd.Socket) error {
	g.tcp = make([]net.Listener, len(g.udp))
	beside := func(s systemd.Socket, is func(udp netip.AddrPort) bool) bool {
		for i, pc := range g.udp {
			if g.tcp[i] == nil && is(addrOf(pc.LocalAddr())) {
				g.tcp[i] = s.TCP
				return true
			}
		}
		return false
	}
	tcp = slices.DeleteFunc(tcp, func(s systemd.Socket) bool {
		return beside(s, func(udp netip.AddrPort) bool { return udp == addrOf(s.Addr()) })
	})
	for _, s := range tcp {
		port := addrOf(s.Addr()).Port()
		if !beside(s, func(udp netip.AddrPort) bool { return udp.Port() == port }) {
			return &systemd.SocketError{Number: s.Number, Name: s.Name, Why: fmt.Sprintf("is for TCP port %d, and no socket for UDP of that port is there for it", port)}
		}
	}
	return nil
}

// bind returns the address of all sockets of virtual servers; the zero Addr: it
// is not one address, or all.
func (g *given) bind() (bind netip.Addr) {
	for _, pc := range g.udp {
		at := addrOf(pc.LocalAddr()).Addr()
		if at.IsUnspecified() || bind.IsValid() && at != bind {
			return netip.Addr{}
		}
		bind = cmp.Or(bind, at)
	}
	return bind
}

// addrOf returns the address and port of a UDP or TCP address.
func addrOf(a net.Addr) netip.AddrPort {
	at := a.(interface{ AddrPort() netip.AddrPort }).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
