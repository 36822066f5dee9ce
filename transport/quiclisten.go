package transport

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	// connIDLen is the length of a server's connection IDs, in bytes. A
	// reset token stays the same for its ID, and anybody may ask for it. So
	// nobody may guess an ID or meet one twice (RFC 9000, section 10.3.2).
	connIDLen = 16
	// tokenAge is how long a client may use the token of a NEW_TOKEN frame
	// as proof of its address: not at all. Otherwise a client that had an
	// address yesterday could act for it today. Retry tokens have an age of
	// their own.
	tokenAge = time.Nanosecond
)

// quicListener is a [Listener] for QUIC.
type quicListener struct {
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
func Listen(pc net.PacketConn, o ListenOptions) (Listener, error) {
	l, err := listen(pc, o)
	if err != nil {
		pc.Close()
		return nil, fmt.Errorf("listen on %s: %w", pc.LocalAddr(), err)
	}
	return l, nil
}

func listen(pc net.PacketConn, o ListenOptions) (*quicListener, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	tlsConf := o.TLS.Clone()
	tlsConf.MinVersion = tls.VersionTLS13
	tlsConf.SessionTicketsDisabled = true

	faults := newSocketFaults()
	pc = listenSocket(pc, faults)
	l := &quicListener{pc: pc, faults: faults, gate: o.Gate}
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

func (l *quicListener) Accept(ctx context.Context) (Conn, error) {
	qc, err := l.ln.Accept(ctx)
	if err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.Addr(), classify(err))
	}
	c := &quicConn{qc: qc}
	c.Stats() // sees that the handshake was measured
	return c, nil
}

func (l *quicListener) Addr() net.Addr { return l.pc.LocalAddr() }

func (l *quicListener) StopAccepting() { l.ln.Close() }

func (l *quicListener) Close() error {
	l.closeOnce.Do(func() {
		l.faults.stop()
		l.tr.Close()
		if err := l.pc.Close(); err != nil {
			l.closeErr = fmt.Errorf("close the socket on %s: %w", l.Addr(), err)
		}
	})
	return l.closeErr
}
