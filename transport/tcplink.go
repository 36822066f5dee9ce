package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// soon is how long a control segment may take to leave before a
	// goroutine of its own waits for it.
	soon = 5 * time.Millisecond
	// closeTime is how long a close may take to leave, beside everything
	// else.
	closeTime = time.Second
)

// past is a deadline that has passed: it wakes those who wait on a socket.
var past = time.Unix(1, 0)

// A tcpLink is one TLS connection and the segments in it. Any goroutine may
// call its methods, but those of in belong to one reader.
type tcpLink struct {
	raw   net.Conn // under pipe
	pipe  *pipe
	state tls.ConnectionState
	in    segmentReader
	out   segmentWriter
	// linger keeps the socket open until the peer has read a close.
	linger bool

	ctx  context.Context // ends with the link; its cause says why
	stop context.CancelCauseFunc

	mu      sync.Mutex
	closing bool // nobody but hangUp sets deadlines or writes any more
}

// newTCPLink takes a TLS connection whose handshake is complete.
func newTCPLink(p *pipe, c *tls.Conn) *tcpLink {
	p.buffer()
	p.Conn.SetDeadline(time.Time{})
	l := &tcpLink{
		raw: p.Conn, pipe: p, state: c.ConnectionState(),
		in: newSegmentReader(p, c), out: newSegmentWriter(p, c),
	}
	l.ctx, l.stop = context.WithCancelCause(context.Background())
	return l
}

// end records why the link ended, and reports whether it lived until now. The
// socket stays open.
func (l *tcpLink) end(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return false
	}
	l.stop(err)
	return true
}

// over is closed when the link has ended.
func (l *tcpLink) over() <-chan struct{} { return l.ctx.Done() }

// why returns why the link ended; nil: it lives.
func (l *tcpLink) why() error { return context.Cause(l.ctx) }

// setRead and setWrite set the socket's deadlines while the link lives.
func (l *tcpLink) setRead(t time.Time) error  { return l.set(l.raw.SetReadDeadline, t) }
func (l *tcpLink) setWrite(t time.Time) error { return l.set(l.raw.SetWriteDeadline, t) }

func (l *tcpLink) set(set func(time.Time) error, t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil
	}
	return set(t)
}

// write sends p before limit. The error is classified.
func (l *tcpLink) write(p []byte, limit *waitLimit) (n int, err error) {
	if !l.out.lock(limit.passed(), l.over()) {
		return 0, l.unwritten(os.ErrDeadlineExceeded)
	}
	defer l.out.unlock()
	if err := l.why(); err != nil {
		return 0, err
	}
	limit.attach(l.setWrite)
	defer limit.detach()
	if n, err = l.out.write(p); err != nil {
		err = l.unwritten(err)
	}
	return n, err
}

// unwritten returns what an error of a write means.
func (l *tcpLink) unwritten(err error) error {
	if why := l.why(); why != nil {
		return why
	}
	return classifyTCP(err)
}

// finish sends a control segment, behind what waits. It does not wait for a
// slow peer: then later writes wait. It calls first when nobody else can write
// before it.
func (l *tcpLink) finish(kind segmentKind, code uint64, first func()) error {
	select {
	case l.out.turn <- struct{}{}:
		first()
		return l.control(kind, code)
	default:
	}
	go func() { // behind an earlier one that the peer does not take
		if l.out.lock(nil, l.over()) {
			first()
			_ = l.control(kind, code)
		}
	}()
	return l.why()
}

// control sends a control segment. The caller has the turn, which it gives
// back.
func (l *tcpLink) control(kind segmentKind, code uint64) error {
	err := l.out.control(kind, code, "")
	if err == nil {
		l.setWrite(time.Now().Add(soon))
		err = l.pipe.flush()
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		l.out.unlock()
		if err != nil {
			err = l.unwritten(err)
		}
		return err
	}
	l.setWrite(time.Time{})
	go func() {
		defer l.out.unlock()
		_ = l.pipe.flush() // the next write says what is wrong
	}()
	return nil
}

// hangUp ends the link and tells the peer why, without waiting for one that
// does not read. done is called when the socket is closed.
func (l *tcpLink) hangUp(err error, code uint64, text string, done func()) {
	if !l.end(err) {
		return
	}
	l.stopWriting()
	// The writer that had the turn gives it back soon: its write was woken.
	l.out.lock(nil, nil)
	stalled := l.pipe.unsent() > 0
	if l.out.control(segmentClose, code, text) != nil {
		l.cut(done)
		return
	}
	if !stalled {
		l.raw.SetWriteDeadline(time.Now().Add(soon))
		if err := l.pipe.flush(); err == nil {
			l.leave(done)
			return
		}
	}
	go func() {
		l.raw.SetWriteDeadline(time.Now().Add(closeTime))
		if l.pipe.flush() != nil {
			l.cut(done)
			return
		}
		l.leave(done)
	}()
}

// stopWriting wakes the pending write, and lets no other deadline be set.
func (l *tcpLink) stopWriting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	l.raw.SetWriteDeadline(past)
}

// leave closes the socket when the peer has, or soon. It does not close at
// once: that may take back what was sent, if bytes are unread.
func (l *tcpLink) leave(done func()) {
	if c, ok := l.raw.(*net.TCPConn); ok && l.linger && c.CloseWrite() == nil {
		go func() {
			l.discard()
			l.cut(done)
		}()
		return
	}
	l.cut(done)
}

// discard reads until the peer closes the socket. The link's reader may read at
// the same time; it gets nothing of use.
func (l *tcpLink) discard() {
	var b [4 << 10]byte
	l.raw.SetReadDeadline(time.Now().Add(closeTime))
	for {
		if _, err := l.raw.Read(b[:]); err != nil {
			return
		}
	}
}

// cut closes the socket.
func (l *tcpLink) cut(done func()) {
	l.raw.Close()
	done()
}

// abort ends the link at once; the peer sees a reset where that is possible.
func (l *tcpLink) abort(err error, done func()) bool {
	if !l.end(err) {
		return false
	}
	l.stopWriting()
	if c, ok := l.raw.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	l.cut(done)
	return true
}

// handshake makes a TLS connection before ctx ends. p is not closed.
func handshake(ctx context.Context, p *pipe, c *tls.Conn) error {
	stop := context.AfterFunc(ctx, func() { p.Conn.SetDeadline(past) })
	err := c.Handshake()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return err
}
