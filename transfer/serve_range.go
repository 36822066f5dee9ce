package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/localfile"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// firstBytes are read at once for a range at first. It is twice as many each time
	// that its client takes them within quickPiece, and half as many when that takes
	// more than slowPiece: so a buffer is soon free, and what is read for a client that
	// gives up is little more than what it has taken. Who was slow must take quickBytes
	// in a row quickly before more is read.
	firstBytes = 16 << 10
	quickBytes = 64 << 10
	quickPiece = 100 * time.Millisecond
	slowPiece  = 500 * time.Millisecond
	// pieceTime is how long a buffer is held for a client that does not take it all;
	// then less is read. The smallest one is held for the time without progress.
	pieceTime = time.Second
)

// A rangeSender sends exactly the bytes asked for, or resets the stream.
type rangeSender struct {
	c       *clientConn
	ctx     context.Context // ends when the client gives up, too
	st      *transport.Stream
	v       *version
	offset  int64         // of the next byte to send
	end     int64         // behind the last one
	piece   int           // bytes to read at once: a power of two
	quick   int           // bytes in a row that were taken quickly
	paid    int           // bytes that have passed the limiter and were not sent
	blocked time.Duration // of writing since the last progress
}

func (c *clientConn) sendRange(ctx context.Context, st *transport.Stream, req wire.RangeRequest) error {
	v, err := c.held(st, req.Checksum)
	if err != nil {
		return err
	}
	defer c.s.index.release(v)
	if req.Offset+req.Length > v.offer.Size {
		return c.refuse(st, wire.StatusOutOfRange, fmt.Sprintf("the file has %d bytes", v.offer.Size))
	}
	c.server.ranges.Add(1)
	defer c.server.ranges.Add(-1)
	c.s.book.Ranges(c.rec, 1)
	defer c.s.book.Ranges(c.rec, -1)
	if err := c.write(st, wire.Header{Status: wire.StatusOK, Length: uint64(req.Length)}.Append(nil)); err != nil {
		return err
	}
	r := &rangeSender{
		c: c, ctx: ctx, st: st, v: v,
		offset: req.Offset, end: req.Offset + req.Length, piece: firstBytes, quick: quickBytes,
	}
	defer func() { c.s.limit.Refund(r.paid) }()
	for r.offset < r.end {
		if err := r.turn(); err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

// turn sends a piece, as one of connBuffers ranges of the connection, and goes on for as
// long as the client takes its time.
func (r *rangeSender) turn() error {
	select {
	case r.c.turns <- struct{}{}:
		defer func() { <-r.c.turns }()
	case <-r.ctx.Done():
		return errReset{wire.StreamStopping}
	}
	for {
		if err := r.sendPiece(); err != nil {
			return err
		}
		if r.piece > admission.LeastBuffer || r.offset == r.end {
			return nil
		}
	}
}

// sendPiece reads a piece into a buffer and sends what the client takes of it in a time.
// What makes it wait on our side comes before it has the buffer.
func (r *rangeSender) sendPiece() error {
	n, err := r.c.pay(r.ctx, int(min(int64(r.piece), r.end-r.offset)), r.paid)
	if err != nil {
		return err
	}
	r.paid = max(r.paid, n)
	size := r.c.s.book.Take(r.c.rec, int64(bufferSize(n)), time.Now())
	defer func() { r.c.s.book.Give(r.c.rec, size, time.Now()) }()
	buf := r.c.s.buffers.get(int(size))
	defer r.c.s.buffers.put(buf)
	select {
	case <-r.st.Done(): // earlier than ctx, which needs a goroutine to run
		return errReset{wire.StreamCancelled}
	default:
	}
	p := (*buf)[:min(n, len(*buf))]
	if err := r.c.waits(func() error { return r.read(p) }); err != nil {
		return err
	}
	next, grown := r.offset+int64(len(p)), min(2*r.piece, admission.MostBuffer)
	if f, ok := r.v.file.(localfile.ReadAheader); ok && next < r.end {
		f.ReadAhead(next, min(int64(grown), r.end-next))
	}
	patience := pieceTime
	if len(p) <= admission.LeastBuffer {
		patience = r.c.s.limits.StallTimeout
	}
	began := time.Now()
	sent, err := r.send(p, patience)
	if err != nil {
		return err
	}
	r.adapt(sent, len(p), time.Since(began))
	return nil
}

// adapt sets what is read at once, after the client took sent of n bytes in a time.
func (r *rangeSender) adapt(sent, n int, took time.Duration) {
	if sent == n && took < quickPiece {
		if r.quick += sent; r.quick >= quickBytes {
			r.piece = min(2*r.piece, admission.MostBuffer)
		}
		return
	}
	r.quick = 0
	switch {
	case sent < n:
		r.piece = bufferSize(min(max(sent, 1), r.piece/2))
	case took > slowPiece:
		r.piece = max(r.piece/2, admission.LeastBuffer)
	}
}

// read fills p with the next bytes of the range. The check behind the read makes
// sure that the end of a range is never reached with bytes of another version.
func (r *rangeSender) read(p []byte) error {
	if _, err := r.v.file.ReadAt(p, r.offset); err != nil && !errors.Is(err, io.EOF) {
		return errReset{wire.StreamUnreadable}
	}
	if !r.v.isIntact() {
		r.c.s.index.changed(r.v)
		return errReset{wire.StreamChanged}
	}
	return nil
}

// send sends what the client takes of p in a time. It fails when the client has taken
// nothing in all of StallTimeout.
func (r *rangeSender) send(p []byte, patience time.Duration) (sent int, err error) {
	began, stall := time.Now(), r.c.s.limits.StallTimeout
	r.st.SetWriteDeadline(began.Add(min(patience, stall-r.blocked)))
	sent, err = r.st.Write(p)
	r.offset += int64(sent)
	r.paid -= sent
	r.c.server.sent.Add(int64(sent))
	r.c.moved(sent, true)
	r.blocked += time.Since(began)
	if sent > 0 {
		r.blocked = 0
	}
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return sent, err
	case r.blocked >= stall:
		return sent, errReset{wire.StreamStalled}
	}
	return sent, nil
}
