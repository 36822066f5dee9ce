package transport

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// quicConn is a [Conn] over QUIC.
type quicConn struct {
	qc       *quic.Conn
	released chan struct{}               // closed when everything that Dial took is given back; nil on a server
	greeting *Greeting                   // on a client that has one
	unheard  atomic.Pointer[error]       // the greeting's error, which ended the connection; nil: none did
	measured atomic.Pointer[net.UDPAddr] // the peer's address when a round trip was last seen; nil: never
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
	addr, _ := c.qc.RemoteAddr().(*net.UDPAddr)
	switch at := c.measured.Load(); {
	case !isMeasured(s, addr, at):
		s.MinRTT, s.SmoothedRTT, s.LatestRTT = 0, 0, 0
	case at != addr: // these counts may be half from before the first sample
		c.measured.Store(addr)
		s = c.qc.ConnectionStats()
	}
	return Stats{
		MinRTT: s.MinRTT, SmoothedRTT: s.SmoothedRTT, LatestRTT: s.LatestRTT,
		PacketsSent: s.PacketsSent, BytesSent: s.BytesSent,
		PacketsReceived: s.PacketsReceived, BytesReceived: s.BytesReceived,
		PacketsLost: s.PacketsLost, BytesLost: s.BytesLost,
		Window: s.CongestionWindow,
	}
}

// assumedRTT is the least round trip that quic-go reports before the first
// sample.
const assumedRTT = 100 * time.Millisecond

// isMeasured reports whether the round trips in s were measured. Before the
// first sample, and again after the peer's address has changed, quic-go reports
// made-up ones: the least is assumedRTT, and the deviation is zero. A sample
// makes the deviation half of itself. It becomes zero again only while round
// trips stay equal, as in a simulation. If they then equal assumedRTT too, they
// count as measured only if addr, the peer's address now, is the address at
// which measured ones were seen before: at (nil: never seen).
func isMeasured(s quic.ConnectionStats, addr, at *net.UDPAddr) bool {
	return s.MeanDeviation != 0 || s.MinRTT != assumedRTT || at != nil && at == addr
}
