package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// ListenOptions configures a listener.
type ListenOptions struct {
	// TLS must hold a certificate and the protocols to offer. It is copied.
	// Whatever it says, TLS 1.3 is the least version and session tickets
	// are off.
	TLS *tls.Config
	// ResetKey is the secret from which stateless-reset tokens are made,
	// mixed with the local port. After a restart with the same key and
	// port, the clients of the earlier listener notice at once that it is
	// gone. No other machine may have the key (RFC 9000, section 21.11).
	ResetKey [32]byte
	// Gate decides which connections are taken; nil: all.
	Gate Gate
	// MaxStreams is the number of streams that a client may have open at a
	// time; zero: DefaultMaxStreams. A negative number is refused.
	MaxStreams int64
	// HandshakeTimeout is how long a handshake may take, and twice the time
	// it may go without a packet; zero: DefaultHandshakeTimeout. A negative
	// one is refused.
	HandshakeTimeout time.Duration
	// StallTimeout is how long a client may acknowledge nothing of what is
	// sent to it by TCP, where the system can tell; zero: the system
	// decides.
	StallTimeout time.Duration
	// QLog, if not nil, gets the connections' events.
	QLog *QLog
	// Web, if not nil, has a listener for TCP take clients that speak
	// HTTP/1.1 too. They are no connections that Accept returns.
	Web *Web
}

// A Listener accepts the connections of one virtual server. Any goroutine may
// call its methods.
type Listener interface {
	// Accept returns the next connection whose handshake is complete. After
	// StopAccepting it returns those that are left. The error wraps a
	// *LocalError after StopAccepting, after Close and when ctx ends, and a
	// *NetworkError if the socket failed.
	Accept(ctx context.Context) (Conn, error)

	// Addr returns the address that the listener's socket is bound to.
	Addr() net.Addr

	// StopAccepting refuses handshakes that are not complete and ignores
	// new clients; connections live on. Call Accept until it fails, so that
	// waiting connections can be closed.
	StopAccepting()

	// Close ends the listener and all its connections, silently, and closes
	// the socket. Later calls return the first one's error.
	Close() error
}

// check refuses options that cannot work.
func (o *ListenOptions) check() error {
	switch {
	case o.TLS == nil || len(o.TLS.NextProtos) == 0:
		return &LocalError{Kind: LocalConfig, Err: errors.New("a listener needs a tls configuration with protocols")}
	case o.MaxStreams < 0:
		return &LocalError{Kind: LocalConfig, Err: errors.New("the limit of streams is negative")}
	case o.HandshakeTimeout < 0:
		return &LocalError{Kind: LocalConfig, Err: errors.New("the time for a handshake is negative")}
	}
	return nil
}
