package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/quic-go/quic-go"
)

// DialOptions configures a client connection.
type DialOptions struct {
	// TLS must have VerifyConnection, which alone decides who the peer is,
	// and protocols to offer. It is copied. Whatever it says, TLS 1.3 is
	// the least version and sessions are not resumed.
	TLS *tls.Config
	// Windows is the budget of the connection's receive window; nil: one of
	// DefaultWindows for this connection alone.
	Windows *WindowBudget
	// StreamWindow and ConnWindow are the first receive windows in bytes;
	// zero: DefaultStreamWindow and DefaultConnWindow. If less is left in
	// Windows, the connection starts with that, but at least 64 KiB.
	// Negative numbers are refused.
	StreamWindow, ConnWindow int64
	// Further says that the server can do without this connection. It takes
	// nothing of what Windows keeps for redials. If the rest is too little,
	// Dial fails at once.
	Further bool
	// Greeting is exchanged on the first stream of each handshake; nil:
	// nothing is.
	Greeting *Greeting
	// QLog, if not nil, gets the connection's events.
	QLog *QLog
}

// check refuses options that cannot work.
func (o *DialOptions) check() error {
	switch {
	case o.TLS == nil || o.TLS.VerifyConnection == nil:
		return &LocalError{Kind: LocalConfig, Err: errors.New("a tls configuration without VerifyConnection would trust anybody")}
	case len(o.TLS.NextProtos) == 0:
		return &LocalError{Kind: LocalConfig, Err: errors.New("the tls configuration offers no protocol")}
	case o.StreamWindow < 0 || o.ConnWindow < 0:
		return &LocalError{Kind: LocalConfig, Err: errors.New("a receive window is negative")}
	}
	return nil
}

// Dial connects to the server at remote over pc. It owns pc from now on: pc is
// closed when the connection ends, and when Dial fails. With a socket from
// [DialUDP], remote is what the socket is connected to, whatever the argument.
//
// ctx bounds the handshake and nothing later. The error wraps a *PeerError,
// *NetworkError or *LocalError. If ctx's deadline passes it is a NetworkError
// of kind NoAnswer, or SlowAnswer if packets came. A refusal by
// VerifyConnection is a LocalError that wraps it.
func Dial(ctx context.Context, pc net.PacketConn, remote net.Addr, o DialOptions) (Conn, error) {
	d := dialed{pc: pc, watch: newWatch(func() {}, func([]byte) {})}
	if u, ok := pc.(*udpConn); ok {
		d.watch, remote = u.watch, u.RemoteAddr()
	} else if _, ok := pc.(quic.OOBCapablePacketConn); !ok {
		d.pc = newPlainConn(pc, d.watch)
	}
	qc, err := d.dial(ctx, remote, o)
	if err != nil {
		d.release()
		return nil, fmt.Errorf("dial %s: %w", remote, err)
	}
	if u, ok := pc.(*udpConn); ok && u.gro != nil {
		u.pressure.follow(func() uint64 { return qc.ConnectionStats().PacketsReceived })
	}
	c := &quicConn{qc: qc, released: make(chan struct{}), greeting: o.Greeting}
	context.AfterFunc(qc.Context(), func() {
		d.release()
		close(c.released)
	})
	c.Stats() // sees that the handshake was measured
	return c, nil
}

// dialed is what one client connection holds.
type dialed struct {
	pc    net.PacketConn
	watch *watch
	tr    *quic.Transport // nil until used
	share *lease          // nil until taken
}

// release gives everything back. The connection, if any, has ended.
func (d *dialed) release() {
	if d.tr != nil {
		d.tr.Close()
	}
	d.pc.Close()
	if d.share != nil {
		d.share.close()
	}
}

func (d *dialed) dial(ctx context.Context, remote net.Addr, o DialOptions) (*quic.Conn, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	budget := o.Windows
	if budget == nil {
		budget = NewWindowBudget(DefaultWindows)
	}
	d.share = budget.open(orDefault(o.ConnWindow, DefaultConnWindow), minConnWindow, o.Further)
	if d.share == nil {
		return nil, &LocalError{Kind: LocalWindows}
	}
	conf := d.config(o)
	d.tr = &quic.Transport{Conn: d.pc}
	qc, err := d.tr.Dial(ctx, remote, d.tls(o.TLS), conf)
	if err != nil {
		return nil, d.why(classifyDial(ctx, err))
	}
	return qc, nil
}

// why explains err, which ended the handshake, by what the socket saw.
func (d *dialed) why(err error) error {
	if e, ok := err.(*NetworkError); ok && e.Kind == NoAnswer && d.watch.arrivals.Load() > 0 {
		e.Kind = SlowAnswer
	}
	// quic-go keeps only the text of a write's error.
	if e, ok := err.(*LocalError); ok && e.Kind == LocalInternal {
		if unsent := d.watch.failed(); unsent != nil {
			return classify(unsent)
		}
	}
	return err
}

// config returns quic-go's configuration. d.share is fresh.
func (d *dialed) config(o DialOptions) *quic.Config {
	conn := d.share.held
	stream := min(orDefault(o.StreamWindow, DefaultStreamWindow), conn)
	return &quic.Config{
		Versions:                       []quic.Version{quic.Version1},
		InitialPacketSize:              initialPacketSize,
		HandshakeIdleTimeout:           clientHandshakeIdle,
		MaxIdleTimeout:                 clientIdle,
		KeepAlivePeriod:                keepAlive,
		InitialStreamReceiveWindow:     uint64(stream),
		MaxStreamReceiveWindow:         uint64(max(stream, maxStreamWindow)),
		InitialConnectionReceiveWindow: uint64(conn),
		MaxConnectionReceiveWindow:     uint64(max(conn, maxConnWindow)),
		AllowConnectionWindowIncrease: func(_ *quic.Conn, delta uint64) bool {
			return delta <= maxConnWindow && d.share.grow(int64(delta))
		},
		MaxIncomingStreams:    -1,
		MaxIncomingUniStreams: -1,
		Tracer:                o.QLog.tracer(),
	}
}

// tls returns a copy of conf that tells the watch when the peer has proved
// itself and marks a refusal as ours.
func (d *dialed) tls(conf *tls.Config) *tls.Config {
	conf = conf.Clone()
	conf.MinVersion = tls.VersionTLS13
	conf.ClientSessionCache = nil
	verify := conf.VerifyConnection
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := verify(cs); err != nil {
			return &verifyError{err}
		}
		d.watch.establish()
		return nil
	}
	return conf
}
