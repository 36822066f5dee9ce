package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"malcolm/transfer/admission"
	"malcolm/wire"
)

// flightWait is how long a client is told to stay away that asks for more bytes
// at a time than it may.
const flightWait = 100 * time.Millisecond

// A rangeSender sends the bytes of spans. A span that fails is reported, and
// the next one follows. It belongs to one goroutine.
type rangeSender struct {
	r       *reply
	spans   spanReader
	at      position // of the next byte to send
	frame   openFrame
	size    readSize
	left    int64         // bytes to send
	sent    int64         // bytes of the file
	failed  int           // spans
	paid    int           // bytes that the limiter let pass and that were not sent
	blocked time.Duration // of writing since the last progress
}

// An openFrame is the rest of a frame whose beginning was written: the client
// was promised it. The zero openFrame owes nothing.
type openFrame struct {
	head []byte // the rest of its header
	owed int    // bytes of its body
}

// ranges answers a request for spans. ctx also ends when the client gives up.
func (r *reply) ranges(ctx context.Context, req wire.RangesRequest) (admission.Use, error) {
	var total int64
	for _, span := range req.Spans {
		total += span.Length
	}
	if longest := r.c.srv.limits.announced().Longest; total > longest {
		return 0, r.refuse(wire.StatusMalformed, 0, fmt.Sprintf("%d bytes, at most %d are allowed", total, longest))
	}
	if !r.c.fly(total) {
		return 0, r.refuse(wire.StatusBusy, flightWait, "too many bytes under way on this connection")
	}
	r.c.virtual.asked.Add(1)
	r.c.countRanges(1, len(req.Spans))
	defer r.c.countRanges(-1, -len(req.Spans))
	s := &rangeSender{
		r: r, spans: spanReader{index: r.c.srv.index, spans: req.Spans},
		left: total, size: readSize{firstBytes, growBytes},
	}
	defer s.close()
	err := s.sendAll(ctx)
	if rtt := r.c.conn.Stats().SmoothedRTT; rtt > 0 {
		r.c.srv.trips.Took(rtt)
	}
	switch {
	case s.failed == 0:
		return admission.UseWhole, err
	case s.sent == 0:
		return admission.UseNone, err
	}
	return admission.UsePart, err
}

// countRanges adds n to the number of requests for ranges that are being
// answered, and spans to that of their spans; both may be negative.
func (c *clientConn) countRanges(n, spans int) {
	c.virtual.ranges.Add(int64(n))
	c.srv.book.Ranges(c.rec, n, spans, time.Now())
}

// close gives back what the sender holds.
func (s *rangeSender) close() {
	s.spans.release()
	s.r.c.flight.Add(-s.left)
	s.r.c.srv.limit.Refund(s.paid)
}

// sendAll sends all spans. When the server stops, it reports the remaining ones
// as failed.
func (s *rangeSender) sendAll(ctx context.Context) error {
	for s.left > 0 {
		err := s.useSlot(ctx)
		if errors.Is(err, errReset{wire.StreamStopping}) && s.frame.owed == 0 && !isClosed(s.r.st.Done()) {
			err = s.stop()
		}
		if err != nil {
			return err
		}
	}
	return s.r.st.CloseWrite()
}

// isClosed reports whether a channel is closed that nothing is ever sent on.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// useSlot sends pieces in one of the connection's slots while the client is
// slow.
func (s *rangeSender) useSlot(ctx context.Context) error {
	slots := s.r.c.slots
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return errReset{wire.StreamStopping}
	}
	for {
		failure, err := s.sendPiece(ctx)
		if err == nil && failure != nil {
			err = s.fail(failure)
		}
		if err != nil {
			return err
		}
		if s.size.bytes > admission.LeastBuffer || s.left == 0 {
			return nil
		}
	}
}

