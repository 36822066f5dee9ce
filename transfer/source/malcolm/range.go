package malcolm

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// Range asks for spans. If they have more bytes than the server allows in one
// request, several come one after the other.
func (c *conn) Range(ctx context.Context, spans []source.Span) (source.Body, error) {
	p, err := c.enter(ctx, total(spans))
	if err != nil {
		return nil, fault(err)
	}
	b := &body{c: c, ctx: ctx, place: p, cut: cutter{spans: spans, longest: p.longest}, reply: &reply{}}
	b.stop = context.AfterFunc(ctx, func() { b.cancel() })
	if err := b.ask(); err != nil {
		b.Close()
		return nil, fault(err)
	}
	return b, nil
}

// A body is a [source.Body]: what comes on one stream, or on several one after
// the other.
type body struct {
	c     *conn
	ctx   context.Context
	place *place
	stop  func() bool // the context no longer ends the stream

	reading sync.Mutex // held while a method reads
	// These belong to who reads.
	cut    cutter
	reply  *reply // to the request that was sent last
	first  int    // the number of its first span
	failed *source.FailedSpan

	mu    sync.Mutex
	st    transport.Stream // of that reply; nil: none yet
	left  int64            // its bytes that have not been read
	heard bool             // something of it has come
	over  bool             // nothing more is to come
	late  bool             // the last request is given up later: see giveUp
}

// ask sends the next request, if there is one, and does not wait for its reply.
func (b *body) ask() error {
	if b.isOver() {
		return errOver
	}
	spans, first := b.cut.next()
	if len(spans) == 0 {
		return nil
	}
	st, err := b.c.way.OpenStream(b.ctx, transport.Patient)
	if err != nil {
		return err
	}
	b.reply, b.first = newReply(st, spans), first
	b.mu.Lock()
	b.st, b.left, b.heard = st, b.reply.left, false
	if b.over {
		b.drop()
	}
	b.mu.Unlock()
	return send(st, wire.RangesRequest{Spans: spans}, time.Now().Add(askTime))
}

// ready returns once a frame has begun, a span has failed, or all is there.
func (b *body) ready() error {
	for b.failed == nil {
		switch {
		case b.reply.left > 0:
			f, err := b.reply.next(b.hear)
			switch {
			case err != nil:
				if isWasted(err) {
					b.c.ledger.waste()
				}
				return err
			case f == nil:
				return nil
			}
			if b.failed, err = b.failedSpan(f); err != nil {
				return err
			}
		case b.cut.left() == 0:
			return nil
		default:
			if err := b.end(); err != nil {
				return err
			}
			if err := b.ask(); err != nil {
				return err
			}
		}
	}
	return nil
}

// hear takes note that something of a reply has come: now it may be given up.
func (b *body) hear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = true
}

func (b *body) isOver() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// failedSpan takes what a server says of a span that it does not send.
func (b *body) failedSpan(f *wire.FailedSpan) (*source.FailedSpan, error) {
	if !isRefusal(f.Refusal.Status, toSpan) {
		return nil, strange(f.Refusal.Status)
	}
	span := b.first + f.Index
	b.cut.skip(span)
	b.count()
	return &source.FailedSpan{Index: span, Fault: fault(&f.Refusal)}, nil
}

// count takes note of what is still to come.
func (b *body) count() {
	b.mu.Lock()
	b.left = b.reply.left
	b.mu.Unlock()
	b.place.shrink(b.reply.left + b.cut.left())
}

func (b *body) Wait() error {
	b.reading.Lock()
	defer b.reading.Unlock()
	err := b.ready()
	if err == nil && b.failed == nil && b.reply.frame > 0 {
		err = b.reply.wait()
	}
	if err != nil {
		return replyFault(err, b.c.s.c.ConnectTimeout)
	}
	return nil
}

func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if err := b.ready(); err != nil {
		return 0, replyFault(err, b.c.s.c.ConnectTimeout)
	}
	if f := b.failed; f != nil {
		b.failed = nil
		return 0, f
	}
	if b.reply.left == 0 {
		if err := b.end(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := b.reply.read(p)
	b.count()
	if err != nil {
		return 0, replyFault(err, b.c.s.c.ConnectTimeout)
	}
	return n, nil
}

// end checks that nothing follows the last span of a request.
func (b *body) end() error {
	st := b.reply.st
	if st == nil {
		return nil // nothing was asked for
	}
	var one [1]byte
	st.SetReadDeadline(time.Now().Add(askTime))
	if n, _ := st.Read(one[:]); n > 0 {
		return broken(errMore)
	}
	cancelStream(st, 0)
	switch {
	case b.reply.failed == 0:
		b.c.ledger.earn()
	case b.reply.got == 0:
		b.c.ledger.waste()
	}
	return nil
}

// cancel ends the request under way, and those behind it. It reports whether
// that takes until later.
func (b *body) cancel() (late bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.over = true
		if b.st != nil {
			b.drop()
		}
	}
	return b.late
}

// drop ends the request under way, now or as soon as some of its reply has
// come: else the server would count it as wasted, and close the connection if
// those are too many. The caller holds mu.
func (b *body) drop() {
	if b.heard || b.c.ledger.afford() {
		cancelStream(b.st, b.left)
		return
	}
	b.late = true
	b.st.SetReadDeadline(time.Now()) // wakes the reader
	go b.giveUp(b.st, b.left)
}

// giveUpTime bounds the wait for some of a reply that is not wanted: a server
// that sends nothing must not keep its place for ever.
const giveUpTime = 10 * time.Second

// giveUp waits until something of a reply has come, for at most giveUpTime, and
// cancels the rest.
func (b *body) giveUp(st transport.Stream, left int64) {
	b.reading.Lock()
	defer b.reading.Unlock()
	st.SetReadDeadline(time.Now().Add(giveUpTime))
	h, err := wire.ReadHeader(st)
	if err == nil && h.Status != wire.StatusOK && h.Status != wire.StatusFailedSpan {
		err = refusal(toRanges, st, h)
	}
	if isDeadline(err) || isWasted(err) {
		b.c.ledger.waste()
	}
	cancelStream(st, left)
	b.place.leave()
}

func (b *body) Close() {
	b.stop()
	if !b.cancel() {
		b.place.leave()
	}
}

// errOver says that a body was closed, or its context has ended.
var errOver = errors.New("the range was given up")

// isWasted reports whether an error is a refusal that a server counts.
func isWasted(err error) bool {
	r, ok := errors.AsType[*wire.Refusal](err)
	return ok && r.Status != wire.StatusStopping
}

// Recheck waits as long as a server may take to answer.
func (c *conn) Recheck(ctx context.Context, checksum [32]byte, chunk int) {
	timeout := c.s.c.ConnectTimeout
	deadline := time.Now().Add(timeout)
	st, end, err := c.open(ctx, deadline, timeout, source.SlowAnswer)
	if err != nil {
		return
	}
	defer end()
	if send(st, wire.RecheckRequest{Checksum: checksum, Chunk: chunk}, deadline) == nil {
		st.SetReadDeadline(deadline)
		_, _ = wire.ReadHeader(st) // it has looked
	}
	c.ledger.waste() // at worst
}
