package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"os"
	"sync"
	"time"
)

const (
	// maxKept bounds the bytes of a request that may be sent again, because
	// it waited behind a reply that was cancelled.
	maxKept = 64 << 10
	// replayTime is how long a request may take to leave once more.
	replayTime = 10 * time.Second
)

// A tcpPlace is where a stream is on a link.
type tcpPlace struct {
	link   *clientLink   // nil: it waits for one
	turn   chan struct{} // closed when the reply to come is the stream's
	moved  chan struct{} // closed when the stream has another place
	first  bool          // nothing went over the link before
	salute *salute
}

// tcpStream is a [Stream] over TCP on a client.
type tcpStream struct {
	c *tcpConn
	tcpSender
	over context.Context // ends when the stream is of no use; the cause says why
	quit context.CancelCauseFunc

	// under writing: the request, while it may have to be sent again
	kept []byte
	lost bool // it was too long to keep

	reading   sync.Mutex // held while the reply is read
	peeked    []byte     // under reading: read and not consumed
	readLimit waitLimit

	mu sync.Mutex // of the rest
	at *tcpPlace
	tcpReply
}

// A tcpReply is what became of a stream.
type tcpReply struct {
	sent  bool  // the request is complete
	end   error // of the reply; nil: not yet
	began time.Time
	bytes int64 // of the reply
	left  int64 // when it was cancelled: bytes to come, or LeftUnknown
}

func newTCPStream(c *tcpConn) *tcpStream {
	s := &tcpStream{c: c}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.over, s.quit = context.WithCancelCause(context.Background())
	return s
}

// move gives the stream another place, to which nothing of the request was
// written.
func (s *tcpStream) move(p *tcpPlace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != nil {
		close(s.at.moved)
	}
	s.at, s.sent = p, false
}

func (s *tcpStream) place() *tcpPlace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// leave takes the stream off a link that is ended; false: its request cannot
// be sent again.
func (s *tcpStream) leave() bool {
	if s.over.Err() != nil {
		return false
	}
	s.move(&tcpPlace{turn: make(chan struct{}), moved: make(chan struct{})})
	return true
}

// fail ends the stream with an error.
func (s *tcpStream) fail(err error) {
	s.quit(err)
	s.stop(err)
}

// asked reports whether the request is complete, so that another one may
// follow.
func (s *tcpStream) asked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// finished reports whether both sides have ended.
func (s *tcpStream) finished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent && s.end != nil
}

// itsTurn says that the next reply is the stream's.
func (s *tcpStream) itsTurn() {
	close(s.place().turn)
	if s.over.Err() != nil {
		go s.dispose()
	}
}

// begin sends, on the stream's new place p, what was sent before on another
// link. If the stream has been moved again, the goroutine that finds its next
// place does that.
func (s *tcpStream) begin(p *tcpPlace) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	switch {
	case p != s.place():
		return nil
	case s.over.Err() != nil:
		s.c.giveBack(p, s)
		return context.Cause(s.over)
	case s.lost:
		s.c.giveBack(p, s)
		return &LocalError{Kind: LocalCanceled}
	case len(s.kept) == 0 && !s.shut:
		return nil
	}
	var limit waitLimit // the caller's is over, perhaps
	limit.set(time.Now().Add(replayTime))
	if _, err := p.salute.write(s.kept, s.writer(p, &limit)); err != nil {
		if p != s.place() {
			return nil
		}
		s.c.failed(p.link, err, nil)
		return err
	}
	if s.shut {
		return s.endRequest(p, segmentEnd, 0)
	}
	return nil
}

// writer returns what writes to the stream's link.
func (s *tcpStream) writer(p *tcpPlace, limit *waitLimit) func([]byte) (int, error) {
	return func(b []byte) (int, error) {
		n, err := p.link.write(b, limit)
		if err != nil && !isDeadline(err) {
			err = s.unwritten(p, err)
		}
		return n, err
	}
}

// unwritten ends a link that could not be written to. A close that the peer
// has sent before says more than the error.
func (s *tcpStream) unwritten(p *tcpPlace, err error) error {
	if p != s.place() {
		return err
	}
	if why := p.link.why(); why != nil {
		return why
	}
	select {
	case <-p.turn:
		if e := s.lastWords(p); e != nil {
			err = e
		}
	default:
	}
	s.c.failed(p.link, err, nil)
	return err
}

// lastWords returns the close that the peer has sent, if there is one and
// nobody else reads.
func (s *tcpStream) lastWords(p *tcpPlace) error {
	if !s.reading.TryLock() {
		return nil
	}
	defer s.reading.Unlock()
	p.link.setRead(time.Now().Add(soon))
	var b [4 << 10]byte
	for range leastDrain / len(b) {
		_, err := p.link.in.read(b[:])
		if e, ok := err.(*PeerError); ok && e.Kind == PeerClosed {
			return e
		}
		if err != nil && !isMessageEnd(err) {
			break
		}
	}
	return nil
}

func (s *tcpStream) Write(b []byte) (int, error) {
	return s.write(func() (int, error) {
		p := s.place()
		if p.link == nil {
			s.keep(p, b)
			return len(b), nil
		}
		n, err := p.salute.write(b, s.writer(p, &s.limit))
		if p != s.place() { // its link was closed, and all of it goes over another one
			n, err = len(b), nil
		}
		s.keep(p, b[:n])
		return n, err
	})
}

// keep keeps b of the request while it may have to be sent again.
func (s *tcpStream) keep(p *tcpPlace, b []byte) {
	select {
	case <-p.turn:
		s.kept = nil
		return
	default:
	}
	if len(s.kept)+len(b) > maxKept {
		s.kept, s.lost = nil, true
	}
	if !s.lost {
		s.kept = append(s.kept, b...)
	}
}

