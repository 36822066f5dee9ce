package https

import (
	"context"
	"io"
	"sync"

	"malcolm/transfer/source"
)

// A part is what one request asks for: spans of one file that adjoin.
type part struct {
	path     string // of the file below the address; empty: the address itself
	from, to int64  // the bytes that are still to come
	size     int64  // of the file; -1: to be learned
	all      bool   // the whole file, of which size and to are bounds
	first    int    // the number of its first span
	ends     []int64
}

// spans returns the numbers of the spans of which bytes are still to come.
func (p *part) spans() (first, last int) {
	i := 0
	for i < len(p.ends)-1 && p.ends[i] <= p.from {
		i++
	}
	return p.first + i, p.first + len(p.ends) - 1
}

// parts cuts spans into parts.
func (c *conn) parts(spans []source.Span) []part {
	var parts []part
	for i, s := range spans {
		path, size, ok := c.file(s.Checksum)
		if !ok {
			parts = append(parts, part{size: -1, first: i, ends: []int64{0}})
			continue
		}
		end := s.Offset + s.Length
		if n := len(parts) - 1; n >= 0 {
			if p := &parts[n]; p.to == s.Offset && p.path == path && p.size == size && spans[i-1].Checksum == s.Checksum {
				p.to = end
				p.ends = append(p.ends, end)
				continue
			}
		}
		parts = append(parts, part{path: path, from: s.Offset, to: end, size: size, first: i, ends: []int64{end}})
	}
	return parts
}

// file says where the file with a checksum lies, and its size.
func (c *conn) file(checksum [32]byte) (path string, size int64, ok bool) {
	want := c.wanted()
	switch {
	case want == nil:
		return "", c.seen.look().size, true
	case want.Path != nil:
		return want.Path(checksum)
	}
	return "", want.Offer.Size, checksum == want.Offer.Checksum
}

// errNoFile says that a mirror cannot have what is asked for.
var errNoFile = saying(source.Changed, "the mirror has no such file")

// Range waits until the connection is free and asks for the first span.
func (c *conn) Range(ctx context.Context, spans []source.Span) (source.Body, error) {
	b, err := c.enter(ctx, c.parts(spans))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// enter waits for the turn and begins to ask for parts. The error is a fault.
func (c *conn) enter(ctx context.Context, parts []part) (*body, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, errGivenUp
	case <-c.done:
		return nil, c.Err()
	}
	b := &body{c: c, parts: parts}
	b.ctx, b.cancel = context.WithCancel(ctx)
	b.stop = context.AfterFunc(b.ctx, b.wake)
	b.reading.Lock()
	err := b.begin()
	b.reading.Unlock()
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

var errGivenUp = saying(source.Lost, "the range was given up")

// A body is a [source.Body]: what comes for parts, one request after the other.
type body struct {
	c      *conn
	ctx    context.Context
	cancel context.CancelFunc
	stop   func() bool // the end of ctx no longer wakes

	reading sync.Mutex // held while a method reads
	// These belong to who reads.
	parts  []part
	asked  *asked               // the request under way; nil: none
	failed []*source.FailedSpan // to be told before anything else
	err    error                // why it has ended; nil: it has not

	mu   sync.Mutex
	link *link // in use; nil: none
	over bool
}

// use says which link the body uses, so that it can be woken; nil: none.
func (b *body) use(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link = l; b.over && l != nil {
		l.wake()
	}
}

// wake makes the reader stop at once. Any goroutine may call it.
func (b *body) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over = true; b.link != nil {
		b.link.wake()
	}
}

// isWoken reports whether who reads is to stop.
func (b *body) isWoken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// begin asks for the first part that is left, if nothing is asked for.
func (b *body) begin() error {
	for b.asked == nil && len(b.parts) > 0 {
		if b.ctx.Err() != nil {
			return errGivenUp
		}
		p := b.parts[0]
		if p.to == 0 {
			b.fail(errNoFile)
			continue
		}
		switch {
		case b.c.resume(b, p):
			return nil
		case b.isWoken(): // the stream may go on with another range
			return errGivenUp
		}
		a := &asked{c: b.c, b: b, part: p}
		if err := a.start(); err != nil {
			return b.c.note(err)
		}
		b.asked = a
	}
	return nil
}

// fail says that what is left of the first part does not come.
func (b *body) fail(f *source.Fault) {
	first, last := b.parts[0].spans()
	for i := first; i <= last; i++ {
		b.failed = append(b.failed, &source.FailedSpan{Index: i, Fault: f})
	}
	b.parts = b.parts[1:]
}

// ready returns once bytes are to be read, a span has failed, or all is there.
func (b *body) ready() error {
	for len(b.failed) == 0 {
		if err := b.begin(); err != nil {
			return err
		}
		a := b.asked
		if a == nil || a.length > 0 {
			return nil
		}
		f := a.receive()
		switch {
		case f == nil && a.length == 0: // an empty file
			b.parts = b.parts[1:]
			b.settle()
		case f == nil:
			return nil
		case b.isOfFile(f):
			b.settle()
			b.fail(f)
		default:
			return b.c.note(f)
		}
	}
	return nil
}

// isOfFile reports whether a fault is about one of several files only.
func (b *body) isOfFile(f *source.Fault) bool {
	return b.parts[0].path != "" && (f.What == source.Absent || f.What == source.Changed)
}

// Wait returns when bytes are there.
func (b *body) Wait() error {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.isOver() {
		return b.err
	}
	err := b.ready()
	if err == nil && len(b.failed) == 0 && b.asked != nil {
		err = b.asked.wait()
	}
	return b.end(err)
}

// isOver reports whether the body has ended, for err.
func (b *body) isOver() bool {
	if b.err == nil && b.ctx.Err() != nil {
		b.err = errGivenUp
	}
	return b.err != nil
}

// end keeps why the body has ended.
func (b *body) end(err error) error {
	if err != nil {
		if b.ctx.Err() != nil {
			err = errGivenUp
		}
		b.err = err
	}
	return err
}

func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.isOver() {
		return 0, b.err
	}
	if err := b.ready(); err != nil {
		return 0, b.end(err)
	}
	switch {
	case len(b.failed) > 0:
		f := b.failed[0]
		b.failed = b.failed[1:]
		return 0, f
	case b.asked == nil:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.asked.read(p)
	if err != nil {
		return 0, b.end(err)
	}
	now := &b.parts[0]
	if now.from += int64(n); now.from == now.to {
		b.parts = b.parts[1:]
	}
	if b.asked.length == 0 {
		b.settle()
	}
	return n, nil
}

// settle ends the request under way. What is left of its answer is thrown away
// later if it is little, else the link is closed.
func (b *body) settle() {
	a := b.asked
	if b.asked = nil; a == nil {
		return
	}
	b.use(nil)
	a.leave()
}

// Close gives up what is left.
func (b *body) Close() {
	b.wake()
	b.cancel()
	b.stop()
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.err == io.ErrClosedPipe {
		return
	}
	b.settle()
	b.parts, b.failed, b.err = nil, nil, io.ErrClosedPipe
	<-b.c.turn
}
