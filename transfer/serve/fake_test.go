package serve

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/localfile"
	"malcolm/transport"
	"malcolm/wire"
)

// A fakeConn is a server's side of a connection without a network.
type fakeConn struct {
	place   *admission.Conn
	state   tls.ConnectionState
	streams chan transport.Stream

	protocol transport.Protocol // 0: QUIC

	mu     sync.Mutex
	counts transport.Stats
	looks  int // at the counts

	once sync.Once
	done chan struct{}
	code wire.CloseCode // of who closed it, once done is closed
}

func (c *fakeConn) OpenStream(context.Context, bool) (transport.Stream, error) {
	panic("a server opens no stream")
}

func (c *fakeConn) AcceptStream(ctx context.Context) (transport.Stream, error) {
	select {
	case st := <-c.streams:
		return st, nil
	case <-c.done:
	case <-ctx.Done():
	}
	return nil, net.ErrClosed
}

func (c *fakeConn) Close(code uint64, _ string) {
	c.once.Do(func() {
		c.code = wire.CloseCode(code)
		close(c.done)
	})
}

func (c *fakeConn) Done() <-chan struct{}        { return c.done }
func (c *fakeConn) Err() error                   { return net.ErrClosed }
func (c *fakeConn) TLS() tls.ConnectionState     { return c.state }
func (c *fakeConn) Protocol() transport.Protocol { return cmp.Or(c.protocol, transport.QUIC) }
func (c *fakeConn) RemoteAddr() net.Addr         { return &net.UDPAddr{} }
func (c *fakeConn) Place() any                   { return c.place }

func (c *fakeConn) Stats() transport.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	return c.counts
}

// A fakeStream is both sides of a stream without a network. The client takes
// what it has room for.
type fakeStream struct {
	conn  *fakeConn
	first bool

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change
	asked    []byte        // the request, as far as the server has not read it
	askedAll bool
	read     int // bytes of it that were read
	room     int // bytes more that the client takes
	reply    []byte
	replied  bool // the reply is complete
	reset    wire.StreamCode
	reading  time.Time // deadlines
	writing  time.Time

	gone chan struct{}
	once sync.Once
}

// change changes the stream and tells those who wait for it.
func (s *fakeStream) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

// until waits until ready is true, which is called with the stream locked, or
// for a deadline.
func (s *fakeStream) until(deadline func() time.Time, ready func() bool) error {
	for {
		s.mu.Lock()
		ok, changed, at := ready(), s.changed, deadline()
		s.mu.Unlock()
		if ok {
			return nil
		}
		var late <-chan time.Time
		if !at.IsZero() {
			t := time.NewTimer(time.Until(at))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-changed:
		case <-late:
			return os.ErrDeadlineExceeded
		case <-s.conn.done:
			return net.ErrClosed
		}
	}
}

func (s *fakeStream) Read(p []byte) (n int, err error) {
	err = s.until(func() time.Time { return s.reading }, func() bool { return len(s.asked) > 0 || s.askedAll })
	if err != nil {
		return 0, err
	}
	s.change(func() {
		n = copy(p, s.asked)
		s.asked = s.asked[n:]
		s.read += n
		if n == 0 {
			err = io.EOF
		}
	})
	return n, err
}

func (s *fakeStream) Write(p []byte) (n int, err error) {
	for n < len(p) {
		err = s.until(func() time.Time { return s.writing }, func() bool { return s.room > 0 || isClosed(s.gone) })
		if err == nil && isClosed(s.gone) {
			err = net.ErrClosed
		}
		if err != nil {
			return n, err
		}
		s.change(func() {
			take := min(len(p)-n, s.room)
			s.reply = append(s.reply, p[n:n+take]...)
			s.room -= take
			n += take
		})
	}
	return n, nil
}

func (s *fakeStream) CloseWrite() error {
	s.change(func() {
		s.replied = true
		s.once.Do(func() { close(s.gone) })
	})
	return nil
}

