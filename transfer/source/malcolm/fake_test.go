package malcolm

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// A fakeConn is a [transport.Conn] without a network.
type fakeConn struct {
	transport.Conn // nil: nothing else is used
	// answer replies to a request, on a goroutine of its own. The reply
	// ends when it returns.
	answer func(st *fakeStream, req wire.Request)

	mu      sync.Mutex
	streams []*fakeStream
	done    chan struct{}
	err     error
}

func (c *fakeConn) OpenStream(ctx context.Context, _ bool) (transport.Stream, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	st := &fakeStream{conn: c, gone: make(chan struct{})}
	st.change = sync.NewCond(&st.mu)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams = append(c.streams, st)
	return st, nil
}

func (c *fakeConn) Done() <-chan struct{} { return c.done }

func (c *fakeConn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *fakeConn) Close(uint64, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = &transport.LocalError{Kind: transport.LocalClosed}
		close(c.done)
	}
}

// asked returns the requests so far.
func (c *fakeConn) asked() (all []wire.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.streams {
		st.mu.Lock()
		all = append(all, st.request)
		st.mu.Unlock()
	}
	return all
}

// A fakeStream is a stream of a [fakeConn]. What the server writes is kept
// until it is read.
type fakeStream struct {
	transport.Stream
	conn    *fakeConn
	sent    bytes.Buffer
	request wire.Request

	mu     sync.Mutex
	change *sync.Cond
	came   bytes.Buffer
	read   int64 // bytes
	ended  bool
	late   bool
	limit  int           // number of the deadline that holds
	left   []int64       // of each CancelRead
	gone   chan struct{} // closed by the first
}

func (s *fakeStream) Write(p []byte) (int, error) { return s.sent.Write(p) }

func (s *fakeStream) CloseWrite() error {
	req, err := wire.ReadRequest(&s.sent)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.request = req
	s.mu.Unlock()
	go func() {
		s.conn.answer(s, req)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		s.change.Broadcast()
	}()
	return nil
}

// reply is what the server writes.
func (s *fakeStream) reply(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came.Write(b)
	s.change.Broadcast()
}

// await blocks until there are bytes to read, or none come. It holds mu.
func (s *fakeStream) await() error {
	for s.came.Len() == 0 || len(s.left) > 0 {
		switch {
		case len(s.left) > 0:
			return &transport.LocalError{Kind: transport.LocalCanceled}
		case s.late:
			return &transport.LocalError{Kind: transport.LocalDeadline}
		case s.ended:
			return io.EOF
		}
		s.change.Wait()
	}
	return nil
}

func (s *fakeStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.await(); err != nil {
		return 0, err
	}
	n, err := s.came.Read(p)
	s.read += int64(n)
	return n, err
}

func (s *fakeStream) Peek(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.await(); err != nil {
		return 0, err
	}
	return copy(p, s.came.Bytes()), nil
}

func (s *fakeStream) CancelRead(_ uint64, left int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		close(s.gone)
	}
	s.left = append(s.left, left)
	s.change.Broadcast()
}

// pause is a pause of the server. It ends with the stream.
func (s *fakeStream) pause(d time.Duration) {
	select {
	case <-s.gone:
	case <-time.After(d):
	}
}

func (s *fakeStream) SetWriteDeadline(time.Time) error { return nil }

func (s *fakeStream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = false
	s.limit++
	limit := s.limit
	time.AfterFunc(time.Until(t), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if limit == s.limit {
			s.late = true
			s.change.Broadcast()
		}
	})
	return nil
}

// cancelled returns what was left when the stream was cancelled first.
func (s *fakeStream) cancelled() (left int64, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		return 0, false
	}
	return s.left[0], true
}

// newFake returns a connection on which a server with these limits answers.
func newFake(limits wire.Limits, answer func(st *fakeStream, req wire.Request)) (*conn, *fakeConn) {
	f := &fakeConn{answer: answer, done: make(chan struct{})}
	c := &conn{s: &server{c: &client{Config: Config{ConnectTimeout: DefaultConnectTimeout}}}, way: f}
	if limits != (wire.Limits{}) {
		c.ledger.open(&purse{}, limits.Wasted)
		c.room.open(limits)
	}
	return c, f
}

// generous are limits that no test reaches.
var generous = wire.Limits{Streams: 100, Flight: 1 << 40, Longest: 1 << 40, Wasted: 100}

// frame is a frame of bytes of ranges.
func frame(b []byte) []byte {
	return append(wire.Header{Status: wire.StatusOK, Length: len(b)}.Append(nil), b...)
}

// frames are the frames of bytes, each of at most n.
func frames(b []byte, n int) (all []byte) {
	for len(b) > 0 {
		all = append(all, frame(b[:min(n, len(b))])...)
		b = b[min(n, len(b)):]
	}
	return all
}

func failed(index int, r wire.Refusal) []byte {
	return wire.FailedSpan{Index: index, Refusal: r}.Append(nil)
}

// content returns bytes of a file: each says where it is.
func content(offset, length int64) []byte {
	b := make([]byte, length+8)
	for at := offset &^ 7; at < offset+length; at += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], uint64(at)*0x9e3779b97f4a7c15)
		from := max(offset-at, 0)
		copy(b[at+from-offset:], word[from:])
	}
	return b[:length]
}

func contents(spans []source.Span) (b []byte) {
	for _, s := range spans {
		b = append(b, content(s.Offset, s.Length)...)
	}
	return b
}

// serveRanges answers requests for ranges in frames of n bytes.
func serveRanges(n int) func(st *fakeStream, req wire.Request) {
	return func(st *fakeStream, req wire.Request) {
		var all []byte
		for _, s := range req.(wire.RangesRequest).Spans {
			all = append(all, content(s.Offset, s.Length)...)
		}
		st.reply(frames(all, n))
	}
}

// ranges asks for spans.
func ranges(t *testing.T, c *conn, spans ...source.Span) source.Body {
	t.Helper()
	b, err := c.Range(t.Context(), spans)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
