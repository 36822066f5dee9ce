package malcolm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

var errMore = errors.New("more bytes than were asked for")

// Range asks for a span. It returns when the server has said that the bytes
// follow.
func (c *conn) Range(ctx context.Context, s source.Span) (source.Body, error) {
	st, err := c.quic.OpenStream(ctx, transport.Patient)
	if err != nil {
		return nil, fault(err)
	}
	b := &body{st: st, left: s.Length, timeout: c.s.c.ConnectTimeout}
	b.stop = context.AfterFunc(ctx, func() { cancelStream(st) })
	if err := b.ask(s); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// A body is a [source.Body]: what comes on a stream of its own.
type body struct {
	st      transport.Stream
	left    int64 // bytes that have not been read
	timeout time.Duration
	stop    func() bool // the context no longer ends the stream
}

func (b *body) ask(s source.Span) error {
	req := wire.RangeRequest{Checksum: s.Checksum, Offset: s.Offset, Length: s.Length}
	if err := send(b.st, req, time.Now().Add(askTime)); err != nil {
		return fault(err)
	}
	h, err := wire.ReadHeader(b.st)
	switch {
	case err != nil:
		return replyFault(err, b.timeout)
	case h.Status != wire.StatusOK:
		return replyFault(wire.ReadRefusal(b.st, h), b.timeout)
	case h.Length != uint64(s.Length):
		return broken(fmt.Errorf("%d bytes where %d were asked for", h.Length, s.Length))
	}
	return nil
}

func (b *body) Wait() error {
	if b.left == 0 {
		return nil
	}
	var one [1]byte
	if _, err := b.st.Peek(one[:]); err != nil {
		return replyFault(err, b.timeout)
	}
	return nil
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.end()
	}
	n, err := b.st.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if n == 0 && err != nil {
		return 0, replyFault(err, b.timeout)
	}
	return n, nil
}

// end checks that nothing follows the bytes that were asked for.
func (b *body) end() error {
	var one [1]byte
	b.st.SetReadDeadline(time.Now().Add(askTime))
	if n, _ := b.st.Read(one[:]); n > 0 {
		return broken(errMore)
	}
	return io.EOF
}

func (b *body) Close() {
	b.stop()
	cancelStream(b.st)
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
}
