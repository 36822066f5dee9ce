package transport

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// quicConn is a [Conn] over QUIC.
type quicConn struct {
	qc       *quic.Conn
	released chan struct{}         // closed when everything that Dial took is given back; nil on a server
	greeting *Greeting             // on a client that has one
	unheard  atomic.Pointer[error] // the greeting's error, which ended the connection; nil: none did
}

// OpenStream opens a stream at once, urgent or not: none waits for another.
func (c *quicConn) OpenStream(ctx context.Context, _ bool) (Stream, error) {
	s, err := c.qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, classify(err)
	}
	st := &quicStream{qs: s, c: c}
	if st.First() {
		st.salute = newSalute(c.greeting, c.TLS())
	}
	return st, nil
}

// greetingFailed ends the connection with err.
func (c *quicConn) greetingFailed(code uint64, err error) {
	c.unheard.CompareAndSwap(nil, &err)
	c.qc.CloseWithError(quic.ApplicationErrorCode(code), "")
}

func (c *quicConn) AcceptStream(ctx context.Context) (Stream, error) {
	s, err := c.qc.AcceptStream(ctx)
	if err != nil {
		return nil, classify(err)
	}
	return &quicStream{qs: s, c: c}, nil
}

func (c *quicConn) Close(code uint64, text string) {
	// CloseWithError documents no error and never returns one.
	_ = c.qc.CloseWithError(quic.ApplicationErrorCode(code), bounded(text))
	if c.released != nil {
		<-c.released
	}
}

func (c *quicConn) Done() <-chan struct{} { return c.qc.Context().Done() }

func (c *quicConn) Err() error {
	err := classify(context.Cause(c.qc.Context()))
	if why := c.unheard.Load(); err != nil && why != nil {
		return *why
	}
	return err
}

func (c *quicConn) TLS() tls.ConnectionState { return c.qc.ConnectionState().TLS }

func (c *quicConn) Protocol() Protocol { return QUIC }

func (c *quicConn) RemoteAddr() net.Addr { return c.qc.RemoteAddr() }

// Place is what the gate gave the context: see [quicListener.admit].
func (c *quicConn) Place() any { return c.qc.Context().Value(placeKey{}) }

// gso reports whether the system cuts packets for us when we send.
func (c *quicConn) gso() bool { return c.qc.ConnectionState().GSO }

func (c *quicConn) Stats() Stats {
	s := c.qc.ConnectionStats()
	return Stats{
		MinRTT: s.MinRTT, SmoothedRTT: s.SmoothedRTT, LatestRTT: s.LatestRTT,
		PacketsSent: s.PacketsSent, BytesSent: s.BytesSent,
		PacketsReceived: s.PacketsReceived, BytesReceived: s.BytesReceived,
		PacketsLost: s.PacketsLost, BytesLost: s.BytesLost,
		Window: s.CongestionWindow,
	}
}
