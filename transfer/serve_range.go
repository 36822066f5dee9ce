package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"malcolm/transport"
	"malcolm/wire"
)

const (
	// firstBytes are read at once for a range at first, and twice as many each
	// time: what is read for a client that gives up is little more than what it
	// has taken.
	firstBytes = 16 << 10
	// slowAfter is how long a client may take for slowBytes before what is sent
	// to it leaves the large buffers, which others wait for.
	slowAfter = time.Second
	slowBytes = 16 << 10
	// slowPiece is the buffer, in bytes, of a range whose client is slow. It is
	// not slow any more when quickBytes in a row have gone out in such pieces,
	// each in slowAgain. As many bytes are then read at once, and twice as many
	// each time: what is read again when it stalls again is no more than what it
	// has taken.
	slowPiece  = 4 << 10
	slowAgain  = slowAfter * slowPiece / slowBytes
	quickBytes = 64 << 10
)

// A rangeSender sends exactly the bytes asked for, or resets the stream.
type rangeSender struct {
	*clientConn
	ctx     context.Context // ends when the client gives up, too
	st      *transport.Stream
	v       *version
	offset  int64         // of the next byte to send
	end     int64         // behind the last one
	paid    int           // bytes that have passed the limiter and were not sent
	blocked time.Duration // of writing since the last progress
	slow    bool          // the client takes less than slowBytes in slowAfter
	small   []byte        // slowPiece, once it is slow
	quick   int           // bytes that went out quickly while it is slow
	burst   int           // bytes to read at once while it is not
}

func (c *clientConn) sendRange(ctx context.Context, st *transport.Stream, req wire.RangeRequest) error {
	v, err := c.held(st, req.Checksum)
	if err != nil {
		return err
	}
	defer c.index.release(v)
	if req.Offset+req.Length > v.offer.Size {
		return c.refuse(st, wire.StatusOutOfRange, fmt.Sprintf("the file has %d bytes", v.offer.Size))
	}
	c.server.ranges.Add(1)
	defer c.server.ranges.Add(-1)
	c.host.ranges.Add(1)
	defer c.host.ranges.Add(-1)
	if err := c.write(st, wire.Header{Status: wire.StatusOK, Length: uint64(req.Length)}.Append(nil)); err != nil {
		return err
	}
	r := &rangeSender{
		clientConn: c, ctx: ctx, st: st, v: v,
		offset: req.Offset, end: req.Offset + req.Length, burst: firstBytes,
	}
	for r.offset < r.end {
		if err := r.turn(); err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

// turn sends what fits into one buffer, as one of connBuffers ranges of the
// connection.
func (r *rangeSender) turn() error {
	select {
	case r.clientConn.buffers <- struct{}{}:
		defer func() { <-r.clientConn.buffers }()
	case <-r.ctx.Done():
		return errReset{wire.StreamStopping}
	}
	if err := r.quickly(); err != nil {
		return err
	}
	for r.slow && r.offset < r.end {
		if err := r.slowly(); err != nil {
			return err
		}
	}
	return nil
}

// quickly sends a large buffer, or a part of it to a client that is slow.
func (r *rangeSender) quickly() error {
	buf, err := r.serving.buffers.get(r.ctx, r.flow.addr)
	if err != nil {
		return errReset{wire.StreamStopping}
	}
	defer r.serving.buffers.put(r.flow.addr, buf)
	select {
	case <-r.st.Done(): // earlier than ctx, which needs a goroutine to run
		return errReset{wire.StreamCancelled}
	default:
	}
	p, err := r.read((*buf)[:r.burst])
	if err != nil {
		return err
	}
	r.burst = min(2*r.burst, len(*buf))
	next := r.offset + int64(len(p))
	if f, ok := r.v.file.(readAheader); ok && next < r.end {
		f.ReadAhead(next, min(int64(r.burst), r.end-next))
	}
	for len(p) > 0 && !r.slow {
		n := r.limit.piece(len(p))
		sent, err := r.send(p[:n], slowAfter)
		if err != nil {
			return err
		}
		r.slow = sent < min(n, slowBytes)
		p = p[sent:]
	}
	if r.slow {
		r.quick, r.burst = 0, quickBytes
	}
	return nil
}

// slowly sends a small piece, for which the client may take its time.
func (r *rangeSender) slowly() error {
	if r.small == nil {
		r.small = make([]byte, slowPiece)
	}
	p, err := r.read(r.small)
	if err != nil {
		return err
	}
	p = p[:r.limit.piece(len(p))]
	if err := r.pay(len(p)); err != nil {
		return err
	}
	began := time.Now()
	sent, err := r.send(p, r.limits.StallTimeout)
	r.quick += sent
	if sent < len(p) || time.Since(began) > slowAgain {
		r.quick = 0
	}
	r.slow = r.quick < quickBytes
	return err
}

// read fills p with the next bytes of the range. The check behind the read makes
// sure that the end of a range is never reached with bytes of another version.
func (r *rangeSender) read(p []byte) ([]byte, error) {
	p = p[:min(int64(len(p)), r.end-r.offset)]
	if _, err := r.v.file.ReadAt(p, r.offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, errReset{wire.StreamUnreadable}
	}
	if !r.v.isIntact() {
		r.index.changed(r.v)
		return nil, errReset{wire.StreamChanged}
	}
	return p, nil
}

// pay waits until n bytes may be sent.
func (r *rangeSender) pay(n int) error {
	if n <= r.paid {
		return nil
	}
	if err := r.limit.waitFor(r.ctx, r.flow, n-r.paid); err != nil {
		return errReset{wire.StreamStopping}
	}
	r.paid = n
	return nil
}

// send pays for p and sends what the client takes of it in a time. It fails when
// the client has taken nothing in all of StallTimeout.
func (r *rangeSender) send(p []byte, patience time.Duration) (sent int, err error) {
	if err := r.pay(len(p)); err != nil {
		return 0, err
	}
	began, stall := time.Now(), r.limits.StallTimeout
	r.st.SetWriteDeadline(began.Add(min(patience, stall-r.blocked)))
	sent, err = r.st.Write(p)
	r.offset += int64(sent)
	r.paid -= sent
	r.server.sent.Add(int64(sent))
	r.host.sent.Add(int64(sent))
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