func (s *tcpStream) CloseWrite() error {
	return s.finish(segmentEnd, func() error {
		p := s.place()
		if p.link == nil {
			return nil // the goroutine that finds a link ends the request
		}
		if err := p.salute.end(s.writer(p, &s.limit)); err != nil {
			return err
		}
		return s.endRequest(p, segmentEnd, 0)
	})
}

// endRequest ends the request on its link.
func (s *tcpStream) endRequest(p *tcpPlace, kind segmentKind, code uint64) error {
	err := p.link.finish(kind, code, func() {})
	switch {
	case err == nil:
	case p != s.place():
		return nil
	case p.link.why() == nil:
		return s.unwritten(p, err)
	default:
		return err
	}
	s.mu.Lock()
	s.sent = s.sent || s.at == p
	s.mu.Unlock()
	s.c.settle(p.link, s)
	return nil
}

func (s *tcpStream) CancelWrite(code uint64) {
	s.interrupt()
	_ = s.finish(segmentReset, func() error {
		p := s.place()
		if p.link == nil {
			s.fail(&LocalError{Kind: LocalCanceled})
			return nil
		}
		return s.endRequest(p, segmentReset, code)
	})
}

// ready waits until the reply to come is the stream's.
func (s *tcpStream) ready() (*tcpPlace, error) {
	for {
		p := s.place()
		select {
		case <-p.turn:
			return p, nil
		default:
		}
		select {
		case <-p.turn:
			return p, nil
		case <-p.moved:
		case <-s.over.Done():
			return nil, context.Cause(s.over)
		case <-s.readLimit.passed():
			return nil, classify(os.ErrDeadlineExceeded)
		}
	}
}

func (s *tcpStream) Read(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if len(s.peeked) > 0 {
		n := copy(b, s.peeked)
		if s.peeked = s.peeked[n:]; n < len(b) {
			n += s.rest(b[n:])
		}
		return n, nil
	}
	return s.next(b)
}

// rest fills b with what is there without waiting. The caller holds reading.
func (s *tcpStream) rest(b []byte) int {
	p := s.place()
	if s.ended() != nil {
		return 0
	}
	p.link.pipe.nowait = true
	n, err := p.link.in.read(b)
	p.link.pipe.nowait = false
	s.count(n)
	if isMessageEnd(err) {
		s.replied(p, err) // other errors come again
	}
	return n
}

func (s *tcpStream) Peek(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for len(s.peeked) < len(b) {
		more := make([]byte, len(b)-len(s.peeked))
		n, err := s.next(more)
		s.peeked = append(s.peeked, more[:n]...)
		if err != nil {
			return copy(b, s.peeked), err
		}
	}
	return copy(b, s.peeked), nil
}

// next reads what comes next, behind the answer to a greeting. The caller holds
// reading.
func (s *tcpStream) next(b []byte) (int, error) {
	p, err := s.ready()
	if err != nil {
		return 0, err
	}
	if err := p.salute.hear(reader(func(b []byte) (int, error) { return s.receive(p, b) }), s.unheard(p)); err != nil {
		return 0, err
	}
	return s.receive(p, b)
}

// unheard returns the function that ends what a failed greeting ends: the
// connection, or only the link if the stream was given up or the link died.
func (s *tcpStream) unheard(p *tcpPlace) func(uint64, error) {
	return func(code uint64, err error) {
		switch {
		case p.link.why() != nil:
		case isLocal(err, LocalDeadline) || isLocal(err, LocalCanceled):
			s.c.drop(p.link)
		default:
			s.c.hangUp(err, code, "")
		}
	}
}

// receive reads from the link. The caller holds reading.
func (s *tcpStream) receive(p *tcpPlace, b []byte) (int, error) {
	if err := s.ended(); err != nil {
		return 0, err
	}
	s.readLimit.attach(p.link.setRead)
	n, err := p.link.in.read(b)
	s.readLimit.detach()
	if s.count(n); err == nil {
		return n, nil
	}
	return n, s.unread(p, err)
}

// ended returns the end of the reply, or why the stream is of no use.
func (s *tcpStream) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return s.end
	}
	return context.Cause(s.over)
}

func (s *tcpStream) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes += int64(n); s.began.IsZero() {
		s.began = time.Now()
	}
}

// unread returns what an error of a read means, and acts on it.
func (s *tcpStream) unread(p *tcpPlace, err error) error {
	why := context.Cause(s.over)
	switch {
	case isMessageEnd(err):
		s.replied(p, err) // also if nobody wants it: the next reply follows
		return cmp.Or(why, err)
	case why != nil:
		return why
	case p.link.why() != nil:
		return p.link.why()
	case isDeadline(err):
		return classify(err)
	}
	s.c.failed(p.link, err, nil)
	return p.link.why()
}

// replied says that the reply has ended.
func (s *tcpStream) replied(p *tcpPlace, end error) {
	s.mu.Lock()
	s.end = end
	s.mu.Unlock()
	s.c.settle(p.link, s)
}

func (s *tcpStream) SetReadDeadline(t time.Time) error {
	if s.over.Err() == nil {
		s.readLimit.set(t)
	}
	return nil
}

// Release does nothing: it is for streams that the peer has opened.
func (s *tcpStream) Release() {}

func (s *tcpStream) First() bool { return s.place().first }

// TLS returns the zero state while the stream looks for another link.
func (s *tcpStream) TLS() (cs tls.ConnectionState) {
	if p := s.place(); p.link != nil {
		cs = p.link.state
	}
	return cs
}
