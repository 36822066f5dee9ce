// Package pool keeps connections to sources when one session has done with
// them, and hands them to the next one. A batch of many files from one server
// then proves that server once, and not for every file.
//
// A connection belongs to one session at a time. So whatever a session learns
// of it (losses, silence, speed) is never another session's doing, and package
// fetch does not know that there is a pool. A server has at most one kept
// connection for each session that ran at once, unless growth made more.
//
// Only a connection that has done all that was asked of it is kept: nothing is
// under way on it, and nothing has failed on it.
package pool

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/source"
	"malcolm/wire"
)

// idleTime is how long a connection is kept that nobody uses. A server closes
// connections that idle for a minute.
const idleTime = 20 * time.Second

// mostKept bounds the connections that are kept and not used, to all sources.
// The oldest one goes first.
const mostKept = 64

// A Pool keeps the connections of sources. Any goroutine may call its methods.
type Pool struct {
	mu     sync.Mutex
	kept   []*kept // oldest first
	closed bool
}

// A kept connection is not used by anybody.
type kept struct {
	target source.Target
	way    source.Conn
	expiry *time.Timer
}

// New returns an empty pool.
func New() *Pool { return &Pool{} }

// Close ends the connections that are kept. Those in use end when their
// sessions have done with them.
func (p *Pool) Close() {
	p.mu.Lock()
	kept := p.kept
	p.kept, p.closed = nil, true
	p.mu.Unlock()
	for _, k := range kept {
		k.end()
	}
}

// Source returns src with the connections of the pool.
func (p *Pool) Source(src source.Source) source.Source { return &pooled{src, p} }

func (k *kept) end() {
	k.expiry.Stop()
	k.way.Close()
}

// keep takes a connection that nobody uses any more.
func (p *Pool) keep(target source.Target, way source.Conn) {
	k := &kept{target: target, way: way}
	var over *kept // the one that has no place
	p.mu.Lock()
	k.expiry = time.AfterFunc(idleTime, func() { p.expire(k) })
	p.kept = append(p.kept, k)
	if p.closed || len(p.kept) > mostKept {
		over = p.kept[0]
		p.kept = slices.Delete(p.kept, 0, 1)
	}
	p.mu.Unlock()
	if over != nil {
		over.end()
	}
}

// expire ends a connection that nobody wanted, if it is still kept.
func (p *Pool) expire(k *kept) {
	p.mu.Lock()
	i := slices.Index(p.kept, k)
	if i >= 0 {
		p.kept = slices.Delete(p.kept, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		k.end()
	}
}

// take returns the youngest connection that fits, or nil. It drops those that
// have ended.
func (p *Pool) take(target source.Target, fits func(source.Conn) bool) source.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.kept) - 1; i >= 0; i-- {
		k := p.kept[i]
		if k.target != target {
			continue
		}
		ended := hasEnded(k.way)
		if !ended && !fits(k.way) {
			continue
		}
		p.kept = slices.Delete(p.kept, i, i+1)
		k.expiry.Stop()
		if !ended {
			return k.way
		}
		go k.way.Close() // it may say good-bye
	}
	return nil
}

func hasEnded(way source.Conn) bool {
	select {
	case <-way.Done():
		return true
	default:
		return false
	}
}

// A pooled source takes its connections from a pool, if there are some.
type pooled struct {
	source.Source
	pool *Pool
}

// Connect returns a connection that was kept, or a new one. A kept one has
// proved who it is. It must be who this source may be.
func (s *pooled) Connect(ctx context.Context) (source.Conn, error) {
	if way := s.pool.take(s.Target(), s.mayBe); way != nil {
		return newLease(s, way), nil
	}
	way, err := s.Source.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return newLease(s, way), nil
}

func (s *pooled) mayBe(way source.Conn) bool {
	voter, _ := s.Voter()
	return len(voter.IDs) == 0 || slices.Contains(voter.IDs, way.Peer().ID)
}

// A lease is a connection while a session has it.
type lease struct {
	source.Conn
	of   *pooled
	done chan struct{} // closed when the session has done with it, or it has ended

	mu      sync.Mutex
	under   int  // requests under way
	spoiled bool // something has failed on it
	over    bool // done is closed
	closed  bool // the session has closed it
}

