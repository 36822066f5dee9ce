package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// limitedWindow is a stream's window with a limited rate, in seconds of a
	// server's share of it. QUIC tells the sender of progress each time that a
	// quarter of the window was read, and that must be well before the sender
	// takes the stream for stalled.
	limitedWindow = 20
	// minStreamWindow is the smallest such window, in bytes.
	minStreamWindow = 32 << 10
)

var (
	errDuplicate  = errors.New("is the same server as another one")
	errNoAnswer   = errors.New("no answer")
	errImpatient  = errors.New("is still indexing")
	errNoSuchHost = errors.New("host has no address")
)

// A ResolveError says that a host name has no address.
type ResolveError struct {
	Host string
	Err  error
}

func (e *ResolveError) Error() string { return fmt.Sprintf("host %q: %v", e.Host, e.Err) }

func (e *ResolveError) Unwrap() error { return e.Err }

// A TimeoutError says that a server did not do in time what it was asked.
type TimeoutError struct {
	After time.Duration
	Err   error // "no answer", "is still indexing"
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("%v in %v", e.Err, e.After) }

func (e *TimeoutError) Unwrap() error { return e.Err }

// A ProtocolError says that a server did something that malcolm/1 does not
// allow.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string { return "breaks the protocol: " + e.Err.Error() }

func (e *ProtocolError) Unwrap() error { return e.Err }

// contact runs beside the loop: it connects to one server, asks what it
// offers, and stays until the connection or the run ends.
func (g *getting) contact(ctx context.Context, p *peer) {
	deadline := time.Now().Add(g.cfg.ConnectTimeout)
	conn, err := g.connect(ctx, p, deadline)
	if err != nil {
		g.post(func() { g.notReached(p, err) })
		return
	}
	defer conn.Close(uint64(wire.CloseDone), "")
	id, err := certs.PeerID(conn.TLS())
	if err != nil {
		g.post(func() { g.notReached(p, err) })
		return
	}
	g.post(func() { g.connected(p, conn, id) })
	offer, m, err := g.hello(ctx, conn, deadline, func(i wire.Indexing) {
		g.post(func() { g.indexing(p, i) })
	})
	if err != nil {
		g.post(func() { g.notReached(p, err) })
		return
	}
	g.post(func() { g.answered(p, offer, m) })
	select {
	case <-conn.Done():
		g.post(func() { g.leave(p, PeerLost, conn.Err()) })
	case <-ctx.Done():
	}
}

// connect tries the addresses of a target one after the other.
func (g *getting) connect(ctx context.Context, p *peer, deadline time.Time) (*transport.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	addrs, err := g.cfg.Network.Resolve(ctx, p.target.Host)
	if err == nil && len(addrs) == 0 {
		err = errNoSuchHost
	}
	if err != nil {
		return nil, &ResolveError{Host: p.target.Host, Err: err}
	}
	err = errDuplicate
	for _, addr := range addrs {
		remote := netip.AddrPortFrom(addr, p.target.Port)
		if !g.addrs.take(remote) {
			continue
		}
		var conn *transport.Conn
		if conn, err = g.dial(ctx, remote); err == nil {
			return conn, nil
		}
	}
	return nil, g.timedOut(ctx, err)
}

func (g *getting) dial(ctx context.Context, remote netip.AddrPort) (*transport.Conn, error) {
	pc, err := g.cfg.Network.Open(remote)
	if err != nil {
		return nil, err
	}
	stream, all := transport.InitialWindows(len(g.cfg.Targets))
	if g.cfg.Limit > 0 {
		share := g.cfg.Limit / int64(len(g.cfg.Targets))
		stream = min(stream, max(share*limitedWindow, minStreamWindow))
	}
	return transport.Dial(ctx, pc, net.UDPAddrFromAddrPort(remote), transport.DialOptions{
		TLS: certs.ClientTLS(wire.ALPN, nil), Windows: g.windows, StreamWindow: stream, ConnWindow: all,
	})
}

// timedOut gives an error the words of a time-out when one was its cause.
func (g *getting) timedOut(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &TimeoutError{After: g.cfg.ConnectTimeout, Err: errNoAnswer}
	}
	return err
}

// hello asks a server what it offers. While the server says that it is
// indexing, indexing is called. A manifest that came with the offer is
// checked; the zero Manifest says that none came.
func (g *getting) hello(ctx context.Context, conn *transport.Conn, deadline time.Time, indexing func(wire.Indexing)) (offer wire.Offer, m wire.Manifest, err error) {
	opening, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	st, err := conn.OpenStream(opening)
	if err != nil {
		return offer, m, g.timedOut(opening, err)
	}
	defer st.CancelRead(uint64(wire.StreamCancelled))
	defer context.AfterFunc(ctx, func() { st.CancelRead(uint64(wire.StreamCancelled)) })()
	if err := ask(st, wire.Hello{InlineManifest: true}, deadline); err != nil {
		return offer, m, g.replyError(err)
	}
	patience := time.Now().Add(g.cfg.Patience)
	for {
		st.SetReadDeadline(deadline)
		h, err := wire.ReadHeader(st)
		if err != nil {
			return offer, m, g.replyError(err)
		}
		switch h.Status {
		case wire.StatusIndexing:
			i, err := wire.ReadIndexing(st, h)
			if err != nil {
				return offer, m, g.replyError(err)
			}
			indexing(i)
			now := time.Now()
			if !now.Before(patience) {
				return offer, m, &TimeoutError{After: g.cfg.Patience, Err: errImpatient}
			}
			deadline = now.Add(g.cfg.ConnectTimeout)
		case wire.StatusOK:
			return g.readOffer(st, h)
		default:
			return offer, m, g.replyError(wire.ReadRefusal(st, h))
		}
	}
}

func (g *getting) readOffer(st *transport.Stream, h wire.Header) (offer wire.Offer, m wire.Manifest, err error) {
	if offer, err = wire.ReadOffer(st, h); err != nil {
		return offer, m, g.replyError(err)
	}
	// An empty file has no chunk whose bytes could prove the size later on.
	if offer.Size == 0 && offer.Checksum != manifest.Merge(0, nil) {
		return offer, m, &ProtocolError{Err: errors.New("no bytes have the checksum that is offered")}
	}
	if offer.ManifestLen == 0 {
		return offer, m, nil
	}
	if want := wire.ManifestLen(manifest.Count(offer.Size)); offer.ManifestLen != want {
		err := fmt.Errorf("manifest of %d bytes, want %d", offer.ManifestLen, want)
		return offer, m, &ProtocolError{Err: err}
	}
	if m, err = g.readManifest(st, offer); err != nil {
		return offer, wire.Manifest{}, err
	}
	return offer, m, nil
}

// ask sends one request and finishes our side of the stream.
func ask(st *transport.Stream, r wire.Request, deadline time.Time) error {
	st.SetWriteDeadline(deadline)
	if _, err := st.Write(wire.AppendRequest(nil, r)); err != nil {
		return err
	}
	return st.CloseWrite()
}

// replyError sorts what reading a reply can end with.
func (g *getting) replyError(err error) error {
	var malformed *wire.MalformedError
	switch {
	case errors.As(err, &malformed), isEnd(err):
		return &ProtocolError{Err: err}
	case isTimeout(err):
		return &TimeoutError{After: g.cfg.ConnectTimeout, Err: errNoAnswer}
	}
	return err
}