func (s *fakeStream) CancelWrite(code uint64) {
	s.change(func() {
		if !s.replied {
			s.reset = wire.StreamCode(code)
		}
		s.once.Do(func() { close(s.gone) })
	})
}

// giveUp is the client's: it wants no more of the reply.
func (s *fakeStream) giveUp() {
	s.change(func() { s.once.Do(func() { close(s.gone) }) })
}

func (s *fakeStream) AfterDone(f func()) func() bool {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-s.gone:
			f()
		case <-s.conn.done:
			f()
		case <-ctx.Done():
		}
	}()
	return func() bool { cancel(); return true }
}

func (s *fakeStream) SetReadDeadline(t time.Time) error {
	s.change(func() { s.reading = t })
	return nil
}

func (s *fakeStream) SetWriteDeadline(t time.Time) error {
	s.change(func() { s.writing = t })
	return nil
}

func (s *fakeStream) Peek([]byte) (int, error) { panic("not for a server") }
func (s *fakeStream) CancelRead(uint64, int64) {}
func (s *fakeStream) Done() <-chan struct{}    { return s.gone }
func (s *fakeStream) Release()                 {}
func (s *fakeStream) First() bool              { return s.first }
func (s *fakeStream) TLS() tls.ConnectionState { return s.conn.state }

// unread is room for every reply.
const unread = 1 << 40

// A world is a server without listeners.
type world struct {
	t    *testing.T
	srv  *Server
	ctx  context.Context
	stop context.CancelFunc // ends the work on connections
	// unwatch ends indexing, as the beginning of a server's end does.
	unwatch context.CancelFunc
}

// newWorld serves a source until the test ends.
func newWorld(t *testing.T, source localfile.Source, cfg Config) *world {
	t.Helper()
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if source != nil {
		cfg.Source = source
	}
	cfg.Name, cfg.Identity = "data", id
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, srv: s}
	w.ctx, w.stop = context.WithCancel(t.Context())
	s.events.over = w.ctx.Done()
	s.virtual = []*virtualServer{{srv: s, addr: &net.UDPAddr{}}}
	go s.events.run()
	var indexing context.Context
	indexing, w.unwatch = context.WithCancel(w.ctx)
	go s.index.run(indexing)
	t.Cleanup(w.stop)
	return w
}

// file returns the index of the file that the world offers.
func (w *world) file() *index { return w.srv.index.(*index) }

// dial makes a connection that is not opened.
func (w *world) dial() *fakeConn {
	rec, _, ok := w.srv.book.Enter(netip.AddrFrom4([4]byte{192, 0, 2, 1}), true, time.Now())
	if !ok {
		w.t.Fatal("no place")
	}
	c := &fakeConn{place: rec, streams: make(chan transport.Stream, 100), done: make(chan struct{})}
	c.counts.Window = 1 << 20
	go w.srv.virtual[0].serve(w.ctx, c)
	return c
}

// ask opens a stream with bytes of a request; all: there are no more of them.
func (c *fakeConn) ask(first bool, room int, all bool, request []byte) *fakeStream {
	s := &fakeStream{
		conn: c, first: first, changed: make(chan struct{}), asked: request, askedAll: all, room: room,
		gone: make(chan struct{}),
	}
	c.streams <- s
	return s
}

// open opens a connection, and asks for the offer, which is awaited.
func (w *world) open() *fakeConn {
	w.t.Helper()
	c := w.dial()
	st := c.ask(true, unread, true, wire.AppendRequest(wire.AppendRequest(nil, wire.Open{}), wire.StatRequest{}))
	st.end()
	if isClosed(c.done) {
		w.t.Fatalf("closed with code %d", c.code)
	}
	return c
}

// request asks on a stream of its own.
func (c *fakeConn) request(r wire.Request) *fakeStream {
	return c.ask(false, unread, true, wire.AppendRequest(nil, r))
}

// end waits until the reply, the stream or the connection ends, and returns the
// reply.
func (s *fakeStream) end() []byte {
	s.until(func() time.Time { return time.Time{} }, func() bool { return isClosed(s.gone) })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reply
}