func newLease(of *pooled, way source.Conn) *lease {
	l := &lease{Conn: way, of: of, done: make(chan struct{})}
	go func() {
		select {
		case <-way.Done():
			l.end()
		case <-l.done:
		}
	}()
	return l
}

// end says that the lease is over.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.done)
	}
}

func (l *lease) Done() <-chan struct{} { return l.done }

// errGivenBack is the error of a connection that the session has closed.
var errGivenBack = &source.Fault{What: source.Lost, Words: "the connection was closed here"}

func (l *lease) Err() error {
	if err := l.Conn.Err(); err != nil {
		return err
	}
	select {
	case <-l.done:
		return errGivenBack
	default:
		return nil
	}
}

// Close gives the connection back. The pool keeps it if it is whole. A second
// Close does nothing: somebody else may have the connection by then.
func (l *lease) Close() {
	l.end()
	l.mu.Lock()
	again, whole := l.closed, l.under == 0 && !l.spoiled
	l.closed = true
	l.mu.Unlock()
	switch {
	case again:
	case whole && !hasEnded(l.Conn):
		l.of.pool.keep(l.of.Target(), l.Conn)
	default:
		l.Conn.Close()
	}
}

// begin notes a request, unless the lease is over: then the connection may be
// somebody else's.
func (l *lease) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		if err := l.Conn.Err(); err != nil {
			return err
		}
		return errGivenBack
	}
	l.under++
	return nil
}

// finish notes the end of a request.
func (l *lease) finish(ctx context.Context, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.under--
	l.spoiled = l.spoiled || err != nil && ctx.Err() == nil
}

func (l *lease) Again(ctx context.Context, which source.Another) (source.Conn, error) {
	if which == source.More {
		same := l.Peer()
		way := l.of.pool.take(l.of.Target(), func(c source.Conn) bool {
			p := c.Peer()
			return p.ID == same.ID && p.Addr == same.Addr && p.Transport == same.Transport
		})
		if way != nil {
			return newLease(l.of, way), nil
		}
	}
	if err := l.begin(); err != nil {
		return nil, err
	}
	way, err := l.Conn.Again(ctx, which)
	l.finish(ctx, nil) // this connection is as good as before
	if err != nil {
		return nil, err
	}
	return newLease(l.of, way), nil
}

func (l *lease) Stat(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (o source.Offer, err error) {
	if err := l.begin(); err != nil {
		return o, err
	}
	defer func() { l.finish(ctx, err) }()
	return l.Conn.Stat(ctx, ask, indexing)
}

func (l *lease) Values(ctx context.Context, o source.Offer, arrived func(bytes int)) (v wire.Values, err error) {
	if err := l.begin(); err != nil {
		return v, err
	}
	defer func() { l.finish(ctx, err) }()
	return l.Conn.Values(ctx, o, arrived)
}

func (l *lease) Range(ctx context.Context, spans []source.Span) (source.Body, error) {
	if err := l.begin(); err != nil {
		return nil, err
	}
	b, err := l.Conn.Range(ctx, spans)
	if err != nil {
		l.finish(ctx, err)
		return nil, err
	}
	return &body{Body: b, l: l, ctx: ctx}, nil
}

// A body is a request under way until it is closed.
type body struct {
	source.Body
	l    *lease
	ctx  context.Context
	once sync.Once
	err  atomic.Pointer[error] // why it ended early; nil: it did not
}

func (b *body) Wait() error { return b.note(b.Body.Wait()) }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	return n, b.note(err)
}

// note keeps an error that ends the body.
func (b *body) note(err error) error {
	if err != nil && err != io.EOF {
		if _, one := errors.AsType[*source.FailedSpan](err); !one {
			b.err.Store(&err)
		}
	}
	return err
}

func (b *body) Close() {
	b.Body.Close()
	b.once.Do(func() {
		var err error
		if p := b.err.Load(); p != nil {
			err = *p
		}
		b.l.finish(b.ctx, err)
	})
}
