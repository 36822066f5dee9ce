package transport

import (
	"context"
	"time"

	"github.com/quic-go/quic-go"
)

// Stream is a stream with two sides, which end one by one. Read and Peek belong
// to one goroutine at a time, Write and CloseWrite to one. Any goroutine may
// call the other methods. Errors are io.EOF, *PeerError, *NetworkError or
// *LocalError.
type Stream struct{ qs *quic.Stream }

// Read reads what the peer wrote; io.EOF follows its last byte.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.qs.Read(p)
	return n, classify(err)
}

// Peek waits for len(p) bytes and fills p with them, without consuming them. If
// the stream ends before, it returns the bytes that are left and io.EOF. It
// cannot peek more than the receive window.
func (s *Stream) Peek(p []byte) (int, error) {
	n, err := s.qs.Peek(p)
	return n, classify(err)
}

// Write returns when quic-go has taken all of p. It waits for the peer's window
// and the congestion window.
func (s *Stream) Write(p []byte) (int, error) {
	n, err := s.qs.Write(p)
	return n, classifyWrite(err)
}

// CloseWrite ends our side after the bytes written; the peer reads io.EOF. If
// our side was cancelled it returns the reason.
func (s *Stream) CloseWrite() error {
	if err := s.qs.Close(); err != nil {
		return classifyWrite(context.Cause(s.qs.Context()))
	}
	return nil
}

// CancelRead tells the peer with code to stop writing, and drops what has come.
// After the peer's last byte was read it does nothing.
func (s *Stream) CancelRead(code uint64) { s.qs.CancelRead(quic.StreamErrorCode(code)) }

// CancelWrite ends our side with code; bytes on their way may be lost. It does
// nothing after the peer has acknowledged the end of our side.
func (s *Stream) CancelWrite(code uint64) { s.qs.CancelWrite(quic.StreamErrorCode(code)) }

// SetReadDeadline makes Read and Peek fail after t, pending calls too; the zero
// time: never.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.qs.SetReadDeadline(t) }

// SetWriteDeadline makes Write fail after t, pending calls too; the zero time:
// never. What a failed Write has taken may still be sent.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.qs.SetWriteDeadline(t) }

// Done is closed when our side has ended: by CloseWrite or CancelWrite, by a
// peer that stopped reading, or with the connection. If it is closed before
// CloseWrite, further writes are useless.
func (s *Stream) Done() <-chan struct{} { return s.qs.Context().Done() }

// AfterDone calls f in a goroutine of its own once Done is closed. stop undoes
// that, and reports false if it was too late.
func (s *Stream) AfterDone(f func()) (stop func() bool) {
	return context.AfterFunc(s.qs.Context(), f)
}

// Release says that a stream that the peer has opened needs no more work. Once
// both of its sides have ended, the peer may open another one in its place.
// Release each stream of AcceptStream; later calls do nothing.
func (s *Stream) Release() { s.qs.ReleaseStreamCredit() }
