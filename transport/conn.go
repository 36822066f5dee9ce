package transport

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// A Protocol is what carries a connection.
type Protocol uint8

const (
	QUIC Protocol = iota + 1 // over UDP
	TCP                      // with TLS 1.3 inside
)

func (p Protocol) String() string {
	switch p {
	case QUIC:
		return "quic"
	case TCP:
		return "tcp"
	}
	return "unknown"
}

// Whether a stream may wait behind another one's reply: see [Conn.OpenStream].
const (
	Patient = false
	Urgent  = true
)

// A Conn is a connection whose handshake is complete. Over TCP a client's is a
// few TLS connections to one address. Any goroutine may call its methods.
type Conn interface {
	// OpenStream opens a stream. It waits while the peer's limit of open
	// streams is reached. The peer learns of the stream by its first byte.
	// Over TCP a stream that is not urgent may have to wait for the end of
	// another one's reply before its own begins.
	OpenStream(ctx context.Context, urgent bool) (Stream, error)

	// AcceptStream returns the next stream that the peer has opened. A
	// client's connection never has one. Release the stream when nothing
	// works on it any more.
	AcceptStream(ctx context.Context) (Stream, error)

	// Close ends the connection and all its streams, tells the peer code
	// and the first 256 bytes of text, and waits until everything that
	// Dial took is given back. If the connection has ended it only waits.
	Close(code uint64, text string)

	// Done is closed when the connection has ended.
	Done() <-chan struct{}

	// Err returns why the connection ended, as *PeerError, *NetworkError or
	// *LocalError; nil while it lives.
	Err() error

	// TLS returns the state of the first handshake, which says who the peer
	// is. See [Stream.TLS].
	TLS() tls.ConnectionState

	Protocol() Protocol

	// RemoteAddr returns the peer's address. A client's address may change
	// while the connection lives: to count by it, take it once.
	RemoteAddr() net.Addr

	// Stats returns the counts as they are now.
	Stats() Stats

	// Place returns what the listener's [Gate] gave the connection. It is
	// nil without a gate, and on a connection that was dialed.
	Place() any
}

// A Stream has two sides, which end one by one. Read and Peek belong to one
// goroutine at a time, Write and CloseWrite to one. Any goroutine may call the
// other methods. Errors are io.EOF, *PeerError, *NetworkError or *LocalError.
type Stream interface {
	// Read reads what the peer wrote; io.EOF follows its last byte.
	Read(p []byte) (int, error)

	// Peek waits for len(p) bytes and fills p with them, without consuming
	// them. If the stream ends before, it returns the bytes that are left
	// and io.EOF. It cannot peek more than the receive window.
	Peek(p []byte) (int, error)

	// Write returns when all of p is taken. It waits for the peer and for
	// the network. After a deadline the first n bytes are taken, and may
	// still be sent; one may write on behind them.
	Write(p []byte) (n int, err error)

	// CloseWrite ends our side after the bytes written; the peer reads
	// io.EOF. If our side was cancelled it returns the reason.
	CloseWrite() error

	// CancelRead tells the peer with code to stop writing, and drops what
	// has come. After the peer's last byte was read it does nothing. left
	// is how many bytes are still to come, as far as the caller knows;
	// LeftUnknown if it does not. Over TCP a small rest is read, for
	// cancelling costs a TLS connection.
	CancelRead(code uint64, left int64)

	// CancelWrite ends our side with code; bytes on their way may be lost.
	// It does nothing after the peer has acknowledged the end of our side.
	CancelWrite(code uint64)

	// SetReadDeadline makes Read and Peek fail after t, pending calls too;
	// the zero time: never.
	SetReadDeadline(t time.Time) error

	// SetWriteDeadline makes Write fail after t, pending calls too; the
	// zero time: never.
	SetWriteDeadline(t time.Time) error

	// Done is closed when our side has ended: by CloseWrite or CancelWrite,
	// by a peer that stopped reading, or with the connection. If it is
	// closed before CloseWrite, further writes are useless.
	Done() <-chan struct{}

	// AfterDone calls f in a goroutine of its own once Done is closed. stop
	// undoes that, and reports false if it was too late.
	AfterDone(f func()) (stop func() bool)

	// Release says that a stream that the peer has opened needs no more
	// work. Once both of its sides have ended, the peer may open another
	// one in its place. Release each stream of AcceptStream; later calls do
	// nothing.
	Release()

	// First reports whether the stream is the first one of its handshake:
	// of the connection over QUIC, of a TLS connection over TCP.
	First() bool

	// TLS returns the state of the handshake under which the stream runs,
	// whose keys are its own over TCP.
	TLS() tls.ConnectionState
}

// LeftUnknown tells [Stream.CancelRead] that the number of bytes still to come
// is not known.
const LeftUnknown = -1

// Stats counts what a connection has done so far. Bytes are those of the
// payloads of UDP, and of TCP. Over TCP a client's counts are the sums over all
// its TLS connections, ended ones too, and its round trips the least of theirs.
// Only Linux tells TCP's packets, round trips and window. Elsewhere they are
// zero. PacketsReceived is zero after a handshake only if they are not known.
type Stats struct {
	MinRTT, SmoothedRTT            time.Duration // zero before the first sample
	LatestRTT                      time.Duration // the last sample, over QUIC; zero before it, and over TCP
	PacketsSent, BytesSent         uint64        // repetitions included
	PacketsReceived, BytesReceived uint64        // unusable ones included
	PacketsLost, BytesLost         uint64        // of those sent; falls when a late one is acknowledged
	// Window is the congestion window now, in bytes. Bytes are kept until
	// they are acknowledged: at most the largest window so far.
	Window uint64
}
