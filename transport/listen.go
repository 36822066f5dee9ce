package transport

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// ListenOptions configures a listener.
type ListenOptions struct {
	// TLS must hold a certificate and the protocols to offer. It is copied.
	// Whatever it says, TLS 1.3 is the least version and session tickets
	// are off.
	TLS *tls.Config
	// ResetKey is the secret from which stateless-reset tokens are made,
	// mixed with the local port. A listener with the same key and port as
	// an earlier one makes that one's clients notice at once. No other
	// machine may have the key (RFC 9000, section 21.11).
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
	// QLog, if not nil, gets the connections' events.
	QLog *QLog
}

const (
	// connIDLen is the length of a server's connection IDs, in bytes. A
	// reset token stays the same for its ID, and anybody may ask for it. So
	// nobody may guess an ID or meet one twice (RFC 9000, section 10.3.2).
	connIDLen = 16
	// tokenAge is how long a client may use the token of a NEW_TOKEN frame
	// as proof of its address: not at all. Otherwise yesterday's guest of
	// an address could speak in its name. Retry tokens have an age of their
	// own.
	tokenAge = time.Nanosecond
)

// Listener accepts the connections of one virtual server. Any goroutine may
// call its methods.
type Listener struct {
	pc     net.PacketConn
	faults *socketFaults
	tr     *quic.Transport
	ln     *quic.Listener
	gate   Gate

	closeOnce sync.Once
	closeErr  error
}

// Listen serves QUIC on pc. It owns pc from now on: if Listen fails, pc is
// closed.
func Listen(pc net.PacketConn, o ListenOptions) (*Listener, error) {
	l, err := listen(pc, o)
	if err != nil {
		pc.Close()
		return nil, fmt.Errorf("listen on %s: %w", pc.LocalAddr(), err)
	}
	return l, nil
}

func listen(pc net.PacketConn, o ListenOptions) (*Listener, error) {
	switch {
	case o.TLS == nil || len(o.TLS.NextProtos) == 0:
		return nil, &LocalError{Kind: LocalConfig, Err: errors.New("a listener needs a tls configuration with protocols")}
	case o.MaxStreams < 0:
		return nil, &LocalError{Kind: LocalConfig, Err: errors.New("the limit of streams is negative")}
	case o.HandshakeTimeout < 0:
		return nil, &LocalError{Kind: LocalConfig, Err: errors.New("the time for a handshake is negative")}
	}
	tlsConf := o.TLS.Clone()
	tlsConf.MinVersion = tls.VersionTLS13
	tlsConf.SessionTicketsDisabled = true

	faults := newSocketFaults()
	pc = listenSocket(pc, faults)
	l := &Listener{pc: pc, faults: faults, gate: o.Gate}
	key := resetKey(o.ResetKey, pc.LocalAddr())
	l.tr = &quic.Transport{
		Conn: pc, StatelessResetKey: &key, ConnContext: l.admit, VerifySourceAddress: l.mustProve,
		ConnectionIDLength: connIDLen, MaxTokenAge: tokenAge,
	}
	ln, err := l.tr.Listen(tlsConf, &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		InitialPacketSize:              initialPacketSize,
		HandshakeIdleTimeout:           orDefault(o.HandshakeTimeout, DefaultHandshakeTimeout) / 2,
		MaxIdleTimeout:                 serverIdle,
		InitialStreamReceiveWindow:     serverStreamWindow,
		MaxStreamReceiveWindow:         serverStreamWindow,
		InitialConnectionReceiveWindow: serverConnWindow,
		MaxConnectionReceiveWindow:     serverConnWindow,
		MaxIncomingStreams:             orDefault(o.MaxStreams, DefaultMaxStreams),
		MaxIncomingUniStreams:          -1,
		// Without this a client that resets its streams opens new ones
		// while the handlers of the old ones still work.
		RequireStreamCreditRelease: true,
		Tracer:                     o.QLog.tracer(),
	})
	if err != nil {
		l.tr.Close()
		return nil, classify(err)
	}
	l.ln = ln
	return l, nil
}

// resetKey makes the stateless-reset key of one port. With one key for all
// ports of a process, anyone who sees a connection ID could have another port
// compute its token (RFC 9000, section 21.11).
func resetKey(secret [32]byte, local net.Addr) quic.StatelessResetKey {
	var port int
	if u, ok := local.(*net.UDPAddr); ok {
		port = u.Port
	}
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("malcolm stateless reset " + strconv.Itoa(port)))
	return quic.StatelessResetKey(mac.Sum(nil))
}

// Accept returns the next connection whose handshake is complete. After
// StopAccepting it returns those that are left. The error wraps a *LocalError
// after StopAccepting, after Close and when ctx ends, and a *NetworkError if
// the socket failed.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	qc, err := l.ln.Accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.Addr(), classify(err))
	}
	return &Conn{qc: qc}, nil
}

// Addr returns the address that the listener's socket is bound to.
func (l *Listener) Addr() net.Addr { return l.pc.LocalAddr() }

// StopAccepting refuses handshakes that are not complete and ignores new
// clients; connections live on. Call Accept until it fails, so that waiting
// connections can be closed.
func (l *Listener) StopAccepting() { l.ln.Close() }

// Close ends the listener and all its connections, silently, and closes the
// socket. Later calls return the first one's error.
func (l *Listener) Close() error {
	l.closeOnce.Do(func() {
		l.faults.stop()
		l.tr.Close()
		if err := l.pc.Close(); err != nil {
			l.closeErr = fmt.Errorf("close the socket on %s: %w", l.Addr(), err)
		}
	})
	return l.closeErr
}
