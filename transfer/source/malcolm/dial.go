package malcolm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// limitedWindow is the size of a stream's window under a rate limit:
	// the server's share of this many seconds. QUIC tells the sender of
	// progress after each quarter of the window. That must be well before
	// the sender takes the stream for stalled.
	limitedWindow = 20
	// proxiedResolve bounds the search for the address of a server that a
	// proxy leads to.
	proxiedResolve = time.Second
	// minStreamWindow is the smallest such window, in bytes: a few packets,
	// so that a quarter of it is soon read at the lowest rates too.
	minStreamWindow = 4 << 10
)

// Connect finds the way to a server, over QUIC or TCP. It tries several
// addresses by RFC 8305: the families in turn, the next address when the last
// has failed or is slow. The first that answers is used.
func (s *server) Connect(ctx context.Context) (source.Conn, error) {
	deadline := time.Now().Add(s.c.ConnectTimeout)
	remotes, err := s.resolve(ctx)
	if err != nil && !s.isProxied() {
		return nil, err
	}
	lanes := s.lanes(s.order(remotes), remotes)
	if len(lanes) == 0 {
		return nil, err
	}
	c, err := s.race(ctx, race{lanes: lanes, timeout: time.Until(deadline), want: s.proved()})
	if err != nil {
		return nil, err
	}
	c.opening = &deadline
	return c, nil
}

// resolve returns the addresses of the server, in the order in which to try
// them. The error is a fault. Where a proxy leads to the server, a name server
// that does not answer must leave time for that.
func (s *server) resolve(ctx context.Context) (remotes []netip.AddrPort, err error) {
	timeout := s.c.ConnectTimeout
	if s.isProxied() {
		if s.only() == transport.TCP {
			return nil, nil
		}
		timeout = min(timeout/2, proxiedResolve)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addrs, err := s.c.Network.Resolve(ctx, s.target.Absolute())
	if err == nil && len(addrs) == 0 {
		err = source.ErrNoSuchHost
	}
	if err != nil {
		return nil, source.ResolveFault(s.target.Host, err)
	}
	for _, addr := range source.InTurn(addrs) {
		remotes = append(remotes, netip.AddrPortFrom(addr, s.target.Port))
	}
	return remotes, nil
}

// lanes returns the ways to race, a lane for each transport in the order given.
func (s *server) lanes(order []transport.Protocol, remotes []netip.AddrPort) (lanes [][]way) {
	for _, p := range order {
		var lane []way
		if p == transport.TCP && s.isProxied() {
			lane = []way{{protocol: p}}
		} else {
			for _, r := range remotes {
				lane = append(lane, way{p, r})
			}
		}
		if len(lane) > 0 {
			lanes = append(lanes, lane)
		}
	}
	return lanes
}

// race returns the first connection. The error is a fault.
func (s *server) race(ctx context.Context, r race) (*conn, error) {
	r.head = max(headStart, headRTTs*time.Duration(s.rtt.Load()))
	r.dial = func(ctx context.Context, w way) (*conn, error) { return s.dial(ctx, w, r.further) }
	c, err := r.run(ctx)
	if err != nil {
		return nil, s.c.raceFault(err.(raceError))
	}
	for _, ways := range r.lanes {
		for _, w := range ways {
			if w.remote.IsValid() && !slices.Contains(c.remotes, w.remote) {
				c.remotes = append(c.remotes, w.remote)
			}
		}
	}
	return c, nil
}

// dial connects to a server over one way, if its ID is accepted. A further
// connection is one more than the server needs.
func (s *server) dial(ctx context.Context, w way, further bool) (*conn, error) {
	c := s.c
	dialed := &conn{s: s, protocol: w.protocol, remote: w.remote, ledger: ledger{pooled: w.protocol == transport.TCP}}
	o := transport.DialOptions{
		TLS:      certs.ClientTLS(wire.ALPN, c.Trust.check(s.target)),
		Greeting: &transport.Greeting{Say: c.say, Hear: dialed.hear, Code: uint64(wire.CloseDone)},
		Further:  further,
	}
	var err error
	if w.protocol == transport.TCP {
		dialed.way, err = dialed.dialTCP(ctx, o)
	} else {
		dialed.way, err = dialed.dialQUIC(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	if dialed.id, err = certs.PeerID(dialed.way.TLS()); err != nil {
		dialed.Close()
		return nil, broken(err)
	}
	return dialed, nil
}

func (d *conn) dialQUIC(ctx context.Context, o transport.DialOptions) (transport.Conn, error) {
	c := d.s.c
	pc, err := c.Network.Open(d.remote)
	if err != nil {
		return nil, err
	}
	d.cameFrom(pc.LocalAddr())
	c.checkBuffers.Do(func() { c.smallBuffers.Store(new(transport.SmallBuffers(pc))) })
	stream, all := transport.InitialWindows(c.servers)
	if o.Further {
		all = min(all, transport.FurtherWindow)
		stream = min(stream, all)
	}
	if c.Limit > 0 {
		share := c.Limit / int64(c.servers)
		stream = min(stream, max(share*limitedWindow, minStreamWindow))
	}
	o.Windows, o.StreamWindow, o.ConnWindow, o.QLog = c.Run.windows, stream, all, c.QLog
	return transport.Dial(ctx, pc, net.UDPAddrFromAddrPort(d.remote), o)
}

// dialTCP dials the address of the connection; if that is zero, the server
// through the proxy. A proxy finds the server by what the user typed.
func (d *conn) dialTCP(ctx context.Context, o transport.DialOptions) (transport.Conn, error) {
	s := d.s
	if d.remote.IsValid() {
		dial := func(ctx context.Context) (net.Conn, error) {
			c, err := s.c.Network.Dial(ctx, d.remote)
			if err == nil {
				d.cameFrom(c.LocalAddr())
			}
			return c, err
		}
		return transport.DialTCP(ctx, dial, net.TCPAddrFromAddrPort(d.remote), o)
	}
	dial, err := transport.ProxyDialer(s.proxy, s.target.String(), s.c.dialProxy)
	if err != nil {
		return nil, &transport.NetworkError{Kind: transport.ProxyFailed, Err: err}
	}
	return transport.DialTCP(ctx, dial, behindProxy(s.target.String()), o)
}

// behindProxy is the host and port of a server that a proxy finds.
type behindProxy string

func (behindProxy) Network() string  { return "tcp" }
func (b behindProxy) String() string { return string(b) }

// dialProxy makes a TCP connection to a proxy.
func (c *client) dialProxy(ctx context.Context, _, address string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := c.Network.Resolve(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = source.ErrNoSuchHost
	}
	for _, a := range addrs {
		var proxy net.Conn
		if proxy, err = c.Network.Dial(ctx, netip.AddrPortFrom(a, uint16(port))); err == nil {
			return proxy, nil
		}
	}
	return nil, err
}

// isUntrusted reports whether an error says that an ID is not accepted.
func isUntrusted(err error) bool {
	_, ok := errors.AsType[*certs.TrustError](err)
	return ok
}
