package transport

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/quic-go/quic-go"
)

// quicStream is a [Stream] over QUIC.
type quicStream struct {
	qs     *quic.Stream
	c      *quicConn
	salute *salute // on the first stream of a client that greets
}

func (s *quicStream) Read(p []byte) (int, error) {
	if err := s.salute.hear(reader(s.read), s.c.greetingFailed); err != nil {
		return 0, err
	}
	return s.read(p)
}

func (s *quicStream) read(p []byte) (int, error) {
	n, err := s.qs.Read(p)
	return n, classify(err)
}

func (s *quicStream) Peek(p []byte) (int, error) {
	if err := s.salute.hear(reader(s.read), s.c.greetingFailed); err != nil {
		return 0, err
	}
	n, err := s.qs.Peek(p)
	return n, classify(err)
}

// Write waits for the peer's window and the congestion window.
func (s *quicStream) Write(p []byte) (int, error) {
	n, err := s.salute.write(p, s.qs.Write)
	return n, classifyWrite(err)
}

func (s *quicStream) CloseWrite() error {
	if err := s.salute.end(s.qs.Write); err != nil {
		return classifyWrite(err)
	}
	if err := s.qs.Close(); err != nil {
		return classifyWrite(context.Cause(s.qs.Context()))
	}
	return nil
}

// CancelRead costs one frame, so it is never better to read what is left.
func (s *quicStream) CancelRead(code uint64, _ int64) {
	s.qs.CancelRead(quic.StreamErrorCode(code))
	s.salute.cancel(s.c.greetingFailed)
}

func (s *quicStream) CancelWrite(code uint64) { s.qs.CancelWrite(quic.StreamErrorCode(code)) }

func (s *quicStream) SetReadDeadline(t time.Time) error { return s.qs.SetReadDeadline(t) }

func (s *quicStream) SetWriteDeadline(t time.Time) error { return s.qs.SetWriteDeadline(t) }

func (s *quicStream) Done() <-chan struct{} { return s.qs.Context().Done() }

func (s *quicStream) AfterDone(f func()) (stop func() bool) {
	return context.AfterFunc(s.qs.Context(), f)
}

func (s *quicStream) Release() { s.qs.ReleaseStreamCredit() }

// First: stream 0 is the first that a client opens (RFC 9000, section 2.1).
func (s *quicStream) First() bool { return s.qs.StreamID() == 0 }

func (s *quicStream) TLS() tls.ConnectionState { return s.c.TLS() }
