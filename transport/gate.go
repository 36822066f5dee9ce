package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/quic-go/quic-go"
)

// A Gate decides which connections listeners take. Several listeners may share one.
// Its methods are called from many goroutines, for each first packet, and must not
// block.
type Gate interface {
	// MustProve reports whether a client that has not shown that its address is its own
	// must do so first (Retry, RFC 9000, section 8.1.2): that costs it a round trip, and
	// the server nothing.
	MustProve(from netip.Addr) bool
	// Enter is asked when the first packet of a connection has come; proved says that
	// the client has shown that from is its own address. ok is false when the connection
	// is refused. Else leave is called once, when it has ended or its handshake has
	// failed, and [Conn.Place] returns place.
	Enter(from netip.Addr, proved bool) (place any, leave func(), ok bool)
}

// errTooMany makes quic-go answer a first packet with CONNECTION_REFUSED. It
// never leaves the package.
var errTooMany = errors.New("too many connections")

// placeKey is the key of [Conn.Place] in a connection's context.
type placeKey struct{}

// mustProve is called by quic-go for the first packet of a client that has shown
// no proof of its address.
func (l *Listener) mustProve(from net.Addr) bool {
	return l.gate != nil && l.gate.MustProve(hostOf(from))
}

// admit is called by quic-go for the first packet of a connection. The context
// that it is given ends when the connection ends or its handshake fails, and only
// then if admit returns no error: GetConfigForClient comes before and knows no
// end.
func (l *Listener) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if l.gate == nil {
		return ctx, nil
	}
	place, leave, ok := l.gate.Enter(hostOf(info.RemoteAddr), info.AddrVerified)
	if !ok {
		return nil, errTooMany
	}
	context.AfterFunc(ctx, leave)
	return context.WithValue(ctx, placeKey{}, place), nil
}

// Place returns what the listener's [Gate] gave the connection; nil without a gate, and
// on a connection that was dialed.
func (c *Conn) Place() any { return c.qc.Context().Value(placeKey{}) }

// hostOf returns a's IP address; the zero value for one that has none (no socket of
// this package has such a peer).
func hostOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
