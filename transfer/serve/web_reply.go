package serve

import (
	"context"
	"io"
	"net/http"
	"time"

	"malcolm/transfer/admission"
	"malcolm/wire"
)

// A webReply is the answer to a request. What is written waits for the limits
// and counts. It belongs to one goroutine.
type webReply struct {
	http.ResponseWriter
	c      *webClient
	ctx    context.Context
	status int
	head   bool  // nothing but the header is sent
	paid   bool  // what is written now is paid for, and counted elsewhere
	taken  int64 // bytes of the body
	done   bool
}

// replyKey is the key of a webReply in the context of its request.
type replyKey struct{}

// WriteHeader implements [http.ResponseWriter].
func (r *webReply) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		if status == http.StatusForbidden { // a connection is good for one guess
			r.Header().Set("Connection", "close")
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (r *webReply) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		size := len(p) - n
		if !r.paid {
			if size, err = r.c.pay(r.ctx, min(size, admission.MostBuffer), 0); err != nil {
				return n, err
			}
		}
		var sent int
		sent, err = r.ResponseWriter.Write(p[n : n+size])
		n += sent
		r.taken += int64(sent)
		r.c.took(sent, r.paid, r.c.stats())
	}
	return n, err
}

// refuse answers in one line. close ends the connection.
func (r *webReply) refuse(status int, text string, close bool) {
	if close {
		r.Header().Set("Connection", "close")
	}
	r.Header().Set("Retry-After", "10")
	http.Error(r, text, status)
}

// use returns what the request was good for. An answer of the offer, and one
// that only says that nothing has changed, count as a stat.
func (r *webReply) use() admission.Use {
	switch {
	case r.status == http.StatusServiceUnavailable:
		return admission.UsePart
	case r.status >= http.StatusBadRequest:
		return admission.UseNone
	case !r.done && r.taken == 0:
		return admission.UseNone
	case !r.done:
		return admission.UsePart
	case r.head, r.status >= http.StatusMultipleChoices:
		return admission.UseStat
	}
	return admission.UseWhole
}

// copy writes the bytes of a span to w, which writes to the reply.
func (r *webReply) copy(ctx context.Context, w io.Writer, span wire.Span) error {
	c := r.c
	c.virtual.asked.Add(1)
	c.countRanges(1)
	defer c.countRanges(-1)
	s := &webSender{r: r, w: w, spans: spanReader{index: c.srv.index, spans: []wire.Span{span}}, size: readSize{firstBytes, growBytes}}
	defer s.spans.release()
	defer func() { c.srv.limit.Refund(s.paid) }()
	r.paid = true
	defer func() { r.paid = false }()
	for left := span.Length; left > 0; {
		n, err := s.piece(ctx, left)
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

func (c *webClient) countRanges(n int) {
	c.virtual.ranges.Add(int64(n))
	c.srv.book.Ranges(c.rec, n, n, time.Now())
}

// A webSender sends the bytes of one span. It belongs to one goroutine.
type webSender struct {
	r     *webReply
	w     io.Writer
	spans spanReader
	at    position
	size  readSize
	paid  int // bytes that the limiter let pass and that were not sent
}

// piece reads a piece into a buffer and sends it. It does its own waiting
// before it takes the buffer.
func (s *webSender) piece(ctx context.Context, left int64) (n int, err error) {
	c := s.r.c
	may, err := c.pay(ctx, int(min(int64(s.size.bytes), left)), s.paid)
	if err != nil {
		return 0, err
	}
	s.paid = max(s.paid, may)
	buf, free := c.buffer(may)
	defer free()
	p := buf[frameHead:]
	p = p[:min(may, len(p))]
	var failure *wire.Refusal
	_ = c.excused(func() error {
		began := time.Now()
		n, failure = s.spans.fill(p, s.at, s.size.grown())
		c.srv.reads.Took(time.Since(began))
		return nil
	})
	if n == 0 {
		return 0, webFailure(failure)
	}
	began := time.Now()
	sent, err := s.w.Write(p[:n])
	s.at = s.spans.after(s.at, int64(sent))
	s.paid -= sent
	c.virtual.ways[overHTTP].sent.Add(int64(sent))
	s.size.adapt(sent, n, time.Since(began))
	return sent, err
}
