package fetch

import (
	"context"
	"io"
	"slices"
	"sync"

	"malcolm/transfer/schedule"
	"malcolm/transfer/source"
)

// A partedBody is the bytes of one span that is asked for in parts (see
// schedule.Parts). Its own connection asks for one part after the other. Idle
// connections of the same server ask for the next ones; their bytes wait in the
// transport until it is their turn. One goroutine reads it; any may call help
// and lacks.
type partedBody struct {
	ctx  context.Context // of the range
	way  source.Conn     // its own
	span source.Span
	how  schedule.Parts
	at   int64 // of the reader: bytes of the span that were read

	mu     sync.Mutex
	asked  int64   // bytes of the span that somebody asks for
	parts  []*part // with bytes that were not read, in order
	closed bool
}

// A part is one request.
type part struct {
	from, to int64         // of the span
	asked    chan struct{} // closed once body or err is set
	body     source.Body
	err      error
	helper   func() // told once that its connection has nothing more to do; nil: the span's own connection
}

func newPartedBody(ctx context.Context, way source.Conn, span source.Span, how schedule.Parts) *partedBody {
	return &partedBody{ctx: ctx, way: way, span: span, how: how}
}

// lacks returns how many bytes are not asked for yet.
func (b *partedBody) lacks() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0
	}
	return b.span.Length - b.asked
}

// take takes the next part that is not asked for; nil: all parts are.
func (b *partedBody) take(helper func()) *part {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.asked == b.span.Length {
		return nil
	}
	p := &part{from: b.asked, to: min(b.asked+b.how.Len, b.span.Length), asked: make(chan struct{}), helper: helper}
	b.asked = p.to
	b.parts = append(b.parts, p)
	return p
}

// help asks for the next part on another connection, and returns when it has.
// done is called once that connection has nothing more to do for it.
func (b *partedBody) help(way source.Conn, done func()) {
	p := b.take(done)
	if p == nil {
		done()
		return
	}
	b.ask(p, way)
}

// ask asks for a part.
func (b *partedBody) ask(p *part, way source.Conn) {
	span := b.span
	span.Offset, span.Length = span.Offset+p.from, p.to-p.from
	body, err := way.Range(b.ctx, []source.Span{span})
	b.mu.Lock()
	p.body, p.err = body, err
	close(p.asked)
	closed := b.closed
	b.mu.Unlock()
	if closed {
		b.leave(p)
	}
}

// leave ends the use of a part that was asked for.
func (b *partedBody) leave(p *part) {
	b.mu.Lock()
	body, done := p.body, p.helper
	p.body, p.helper = nil, nil
	b.mu.Unlock()
	if body != nil {
		body.Close()
	}
	if done != nil {
		done()
	}
}

// current returns the part that the next byte belongs to, asked for; nil: all
// was read.
func (b *partedBody) current() (*part, error) {
	for {
		p, more := b.first()
		switch {
		case p == nil && !more:
			return nil, nil
		case p == nil:
			if p := b.take(nil); p != nil {
				b.ask(p, b.way)
			}
			continue
		}
		select {
		case <-p.asked:
		case <-b.ctx.Done():
			return nil, context.Cause(b.ctx)
		}
		switch {
		case p.err != nil:
			if err := b.failed(p, p.err); err != nil {
				return nil, err
			}
		case b.at == p.to:
			if err := b.end(p); err != nil {
				return nil, err
			}
		default:
			return p, nil
		}
	}
}

// first returns the part at the front, and whether one may still be asked for.
func (b *partedBody) first() (p *part, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.parts) > 0 {
		p = b.parts[0]
	}
	return p, b.asked < b.span.Length
}

// end ends a part that was read, behind which nothing may follow.
func (b *partedBody) end(p *part) error {
	err := atEnd(p.body)
	b.mu.Lock()
	b.parts = slices.Delete(b.parts, 0, 1)
	b.mu.Unlock()
	b.leave(p)
	return err
}

// failed asks again, on the span's own connection, for what is left of a part
// that a helper lost. Its error is that of any other part.
func (b *partedBody) failed(p *part, err error) error {
	b.mu.Lock()
	own := p.helper == nil
	b.mu.Unlock()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if own || b.ctx.Err() != nil || blame(err) != StateLost {
		return err
	}
	b.leave(p)
	again := &part{from: b.at, to: p.to, asked: make(chan struct{})}
	b.mu.Lock()
	b.parts[0] = again
	b.mu.Unlock()
	b.ask(again, b.way)
	return nil
}

func (b *partedBody) Wait() error {
	for {
		p, err := b.current()
		if p == nil || err != nil {
			return err
		}
		if err = p.body.Wait(); err == nil {
			return nil
		}
		if err := b.failed(p, err); err != nil {
			return err
		}
	}
}

func (b *partedBody) Read(buf []byte) (int, error) {
	for {
		p, err := b.current()
		switch {
		case err != nil:
			return 0, err
		case p == nil:
			return 0, io.EOF
		}
		n, err := p.body.Read(buf[:min(int64(len(buf)), p.to-b.at)])
		b.at += int64(n)
		b.askAhead()
		if n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			err = b.failed(p, err)
		}
		if err != nil {
			return 0, err
		}
	}
}

// askAhead asks for the next part, on the span's own connection, when little is
// still to come.
func (b *partedBody) askAhead() {
	b.mu.Lock()
	due := b.asked-b.at <= b.how.Ahead
	b.mu.Unlock()
	if !due {
		return
	}
	if p := b.take(nil); p != nil {
		b.ask(p, b.way)
	}
}

func (b *partedBody) Close() {
	b.mu.Lock()
	parts := b.parts
	b.closed, b.parts = true, nil
	b.mu.Unlock()
	for _, p := range parts {
		select {
		case <-p.asked:
			b.leave(p)
		default: // who asks for it leaves it
		}
	}
}
