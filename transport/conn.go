package transport

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// Conn is a QUIC connection whose handshake is complete. Any goroutine may call
// its methods.
type Conn struct {
	qc       *quic.Conn
	released chan struct{} // closed when everything that Dial took is given back; nil on a server
}

// OpenStream opens a stream. It waits while the peer's limit of open streams is
// reached. The peer learns of the stream by its first byte.
func (c *Conn) OpenStream(ctx context.Context) (*Stream, error) {
	s, err := c.qc.OpenStreamSync(ctx)
	if err != nil {
		return nil, classify(err)
	}
	return &Stream{s}, nil
}

// AcceptStream returns the next stream that the peer has opened. A client's
// connection never has one. Release the stream when nothing works on it any
// more.
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	s, err := c.qc.AcceptStream(ctx)
	if err != nil {
		return nil, classify(err)
	}
	return &Stream{s}, nil
}

// Close ends the connection and all its streams, tells the peer code and the
// first 256 bytes of text, and waits until everything that Dial took is given
// back. If the connection has ended it only waits.
func (c *Conn) Close(code uint64, text string) {
	// CloseWithError documents no error and never returns one.
	_ = c.qc.CloseWithError(quic.ApplicationErrorCode(code), bounded(text))
	if c.released != nil {
		<-c.released
	}
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.qc.Context().Done() }

// Err returns why the connection ended, as *PeerError, *NetworkError or
// *LocalError; nil while it lives.
func (c *Conn) Err() error { return classify(context.Cause(c.qc.Context())) }

// TLS returns the state of the handshake.
func (c *Conn) TLS() tls.ConnectionState { return c.qc.ConnectionState().TLS }

// RemoteAddr returns the peer's address. A client's address may change while
// the connection lives: to count by it, take it once.
func (c *Conn) RemoteAddr() net.Addr { return c.qc.RemoteAddr() }

// GSO reports whether the system cuts packets for us when we send.
func (c *Conn) GSO() bool { return c.qc.ConnectionState().GSO }

// Stats counts what a connection has done so far. Bytes are those of UDP
// payloads.
type Stats struct {
	MinRTT, SmoothedRTT            time.Duration // zero before the first sample
	PacketsSent, BytesSent         uint64        // repetitions included
	PacketsReceived, BytesReceived uint64        // unusable ones included
	PacketsLost, BytesLost         uint64        // of those sent; falls when a late one is acknowledged
	// Window is the congestion window now, in bytes. Unacknowledged bytes
	// are kept, up to the largest window that there was.
	Window uint64
}

// Stats returns the counts as they are now.
func (c *Conn) Stats() Stats {
	s := c.qc.ConnectionStats()
	return Stats{
		MinRTT: s.MinRTT, SmoothedRTT: s.SmoothedRTT,
		PacketsSent: s.PacketsSent, BytesSent: s.BytesSent,
		PacketsReceived: s.PacketsReceived, BytesReceived: s.BytesReceived,
		PacketsLost: s.PacketsLost, BytesLost: s.BytesLost,
		Window: s.CongestionWindow,
	}
}
