package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
)

// DialTCP connects to the server at remote by TLS connections over what dial
// returns, which it closes: see [DialSocket] and [ProxyDialer]. dial is called
// for each of them, also later, and by several goroutines. Of DialOptions it
// uses TLS and Greeting.
//
// ctx bounds the first handshake and nothing later. The error wraps a
// *PeerError, *NetworkError or *LocalError. If ctx's deadline passes it is a
// NetworkError of kind NoAnswer, or SlowAnswer if the TCP connection was made.
// A refusal by VerifyConnection is a LocalError that wraps it.
func DialTCP(ctx context.Context, dial func(context.Context) (net.Conn, error), remote net.Addr, o DialOptions) (Conn, error) {
	d := &tcpDialer{dial: dial, remote: remote, greeting: o.Greeting}
	l, err := d.first(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", remote, err)
	}
	return newTCPConn(d, l), nil
}

// DialSocket returns a function that makes TCP connections to remote, from the
// address of local; if that is nil, the system chooses.
func DialSocket(local net.IP, remote string) func(context.Context) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1} // see tcpOptions
	if local != nil {
		d.LocalAddr = &net.TCPAddr{IP: local}
	}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", remote) }
}

// A tcpDialer makes the links of one client connection. Any goroutine may call
// its methods.
type tcpDialer struct {
	dial     func(context.Context) (net.Conn, error)
	remote   net.Addr
	greeting *Greeting

	// set by first
	tls  *tls.Config
	peer [32]byte // hash of the public key
}

func (d *tcpDialer) first(ctx context.Context, o DialOptions) (*tcpLink, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	conf := o.TLS.Clone()
	conf.MinVersion = tls.VersionTLS13
	conf.ClientSessionCache = nil
	conf.DynamicRecordSizingDisabled = true
	verify := conf.VerifyConnection
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := verify(cs); err != nil {
			return &verifyError{err}
		}
		return nil
	}
	d.tls = conf
	l, err := d.link(ctx)
	if err == nil {
		d.peer = keyOf(l.state)
	}
	return l, err
}

// errOtherKey says that further links lead to another server.
var errOtherKey = errors.New("a further connection to the same address is answered by a server with another key")

// further makes one more link, to the same server.
func (d *tcpDialer) further(ctx context.Context) (*tcpLink, error) {
	l, err := d.link(ctx)
	if err == nil && keyOf(l.state) != d.peer {
		err = &LocalError{Kind: LocalRefused, Err: errOtherKey}
		l.abort(err, func() {})
		return nil, err
	}
	return l, err
}

// keyOf returns the hash of the public key that the peer has proved.
func keyOf(cs tls.ConnectionState) [32]byte {
	if len(cs.PeerCertificates) == 0 {
		return [32]byte{}
	}
	return sha256.Sum256(cs.PeerCertificates[0].RawSubjectPublicKeyInfo)
}

// link makes one TLS connection.
func (d *tcpDialer) link(ctx context.Context) (*tcpLink, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, clientHandshakeIdle)
		defer stop()
	}
	raw, err := d.dial(ctx)
	if err != nil {
		return nil, classifyTCPDial(ctx, err, false, false)
	}
	setTCPOptions(raw, tcpOptions{})
	p := newPipe(raw, true)
	c := tls.Client(p, d.tls)
	if err = handshake(ctx, p, c); err != nil {
		raw.Close()
		return nil, classifyTCPDial(ctx, err, true, p.read.Load() > 0)
	}
	if !slices.Contains(d.tls.NextProtos, c.ConnectionState().NegotiatedProtocol) {
		raw.Close()
		return nil, &PeerError{Kind: PeerNoALPN}
	}
	return newTCPLink(p, c), nil
}
