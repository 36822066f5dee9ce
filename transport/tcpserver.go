package transport

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// requestBuffer bounds what a server holds of one request, in bytes. A
	// longer one waits in the sockets until it is read.
	requestBuffer = 32 << 10
	// requestRest bounds what a server reads of a request that its handler
	// does not want any more, in bytes.
	requestRest = 64 << 10
)

// tcpServerConn is a [Conn] over TCP on a server: one link, whose requests are
// answered in order.
type tcpServerConn struct {
	link  *tcpLink
	place any
	leave func() // called when the socket is closed
	ready chan *tcpServerStream

	mu      sync.Mutex
	begun   int              // requests
	current *tcpServerStream // its reply is not finished; nil: no request
	ahead   *tcpServerStream // the next one; nil: no request
}

// newTCPServerConn begins to read requests.
func newTCPServerConn(l *tcpLink, place any, leave func()) *tcpServerConn {
	c := &tcpServerConn{link: l, place: place, leave: leave, ready: make(chan *tcpServerStream, 1)}
	go c.run()
	return c
}

// run reads requests until the link ends.
func (c *tcpServerConn) run() {
	for {
		if err := c.next(); err != nil {
			c.link.abort(classifyTCP(err), c.leave)
			return
		}
	}
}

// next reads one request.
func (c *tcpServerConn) next() error {
	end := c.link.in.next()
	if end != nil && !isMessageEnd(end) {
		return end
	}
	s, err := c.begin(end)
	if err != nil {
		return err
	}
	return s.receive()
}

// begin makes a stream for a request whose first bytes are there; end is not
// nil if it has none.
func (c *tcpServerConn) begin(end error) (*tcpServerStream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &tcpServerStream{
		c: c, first: c.begun == 0, end: end,
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	s.ctx, s.stop = context.WithCancelCause(c.link.ctx)
	c.begun++
	switch {
	case c.current == nil:
		c.current = s
		c.ready <- s
	case c.ahead == nil:
		c.ahead = s
	default:
		return nil, misbehaved(errTooManyAhead)
	}
	return s, nil
}

// replied makes the next request the current one.
func (c *tcpServerConn) replied() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.ahead = c.ahead, nil
	if c.current != nil {
		c.ready <- c.current
	}
}

// OpenStream fails: a server opens none.
func (c *tcpServerConn) OpenStream(context.Context, bool) (Stream, error) {
	return nil, &LocalError{Kind: LocalCanceled, Err: errServerOpens}
}

// AcceptStream returns the next request once the reply before it is finished.
func (c *tcpServerConn) AcceptStream(ctx context.Context) (Stream, error) {
	select {
	case s := <-c.ready:
		return s, nil
	case <-c.link.over():
		return nil, c.link.why()
	case <-ctx.Done():
		return nil, classify(context.Cause(ctx))
	}
}

func (c *tcpServerConn) Close(code uint64, text string) {
	c.link.hangUp(&LocalError{Kind: LocalClosed, Err: net.ErrClosed}, code, text, c.leave)
}

func (c *tcpServerConn) Done() <-chan struct{}    { return c.link.over() }
func (c *tcpServerConn) Err() error               { return c.link.why() }
func (c *tcpServerConn) TLS() tls.ConnectionState { return c.link.state }
func (c *tcpServerConn) Protocol() Protocol       { return TCP }
func (c *tcpServerConn) RemoteAddr() net.Addr     { return c.link.raw.RemoteAddr() }
func (c *tcpServerConn) Place() any               { return c.place }

// Stats adds the bytes that wait to be sent to the window: they are kept too.
func (c *tcpServerConn) Stats() Stats {
	s := c.link.pipe.stats()
	s.Window += uint64(c.link.pipe.unsent())
	return s
}

// tcpServerStream is a [Stream] over TCP on a server.
type tcpServerStream struct {
	c     *tcpServerConn
	first bool
	tcpSender

	readLimit  waitLimit
	more, room chan struct{} // have a token when there is something to read, or room for it

	mu      sync.Mutex
	buf     []byte // came and was not read
	end     error  // of the request, behind buf; nil: not yet
	dropped bool   // nobody reads it any more
}

// receive reads the request to its end.
func (s *tcpServerStream) receive() error {
	var b [1 << 10]byte
	rest := 0
	for s.ended() == nil {
		n, err := s.c.link.in.read(b[:])
		if err != nil && !isMessageEnd(err) {
			return err
		}
		if !s.wait() {
			return s.c.link.why()
		}
		s.mu.Lock()
		if s.end = err; s.dropped {
			rest += n
		} else {
			s.buf = append(s.buf, b[:n]...)
		}
		s.mu.Unlock()
		signal(s.more)
		if rest > requestRest {
			return misbehaved(errEndlessRequest)
		}
	}
	return nil
}

func (s *tcpServerStream) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// wait waits for room in the buffer; false: the link ended before.
func (s *tcpServerStream) wait() bool {
	for {
		s.mu.Lock()
		room := s.dropped || len(s.buf) < requestBuffer
		s.mu.Unlock()
		if room {
			return true
		}
		select {
		case <-s.room:
		case <-s.c.link.over():
			return false
		}
	}
}

// signal puts a token into a channel of one place.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *tcpServerStream) Read(p []byte) (int, error) { return s.take(p, min(len(p), 1), true) }

func (s *tcpServerStream) Peek(p []byte) (int, error) { return s.take(p, len(p), false) }

// take waits for at least least bytes, and fills p with what is there.
func (s *tcpServerStream) take(p []byte, least int, consume bool) (n int, err error) {
	for {
		s.mu.Lock()
		n, err = copy(p, s.buf), s.end
		switch {
		case s.dropped:
			n, err = 0, &LocalError{Kind: LocalCanceled}
		case n >= least:
			err = nil
		case err == nil:
			n = 0
		}
		if consume && n > 0 {
			s.buf = s.buf[n:]
			signal(s.room)
		}
		s.mu.Unlock()
		if n >= least || err != nil {
			return n, err
		}
		select {
		case <-s.more:
		case <-s.readLimit.passed():
			return 0, classify(os.ErrDeadlineExceeded)
		case <-s.c.link.over():
			return 0, s.c.link.why()
		}
	}
}

func (s *tcpServerStream) Write(p []byte) (int, error) {
	return s.write(func() (int, error) { return s.c.link.write(p, &s.limit) })
}

func (s *tcpServerStream) CloseWrite() error { return s.finish(segmentEnd, 0) }

func (s *tcpServerStream) CancelWrite(code uint64) {
	s.interrupt()
	_ = s.finish(segmentReset, code)
}

// finish ends our side, and lets the next request be answered.
func (s *tcpServerStream) finish(kind segmentKind, code uint64) error {
	return s.tcpSender.finish(kind, func() error { return s.c.link.finish(kind, code, s.c.replied) })
}

// CancelRead drops the rest of the request. The client is not told: the reply
// is what it waits for.
func (s *tcpServerStream) CancelRead(uint64, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		s.dropped, s.buf = true, nil
		signal(s.room)
		signal(s.more)
	}
}

func (s *tcpServerStream) SetReadDeadline(t time.Time) error {
	s.readLimit.set(t)
	return nil
}

// Release does nothing: the next request is handed out when the reply is
// finished.
func (s *tcpServerStream) Release() {}

func (s *tcpServerStream) First() bool              { return s.first }
func (s *tcpServerStream) TLS() tls.ConnectionState { return s.c.link.state }
