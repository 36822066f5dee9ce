package malcolm

import (
	"errors"
	"fmt"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

var (
	errMore  = errors.New("more bytes than were asked for")
	errEmpty = errors.New("a frame of no bytes")
)

// A cutter cuts spans into requests.
type cutter struct {
	spans   []source.Span
	longest int64 // bytes of a request
	at      int64 // bytes of the first span that were cut off already
	first   int   // the number of the first span
}

// next returns the spans of the next request, and the number of the first one;
// without spans, all were asked for.
func (c *cutter) next() (spans []wire.Span, first int) {
	first = c.first
	room := c.longest
	for len(c.spans) > 0 && room > 0 && len(spans) < wire.MaxSpans {
		s := c.spans[0]
		n := min(s.Length-c.at, room)
		spans = append(spans, wire.Span{Checksum: s.Checksum, Offset: s.Offset + c.at, Length: n})
		room -= n
		if c.at += n; c.at == s.Length {
			c.drop()
		}
	}
	return spans, first
}

// skip leaves out what is left of a span that has failed.
func (c *cutter) skip(span int) {
	if span == c.first && c.at > 0 {
		c.drop()
	}
}

func (c *cutter) drop() { c.spans, c.first, c.at = c.spans[1:], c.first+1, 0 }

// left returns how many bytes no request has asked for yet.
func (c *cutter) left() int64 { return total(c.spans) - c.at }

func total(spans []source.Span) (n int64) {
	for _, s := range spans {
		n += s.Length
	}
	return n
}

// A reply is what comes for one request for ranges: the bytes of its spans, cut
// into frames. It holds no bytes itself.
type reply struct {
	st    transport.Stream
	spans []wire.Span // Length is what each still lacks
	at    int         // the span that the next byte belongs to
	left  int64       // bytes of all spans
	frame int         // bytes of this frame that were not read

	failed int   // spans
	got    int64 // bytes
}

func newReply(st transport.Stream, spans []wire.Span) *reply {
	r := &reply{st: st, spans: spans}
	for _, s := range spans {
		r.left += s.Length
	}
	return r
}

// next reads heads of frames until bytes follow or a span has failed. The reply
// must still lack bytes. It calls hear when something has come. Errors are
// [*source.Fault] or the stream's own.
func (r *reply) next(hear func()) (failed *wire.FailedSpan, err error) {
	if r.frame > 0 {
		return nil, nil
	}
	h, err := wire.ReadHeader(r.st)
	if err != nil {
		return nil, err
	}
	hear()
	switch {
	case h.Status == wire.StatusFailedSpan:
		f, err := wire.ReadFailedSpan(r.st, h)
		if err != nil {
			return nil, err
		}
		if f.Index != r.at {
			return nil, broken(fmt.Errorf("span %d failed where bytes of span %d were to come", f.Index, r.at))
		}
		r.left -= r.spans[r.at].Length
		r.at++
		r.failed++
		return &f, nil
	case h.Status != wire.StatusOK:
		return nil, refusal(toRanges, r.st, h)
	case h.Length == 0:
		return nil, broken(errEmpty)
	case int64(h.Length) > r.left:
		return nil, broken(errMore)
	}
	r.frame = h.Length
	return nil, nil
}

// wait returns when a byte of the frame is there.
func (r *reply) wait() error {
	var one [1]byte
	_, err := r.st.Peek(one[:])
	return err
}

// read reads bytes of the frame.
func (r *reply) read(p []byte) (int, error) {
	n, err := r.st.Read(p[:min(len(p), r.frame)])
	r.frame -= n
	r.left -= int64(n)
	r.got += int64(n)
	for rest := int64(n); rest > 0; {
		s := &r.spans[r.at]
		took := min(rest, s.Length)
		s.Length -= took
		rest -= took
		if s.Length == 0 {
			r.at++
		}
	}
	if n > 0 {
		err = nil
	}
	return n, err
}
