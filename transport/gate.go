package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/quic-go/quic-go"
)

// A Gate decides which connections listeners take. Several listeners may share
// one. Many goroutines call its methods, for each first packet. They must not
// block.
type Gate interface {
	// MustProve reports whether a client must first show that its address
	// is its own (Retry, RFC 9000, section 8.1.2). That costs the client a
	// round trip, and the server nothing.
	MustProve(from netip.Addr) bool
	// Enter is called when the first packet of a connection has come.
	// proved says that the client has shown that from is its own address.
	// ok false refuses the connection. Otherwise leave is called once, when
	// the connection has ended or its handshake has failed, and
	// [Conn.Place] returns place.
	Enter(from netip.Addr, proved bool) (place any, leave func(), ok bool)
}

// errTooMany makes quic-go answer a first packet with CONNECTION_REFUSED. It
// never leaves the package.
var errTooMany = errors.New("too many connections")

// placeKey is the key of [Conn.Place] in a connection's context.
type placeKey struct{}

// mustProve is called by quic-go for the first packet of a client that has not
// proved its address.
func (l *quicListener) mustProve(from net.Addr) bool {
	return l.gate != nil && l.gate.MustProve(hostOf(from))
}

// admit is called by quic-go for the first packet of a connection. Its context
// ends when the connection ends or its handshake fails, but only if admit
// returns no error. GetConfigForClient is called earlier and never learns of
// the end.
func (l *quicListener) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
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

// hostOf returns a's IP address; the zero value if it has none (no socket of
// this package has such a peer).
func hostOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
