package malcolm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// raceTime is RFC 8305's Connection Attempt Delay.
	raceTime = 250 * time.Millisecond
	// limitedWindow is the size of a stream's window under a rate limit:
	// the server's share of this many seconds. QUIC tells the sender of
	// progress after each quarter of the window. That must be well before
	// the sender takes the stream for stalled.
	limitedWindow = 20
	// minStreamWindow is the smallest such window, in bytes: a few packets,
	// so that a quarter of it is soon read at the lowest rates too.
	minStreamWindow = 4 << 10
)

// Connect finds the way to a server. It tries several addresses by RFC 8305:
// the families in turn, the next address when the last has failed or is slow.
// The first that answers is used.
func (s *server) Connect(ctx context.Context) (source.Conn, error) {
	deadline := time.Now().Add(s.c.ConnectTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	addrs, err := s.c.Network.Resolve(ctx, s.target.Host)
	if err == nil && len(addrs) == 0 {
		err = errNoSuchHost
	}
	if err != nil {
		return nil, resolveFault(s.target.Host, err)
	}
	var remotes []netip.AddrPort
	for _, addr := range inTurn(addrs) {
		remotes = append(remotes, netip.AddrPortFrom(addr, s.target.Port))
	}
	c, err := race(ctx, remotes, s.dial)
	if err != nil {
		return nil, s.c.dialFault(ctx, err)
	}
	c.opening = &deadline
	return c, nil
}

// Again dials the address of the connection.
func (c *conn) Again(ctx context.Context) (source.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.c.ConnectTimeout)
	defer cancel()
	again, err := c.s.dial(ctx, c.remote)
	if err != nil {
		return nil, c.s.c.dialFault(ctx, err)
	}
	if again.id != c.id {
		again.Close()
		return nil, &source.Fault{What: source.Changed, Words: "came back with another server ID"}
	}
	return again, nil
}

func hangUp(way transport.Conn) { way.Close(uint64(wire.CloseDone), "") }

// dial connects to a server at one of its addresses, if its ID is accepted.
func (s *server) dial(ctx context.Context, remote netip.AddrPort) (*conn, error) {
	c := s.c
	pc, err := c.Network.Open(remote)
	if err != nil {
		return nil, err
	}
	c.checkBuffers.Do(func() { c.smallBuffers = transport.SmallBuffers(pc) })
	stream, all := transport.InitialWindows(c.servers)
	if c.Limit > 0 {
		share := c.Limit / int64(c.servers)
		stream = min(stream, max(share*limitedWindow, minStreamWindow))
	}
	dialed := &conn{s: s, remote: remote}
	dialed.way, err = transport.Dial(ctx, pc, net.UDPAddrFromAddrPort(remote), transport.DialOptions{
		TLS: certs.ClientTLS(wire.ALPN, c.Trust.check(s.target)), Windows: c.windows, StreamWindow: stream, ConnWindow: all,
		QLog: c.QLog, Greeting: &transport.Greeting{Say: c.say, Hear: dialed.hear, Code: uint64(wire.CloseDone)},
	})
	if err != nil {
		return nil, err
	}
	if dialed.id, err = certs.PeerID(dialed.way.TLS()); err != nil {
		dialed.Close()
		return nil, broken(err)
	}
	return dialed, nil
}

// inTurn sorts addresses so that the families alternate, beginning with that of
// the first one (RFC 8305, section 4).
func inTurn(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	first := addrs[0].Unmap().Is4()
	for _, a := range addrs {
		if a.Unmap().Is4() == first {
			families[0] = append(families[0], a)
		} else {
			families[1] = append(families[1], a)
		}
	}
	var sorted []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) {
				sorted = append(sorted, f[i])
			}
		}
	}
	return sorted
}

// race dials addresses one after the other, at most raceTime apart, and returns
// the first connection (RFC 8305, section 5). The error is that of the first
// address where a server answered that is not accepted, else that of the first
// address.
func race(ctx context.Context, remotes []netip.AddrPort, dial func(context.Context, netip.AddrPort) (*conn, error)) (*conn, error) {
	type outcome struct {
		i    int
		conn *conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, len(remotes))
	errs := make([]error, len(remotes))
	started, ended := 0, 0
	start := func() {
		i := started
		started++
		go func() {
			conn, err := dial(ctx, remotes[i])
			outcomes <- outcome{i, conn, err}
		}()
	}
	var won *conn
	start()
	for ended < started {
		var next <-chan time.Time
		if started < len(remotes) && won == nil {
			next = time.After(raceTime)
		}
		select {
		case o := <-outcomes:
			ended++
			errs[o.i] = o.err
			switch {
			case o.conn != nil && won == nil:
				won = o.conn
				cancel()
			case o.conn != nil:
				o.conn.Close()
			case started < len(remotes) && won == nil && ctx.Err() == nil:
				start()
			}
		case <-next:
			start()
		}
	}
	if won == nil {
		return nil, errs[max(0, slices.IndexFunc(errs, isUntrusted))]
	}
	return won, nil
}

// isUntrusted reports whether an error says that an ID is not accepted.
func isUntrusted(err error) bool {
	_, ok := errors.AsType[*certs.TrustError](err)
	return ok
}
