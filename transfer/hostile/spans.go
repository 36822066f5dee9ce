package hostile

import (
	"errors"
	"fmt"
	"io"

	"malcolm/wire"
)

// A SpanReply is what came of a span: its bytes, and why it failed behind them;
// nil: it did not.
type SpanReply struct {
	Data   []byte
	Failed *wire.Refusal
}

// ReadSpans reads a reply to a request for spans, and its end. It returns what
// came of each span. The error is a refusal, the stream's, or says how the
// reply breaks the protocol.
func ReadSpans(r io.Reader, spans []wire.Span) ([]SpanReply, error) {
	got := make([]SpanReply, len(spans))
	for at := 0; ; {
		h, err := wire.ReadHeader(r)
		switch {
		case err == io.EOF && at == len(spans):
			return got, nil
		case err != nil:
			return got, fmt.Errorf("within span %d: %w", at, err)
		case at == len(spans):
			return got, errors.New("more frames than it takes")
		case h.Status == wire.StatusFailedSpan:
			f, err := wire.ReadFailedSpan(r, h)
			if err != nil || f.Index != at {
				return got, fmt.Errorf("span %d failed, %v, want %d", f.Index, err, at)
			}
			got[at].Failed = &f.Refusal
			at++
		case h.Status != wire.StatusOK:
			return got, wire.ReadRefusal(r, h)
		case h.Length < 1 || h.Length > wire.MaxFrameLen:
			return got, fmt.Errorf("a frame of %d bytes", h.Length)
		default:
			if at, err = fill(r, h.Length, got, spans, at); err != nil {
				return got, err
			}
		}
	}
}

// fill reads n bytes that belong to spans from the one at on. It returns the
// span of the byte behind them.
func fill(r io.Reader, n int, got []SpanReply, spans []wire.Span, at int) (int, error) {
	for n > 0 {
		if at == len(spans) {
			return at, errors.New("more bytes than were asked for")
		}
		part := make([]byte, min(int64(n), spans[at].Length-int64(len(got[at].Data))))
		if _, err := io.ReadFull(r, part); err != nil {
			return at, err
		}
		got[at].Data = append(got[at].Data, part...)
		n -= len(part)
		if int64(len(got[at].Data)) == spans[at].Length {
			at++
		}
	}
	return at, nil
}