// sendPiece reads a piece into a buffer and sends what the client takes of it
// in time. It waits before it takes the buffer. If there is nothing to send,
// failure says why the next span fails.
func (s *rangeSender) sendPiece(ctx context.Context) (failure *wire.Refusal, err error) {
	n := min(int64(s.size.bytes), s.left)
	if s.frame.owed > 0 {
		n = min(n, int64(s.frame.owed))
	}
	may, err := s.r.c.pay(ctx, int(n), s.paid)
	if err != nil {
		return nil, err
	}
	s.paid = max(s.paid, may)
	buf, free := s.r.c.buffer(may)
	defer free()
	if isClosed(s.r.st.Done()) { // earlier than ctx, which needs a goroutine to run
		return nil, errReset{wire.StreamCancelled}
	}
	p := buf[frameHead:]
	p = p[:min(may, len(p))]
	var filled int
	_ = s.r.c.excused(func() error {
		began := time.Now()
		filled, failure = s.spans.fill(p, s.at, s.size.grown())
		s.r.c.srv.reads.Took(time.Since(began))
		return nil
	})
	if filled == 0 {
		return failure, nil
	}
	return nil, s.sendFilled(buf, filled)
}

// sendFilled sends the n bytes that are in a buffer, as a frame of their own or
// as what an open one is owed. They were checked before.
func (s *rangeSender) sendFilled(buf []byte, n int) error {
	frame := s.frame
	if frame.owed == 0 {
		frame = openFrame{head: wire.Header{Status: wire.StatusOK, Length: n}.Append(nil), owed: n}
	}
	head := len(frame.head)
	p := buf[frameHead-head : frameHead+n]
	copy(p, frame.head)
	patience := pieceTime
	if n <= admission.LeastBuffer {
		patience = s.r.c.srv.limits.StallTimeout
	}
	began := time.Now()
	sent, err := s.send(p, patience)
	body := max(sent-head, 0)
	if sent > 0 { // else nothing was promised
		s.frame = openFrame{head: frame.head[min(sent, head):], owed: frame.owed - body}
	}
	s.advance(body)
	if err != nil {
		return err
	}
	s.size.adapt(body, n, time.Since(began))
	return nil
}

// advance says that n bytes of the file were sent.
func (s *rangeSender) advance(n int) {
	c := s.r.c
	s.at = s.spans.after(s.at, int64(n))
	s.left -= int64(n)
	s.sent += int64(n)
	s.paid -= n
	c.flight.Add(-int64(n))
	c.virtual.over(c.conn.Protocol()).sent.Add(int64(n))
	c.moved(n, true)
}

// send sends what the client takes of p within patience. It fails when the
// client has taken nothing for all of StallTimeout.
func (s *rangeSender) send(p []byte, patience time.Duration) (sent int, err error) {
	began, stall := time.Now(), s.r.c.srv.limits.StallTimeout
	s.r.st.SetWriteDeadline(began.Add(min(patience, stall-s.blocked)))
	sent, err = s.r.st.Write(p)
	s.r.taken += int64(sent)
	s.blocked += time.Since(began)
	if sent > 0 {
		s.blocked = 0
	}
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return sent, err
	case s.blocked >= stall:
		return sent, errReset{wire.StreamStalled}
	}
	return sent, nil
}

// fail reports the span of the next byte as failed. Within a frame that was
// begun it can only reset the stream.
func (s *rangeSender) fail(failure *wire.Refusal) error {
	s.r.c.srv.refused[failure.Status].Add(1)
	if s.frame.owed > 0 {
		return errReset{codeOf(failure.Status)}
	}
	return s.r.write(s.skip(nil, *failure))
}

// stop reports all remaining spans as failed, since the server stops.
func (s *rangeSender) stop() error {
	var frames []byte
	for s.left > 0 {
		frames = s.skip(frames, wire.Refusal{Status: wire.StatusStopping})
	}
	return s.r.write(frames)
}

// skip passes over the rest of the span of the next byte, and appends the frame
// that reports it to b.
func (s *rangeSender) skip(b []byte, failure wire.Refusal) []byte {
	b = wire.FailedSpan{Index: s.at.span, Refusal: failure}.Append(b)
	rest := s.spans.spans[s.at.span].Length - s.at.done
	s.at = position{span: s.at.span + 1}
	s.failed++
	s.left -= rest
	s.r.c.flight.Add(-rest)
	return b
}

// codeOf returns the code with which a stream is reset for a failure.
func codeOf(status wire.Status) wire.StreamCode {
	if status == wire.StatusUnreadable {
		return wire.StreamUnreadable
	}
	return wire.StreamChanged
}
