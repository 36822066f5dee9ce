package transport

import (
	"context"
	"net"
)

// A Socket is a TCP connection for a protocol that is not ours. It has the
// keep-alive probes of all our connections, so that a dead peer is noticed, and
// reads much at a time. One goroutine may read and another one write.
type Socket struct{ *pipe }

// NewSocket takes a connection, and sets its options.
func NewSocket(c net.Conn) Socket {
	setTCPOptions(c, tcpOptions{})
	return Socket{newPipe(c, true)}
}

// SetNoWait has Read fail with [os.ErrDeadlineExceeded] instead of waiting for
// the network. It belongs to the reader.
func (s Socket) SetNoWait(on bool) { s.nowait = on }

// HasRead reports whether bytes have come.
func (s Socket) HasRead() bool { return s.read.Load() > 0 }

// Stats says what is known of the connection.
func (s Socket) Stats() Stats { return s.stats() }

// DialError sorts an error of making a TCP connection, or of the TLS handshake
// over it, as [DialTCP] does. connected: the TCP connection was made; heard:
// bytes came over it.
func DialError(ctx context.Context, err error, connected, heard bool) error {
	return classifyTCPDial(ctx, err, connected, heard)
}

// SocketError sorts an error of a TCP connection that was made.
func SocketError(err error) error { return classifyTCP(err) }
