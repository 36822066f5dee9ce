package https

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"malcolm/transport"
)

const (
	// maxHead bounds the head of a response, and that of all before the
	// final one, in bytes.
	maxHead = 64 << 10
	// headBuffer is the buffer in which heads are read, in bytes.
	headBuffer = 4 << 10
	// mostInterim is how many responses of the statuses 1xx may come before
	// the final one.
	mostInterim = 5
	// answerTime is how long the whole head of a response may take.
	answerTime = 30 * time.Second
	// stallTime is how long a body may bring nothing.
	stallTime = time.Minute
	// askTime bounds how long a request may take to be written.
	askTime = 10 * time.Second
	// endTime is how long the end of a body without a length may take.
	endTime = time.Second
	// littleLeft is what of a body is read and thrown away rather than
	// close the connection, in bytes.
	littleLeft = 256 << 10
)

// A link is one TCP connection with HTTP/1.1. One goroutine at a time uses it;
// any may close it.
type link struct {
	origin  string
	guarded bool           // addr was judged: it may be where a redirect leads
	addr    netip.AddrPort // zero: only a proxy knows
	local   netip.Addr     // likewise
	socket  transport.Socket
	conn    net.Conn // socket, or TLS over it
	br      *bufio.Reader

	head int64     // bytes that may still be read of a head; 0: any number
	rest answering // of the last response, to be thrown away; nil: nothing
	used bool      // a response has come
	// failed is the connection's own last failure; nil: other errors are in
	// what the mirror sent.
	failed error
	woke   atomic.Bool // who uses the link is to stop
}

// An answering is what comes of a body.
type answering interface {
	// wait returns when read has something to return at once, and io.EOF at
	// the end.
	wait() error
	read(p []byte) (int, error)
	// left is how many bytes come still; -1: nobody knows.
	left() int64
}

var (
	errLongHead = errors.New("the head of the response is too long")
	errInterim  = errors.New("too many responses before the final one")
	errWoken    = errors.New("the range was given up")
)

// Read reads for br. It bounds a head.
func (l *link) Read(p []byte) (int, error) {
	if l.head == 0 {
		return l.get(p)
	}
	if l.head <= 1 {
		l.failed = errLongHead
		return 0, errLongHead
	}
	n, err := l.get(p[:min(int64(len(p)), l.head-1)])
	l.head -= int64(n)
	return n, err
}

// get reads from the connection.
func (l *link) get(p []byte) (n int, err error) {
	if n, err = l.conn.Read(p); err != nil {
		l.failed = err
	}
	return n, err
}

// deadline sets by when the next bytes must come. A link that was woken waits
// for nothing.
func (l *link) deadline(in time.Duration) error {
	if err := l.conn.SetReadDeadline(time.Now().Add(in)); err != nil {
		l.failed = err // it was closed here
		return err
	}
	if l.woke.Load() {
		return errWoken
	}
	return nil
}

// wake makes the user of the link stop at once. Any goroutine may call it.
func (l *link) wake() {
	l.woke.Store(true)
	l.conn.SetDeadline(time.Now())
}

func (l *link) close() { l.conn.Close() }

// send writes a request.
func (l *link) send(r *http.Request) error {
	var b writer
	if err := r.Write(&b); err != nil {
		return err
	}
	l.conn.SetWriteDeadline(time.Now().Add(askTime))
	_, err := l.conn.Write(b)
	return err
}

// A writer is a request as it is sent.
type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// receive reads the head of the response to r, and returns how its body comes.
func (l *link) receive(r *http.Request) (*http.Response, answering, error) {
	l.failed = nil
	if err := l.deadline(answerTime); err != nil {
		return nil, nil, err
	}
	if err := l.discard(); err != nil {
		return nil, nil, err
	}
	l.head = maxHead + headBuffer
	defer func() { l.head = 0 }()
	for range mostInterim {
		resp, err := http.ReadResponse(l.br, r)
		if err != nil {
			return nil, nil, err
		}
		l.used = true
		switch {
		case resp.StatusCode/100 != 1:
			return resp, l.body(resp), nil
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, nil, errInterim
		}
	}
	return nil, nil, errInterim
}

// body returns how the body of a response comes.
func (l *link) body(resp *http.Response) answering {
	if resp.ContentLength >= 0 && len(resp.TransferEncoding) == 0 {
		return &sized{l, resp.ContentLength}
	}
	return &unsized{l: l, r: bufio.NewReaderSize(resp.Body, 4*headBuffer)}
}

// discard throws away what is left of the last response.
func (l *link) discard() error {
	if l.rest == nil {
		return nil
	}
	rest := l.rest
	l.rest = nil
	var b [headBuffer]byte
	for {
		switch _, err := rest.read(b[:]); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// leave ends the use of a response and keeps the rest of its body for discard.
// It reports whether the link can be used again. From now on the link must not
// be woken.
func (l *link) leave(resp *http.Response, a answering) bool {
	if n := a.left(); resp.Close || n < 0 || n > littleLeft {
		return false
	}
	l.woke.Store(false)
	l.rest = a
	return true
}

// A sized body has a length that is known beforehand. It is read past br as far
// as possible.
type sized struct {
	l *link
	n int64 // bytes that come still
}

func (s *sized) left() int64 { return s.n }

func (s *sized) wait() error {
	if s.n == 0 {
		return io.EOF
	}
	_, err := s.l.br.Peek(1)
	return noEOF(err)
}

// read waits for bytes, and takes what else is there already.
func (s *sized) read(p []byte) (n int, err error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.n)]
	if s.l.br.Buffered() > 0 {
		n, err = s.l.br.Read(p)
	} else {
		n, err = s.l.get(p)
	}
	if err == nil && n < len(p) {
		s.l.socket.SetNoWait(true)
		for more := 0; err == nil && n < len(p); n += more {
			more, err = s.l.conn.Read(p[n:])
		}
		s.l.socket.SetNoWait(false)
	}
	if s.n -= int64(n); n > 0 {
		return n, nil // an error comes again
	}
	return 0, noEOF(err)
}

// noEOF says that the end of a connection is too early.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// An unsized body says itself where it ends.
type unsized struct {
	l     *link
	r     *bufio.Reader
	ended bool
}

func (u *unsized) left() int64 {
	if u.ended {
		return 0
	}
	return -1
}

func (u *unsized) wait() error { return u.note(second(u.r.Peek(1))) }

func (u *unsized) read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	return n, u.note(err)
}

// finish looks for the end, which ought to be there.
func (u *unsized) finish() {
	if u.l.deadline(endTime) == nil {
		_ = u.wait()
	}
}

func (u *unsized) note(err error) error {
	u.ended = u.ended || err == io.EOF
	return err
}

func second[T any](_ T, err error) error { return err }
