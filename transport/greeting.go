package transport

import (
	"crypto/tls"
	"io"
	"sync"
)

// A Greeting is what a client and a server say to each other once for each
// handshake, ahead of the first request and the first reply.
type Greeting struct {
	// Say returns what goes ahead of the first request. It is called once
	// for each handshake.
	Say func(tls.ConnectionState) []byte
	// Hear reads the answer, from the same stream and under its deadline.
	// It must not read further. Its error is that of the stream's Read,
	// and ends the connection. It is called once for each handshake, by the
	// first Read or Peek. If the stream is cancelled before, that ends the
	// connection too.
	Hear func(tls.ConnectionState, io.Reader) error
	// Code closes the connection if Hear fails.
	Code uint64
}

// A salute is one greeting under way, on the first stream of a handshake. A
// nil *salute has nothing to say. The writer's methods belong to the writer of
// the stream, hear to its reader.
type salute struct {
	g     Greeting
	state tls.ConnectionState

	// of the writer
	begun  bool
	unsaid []byte

	mu  sync.Mutex // of the rest
	met bool       // the answer was accepted
	bad error      // why it was not; nil until then
}

func newSalute(g *Greeting, state tls.ConnectionState) *salute {
	if g == nil {
		return nil
	}
	return &salute{g: *g, state: state}
}

// write writes p, and before it what is left of the greeting. n counts bytes of
// p.
func (s *salute) write(p []byte, write func([]byte) (int, error)) (n int, err error) {
	if s == nil {
		return write(p)
	}
	if !s.begun {
		s.begun, s.unsaid = true, s.g.Say(s.state)
	}
	if len(s.unsaid) == 0 {
		return write(p)
	}
	ahead := len(s.unsaid)
	n, err = write(append(s.unsaid[:ahead:ahead], p...))
	s.unsaid = s.unsaid[min(n, ahead):]
	return max(n-ahead, 0), err
}

// end says what is unsaid, before the stream's end.
func (s *salute) end(write func([]byte) (int, error)) error {
	if s == nil || s.begun && len(s.unsaid) == 0 {
		return nil
	}
	_, err := s.write(nil, write)
	return err
}

// hear reads the answer from r, once. fail ends the connection with an error of
// Hear's.
func (s *salute) hear(r io.Reader, fail func(code uint64, err error)) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	met, bad := s.met, s.bad
	s.mu.Unlock()
	if met || bad != nil {
		return bad
	}
	err := s.g.Hear(s.state, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bad != nil:
	case err == nil:
		s.met = true
	default:
		s.bad = err
		fail(s.g.Code, err)
	}
	return s.bad
}

// unheard reports whether the answer is still to be read.
func (s *salute) unheard() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.met
}

// cancel ends the connection if the answer was not heard.
func (s *salute) cancel(fail func(code uint64, err error)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.met && s.bad == nil {
		s.bad = &LocalError{Kind: LocalCanceled}
		fail(s.g.Code, s.bad)
	}
}

// reader makes an io.Reader of a function.
type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }
