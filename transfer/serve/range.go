package serve

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
	// firstBytes is the first read size of a range. See [readSize.adapt].
	firstBytes = 16 << 10
	// growBytes must be taken in a row, each piece within quickTake, before
	// the read size grows for a client that was slow.
	growBytes = 64 << 10
	quickTake = 100 * time.Millisecond
	slowTake  = 500 * time.Millisecond
	// pieceTime is how long a buffer is held for a client that does not
	// take it all; then less is read. The smallest one is held for
	// StallTimeout.
	pieceTime = time.Second
)

// A rangeSender sends exactly the bytes asked for, or resets the stream. It
// belongs to one goroutine.
type rangeSender struct {
	c       *clientConn
	st      transport.Stream
	v       *version
	offset  int64 // of the next byte to send
	end     int64 // behind the last one
	size    readSize
	paid    int           // bytes that the limiter let pass and that were not sent
	blocked time.Duration // of writing since the last progress
}

// sendRange answers a request for a range of a version. ctx also ends when the
// client gives up.
func (c *clientConn) sendRange(ctx context.Context, st transport.Stream, req wire.RangeRequest) error {
	v, err := c.held(st, req.Checksum)
	if err != nil {
		return err
	}
	defer c.srv.index.release(v)
	if req.Offset+req.Length > v.offer.Size {
		return c.refuse(st, wire.StatusOutOfRange, fmt.Sprintf("the file has %d bytes", v.offer.Size))
	}
	c.countRange(1)
	defer c.countRange(-1)
	if err := c.write(st, wire.Header{Status: wire.StatusOK, Length: uint64(req.Length)}.Append(nil)); err != nil {
		return err
	}
	r := &rangeSender{
		c: c, st: st, v: v,
		offset: req.Offset, end: req.Offset + req.Length, size: readSize{firstBytes, growBytes},
	}
	defer func() { c.srv.limit.Refund(r.paid) }()
	for r.offset < r.end {
		if err := r.useSlot(ctx); err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

// countRange adds n to the number of ranges being sent; n may be negative.
func (c *clientConn) countRange(n int) {
	c.virtual.ranges.Add(int64(n))
	c.srv.book.Ranges(c.rec, n)
}

// useSlot sends pieces in one of the connection's slots while the client is
// slow.
func (r *rangeSender) useSlot(ctx context.Context) error {
	select {
	case r.c.slots <- struct{}{}:
		defer func() { <-r.c.slots }()
	case <-ctx.Done():
		return errReset{wire.StreamStopping}
	}
	for {
		if err := r.sendPiece(ctx); err != nil {
			return err
		}
		if r.size.bytes > admission.LeastBuffer || r.offset == r.end {
			return nil
		}
	}
}

// sendPiece reads a piece into a buffer and sends what the client takes of it
// in time. It does its own waiting before it takes the buffer.
func (r *rangeSender) sendPiece(ctx context.Context) error {
	n, err := r.c.pay(ctx, int(min(int64(r.size.bytes), r.end-r.offset)), r.paid)
	if err != nil {
		return err
	}
	r.paid = max(r.paid, n)
	buf, free := r.c.buffer(n)
	defer free()
	select {
	case <-r.st.Done(): // earlier than ctx, which needs a goroutine to run
		return errReset{wire.StreamCancelled}
	default:
	}
	p := buf[:min(n, len(buf))]
	if err := r.c.excused(func() error { return r.read(p) }); err != nil {
		return err
	}
	patience := pieceTime
	if len(p) <= admission.LeastBuffer {
		patience = r.c.srv.limits.StallTimeout
	}
	began := time.Now()
	sent, err := r.send(p, patience)
	if err != nil {
		return err
	}
	r.size.adapt(sent, len(p), time.Since(began))
	return nil
}

// read fills p with the next bytes of the range, and has the system read ahead
// for the next piece. The check after the read ensures that no range ends with
// bytes of another version.
func (r *rangeSender) read(p []byte) error {
	if _, err := r.v.file.ReadAt(p, r.offset); err != nil && !errors.Is(err, io.EOF) {
		return errReset{wire.StreamUnreadable}
	}
	if !r.v.isIntact() {
		r.c.srv.index.changed(r.v)
		return errReset{wire.StreamChanged}
	}
	next := r.offset + int64(len(p))
	if f, ok := r.v.file.(localfile.ReadAheader); ok && next < r.end {
		f.ReadAhead(next, min(int64(r.size.grown()), r.end-next))
	}
	return nil
}

// send sends what the client takes of p within patience. It fails when the
// client has taken nothing for all of StallTimeout.
func (r *rangeSender) send(p []byte, patience time.Duration) (sent int, err error) {
	began, stall := time.Now(), r.c.srv.limits.StallTimeout
	r.st.SetWriteDeadline(began.Add(min(patience, stall-r.blocked)))
	sent, err = r.st.Write(p)
	r.offset += int64(sent)
	r.paid -= sent
	r.c.virtual.sent.Add(int64(sent))
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

// A readSize is how much is read at once for a range. It grows for a quick
// client and shrinks for a slow one. So buffers are soon free, and little is
// read beyond what a client that gives up has taken.
type readSize struct {
	bytes  int // a power of two
	streak int // bytes in a row that were taken quickly
}

// grown returns the next larger size in bytes.
func (s *readSize) grown() int { return min(2*s.bytes, admission.MostBuffer) }

// adapt sets the size after the client took sent of n bytes. It doubles when
// growBytes in a row were each taken within quickTake, and halves when a piece
// took more than slowTake.
func (s *readSize) adapt(sent, n int, took time.Duration) {
	if sent == n && took < quickTake {
		if s.streak += sent; s.streak >= growBytes {
			s.bytes = s.grown()
		}
		return
	}
	s.streak = 0
	switch {
	case sent < n:
		s.bytes = bufferSize(min(max(sent, 1), s.bytes/2))
	case took > slowTake:
		s.bytes = max(s.bytes/2, admission.LeastBuffer)
	}
}
