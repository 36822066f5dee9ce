package https

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"sync"
	"time"
	"unicode/utf8"

	"malcolm/transfer/source"
	"malcolm/wire"
)

// What a mirror has shown, for all connections that were made one from another.
// Any goroutine may call its methods.
type seen struct {
	mu       sync.Mutex
	known    bool    // something was seen
	size     int64   // of the file, where no values tell it
	first    version // of the file, from the first response
	changed  bool    // a later response had another one
	worked   bool    // bytes have come
	whole    bool    // it sends the whole file in place of a range
	streamer *conn   // the connection over which that comes; nil: none
	conns    int     // that have not ended
}

// file takes what a response says of the file, and reports whether it is the
// same version as before.
func (s *seen) file(size int64, v version) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		s.known, s.size, s.first = true, size, v
		return true
	}
	differs := s.first.differs(v)
	s.changed = s.changed || differs
	return !differs
}

// A view is a copy of seen.
type view struct {
	known, changed, worked, whole bool

	size     int64
	first    version
	streamer *conn
	conns    int
}

func (s *seen) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return view{s.known, s.changed, s.worked, s.whole, s.size, s.first, s.streamer, s.conns}
}

// change calls f to change it.
func (s *seen) change(f func(s *seen)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// A conn is a [source.Conn]: at most one TCP connection at a time. A mirror may
// close that when nothing is asked for; the next range makes it anew.
type conn struct {
	m    *mirror
	seen *seen
	turn chan struct{} // holds one value while somebody asks
	done chan struct{}

	// These belong to who has the turn.
	stream *stream // of a mirror that sends the whole file; nil: none

	mu    sync.Mutex
	link  *link          // nil: none is open
	at    hop            // what is asked: the address typed, or where it leads
	began *url.URL       // the address typed from which that was found
	typed bool           // it is the one typed
	want  *source.Wanted // what the bytes are of; nil: nobody knows
	peer  source.Peer    // of the last link
	stats source.Stats   // likewise
	err   error          // why it has ended; nil: it has not
}

func newConn(m *mirror, s *seen, at hop) *conn {
	s.change(func(s *seen) { s.conns++ })
	return &conn{m: m, seen: s, at: at, began: at.url, typed: true, turn: make(chan struct{}, 1), done: make(chan struct{})}
}

// dial takes a link to where the connection asks that was kept, or makes one.
// The error is a fault.
func (c *conn) dial(ctx context.Context) error {
	if l := c.m.cfg.Links.take(c.where()); l != nil {
		return c.hold(l)
	}
	l, err := c.m.cfg.connect(ctx, c.where())
	if err != nil {
		return c.note(err)
	}
	return c.hold(l)
}

// where returns what is asked.
func (c *conn) where() hop {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// hold takes a link as that of the connection, unless that has ended.
func (c *conn) hold(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		l.close()
		return c.err
	}
	if c.link != nil { // it leads elsewhere
		c.stats = statsOf(c.link, c.stats)
		c.m.cfg.Links.keep(c.link)
	}
	c.link = l
	c.peer = source.Peer{Addr: l.addr, Local: l.local, Transport: source.TCP}
	return nil
}

// drop closes a link, if it is still there.
func (c *conn) drop(l *link) {
	l.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.stats = statsOf(l, c.stats)
		c.link = nil
	}
}

// note ends the connection for an error that no other try can change, and puts
// the mirror out. There are two exceptions. An error "unsupported" may go away
// over another connection. And if the address may be renewed, a refusal may
// only mean that the link has expired: the status says so, or bytes have come
// before.
func (c *conn) note(err error) error {
	f, ok := err.(*source.Fault)
	if !ok || !source.IsFinal(f) {
		return err
	}
	if f.What == source.Absent && (f.Err == errExpired || c.seen.look().worked) && c.m.isRenewable() {
		again := *f
		again.What = source.Lost
		return &again
	}
	if f.What != source.Unsupported || c.seen.look().conns == 1 {
		c.m.rule(f)
	}
	c.end(f)
	return f
}

// end ends the connection.
func (c *conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.link != nil {
		c.stats = statsOf(c.link, c.stats)
		c.leave(err)
	}
	c.seen.change(func(s *seen) {
		s.conns--
		if s.streamer == c {
			s.streamer = nil
		}
	})
	close(c.done)
}

// leave gives up the link of a connection that has ended. It is kept if nobody
// asks and nothing is wrong. The caller holds mu.
func (c *conn) leave(err error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
		if err == errClosed && c.stream == nil {
			c.m.cfg.Links.keep(c.link)
			c.link = nil
			return
		}
	default: // who asks finds that out
	}
	c.link.close()
}

var errClosed = saying(source.Lost, "the connection was closed here")

func (c *conn) Close()                { c.end(errClosed) }
func (c *conn) Done() <-chan struct{} { return c.done }

func (c *conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *conn) Peer() source.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

// Again makes one more connection to where this one asks now. A replacement for
// a useless connection, and one whose place does not answer, begins at the
// address typed.
func (c *conn) Again(ctx context.Context, which source.Another) (source.Conn, error) {
	switch v := c.seen.look(); {
	case which == source.Across:
		return nil, saying(source.Unsupported, "there is no other transport to use")
	case v.whole:
		return nil, errWhole
	}
	c.mu.Lock()
	again := newConn(c.m, c.seen, c.at)
	again.began, again.typed, again.want = c.began, c.typed, c.want
	c.mu.Unlock()
	if which == source.Instead {
		again.restart()
	}
	err := again.dial(ctx)
	if err != nil && !again.typed && again.Err() == nil && ctx.Err() == nil {
		again.restart()
		err = again.dial(ctx)
	}
	if err != nil {
		again.Close()
		return nil, err
	}
	return again, nil
}

func (c *conn) wanted() *source.Wanted {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.want
}

// Stat returns what is wanted: a mirror says nothing of itself. If that is not
// known, it asks for the first byte, and learns the size from the answer.
func (c *conn) Stat(ctx context.Context, ask source.Ask, _ func(done, total int64)) (o source.Offer, err error) {
	if err := c.Err(); err != nil {
		return o, err
	}
	if ask.Want != nil {
		c.mu.Lock()
		c.want = ask.Want
		c.mu.Unlock()
	}
	v := c.seen.look()
	want := c.wanted()
	switch {
	case want != nil && v.changed:
		o.Offer = wire.Offer{Kind: want.Offer.Kind, Size: want.Offer.Size, Name: want.Offer.Name} // nobody knows of what
		return o, nil
	case want != nil:
		o.Offer = want.Offer
		return o, nil
	case !v.known:
		if err := c.probe(ctx); err != nil {
			return o, err
		}
		v = c.seen.look()
	}
	o.Offer = wire.Offer{Kind: wire.KindFile, Size: v.size, Name: nameOf(c.m.typed.Load())}
	if t, err := http.ParseTime(v.first.modified); err == nil {
		o.ModTime = t
	}
	return o, nil
}

// nameOf returns the last part of an address's path; empty: it has no name.
func nameOf(u *url.URL) string {
	name, err := url.PathUnescape(path.Base(u.EscapedPath()))
	if err != nil || name == "." || name == "/" || len(name) > wire.MaxNameLen || !utf8.ValidString(name) {
		return ""
	}
	return name
}

// probe asks for the first byte.
func (c *conn) probe(ctx context.Context) error {
	b, err := c.enter(ctx, []part{{to: 1, size: -1, ends: []int64{1}}})
	if err != nil {
		return err
	}
	defer b.Close()
	return b.Wait()
}

// Values says that a mirror has no values.
func (c *conn) Values(context.Context, source.Offer, func(int)) (wire.Values, error) {
	return wire.Values{}, saying(source.BytesOnly, "a mirror has no values")
}

// Recheck does nothing: a mirror cannot check itself.
func (c *conn) Recheck(context.Context, [32]byte, int) {}

func (c *conn) Path(context.Context, func(source.PathReport)) error {
	return saying(source.Unsupported, "a mirror reports nothing of the path")
}

func (c *conn) Traits() source.Traits {
	v := c.seen.look()
	return source.Traits{
		MoreConns: !v.whole, Ranges: 1,
		Untied: c.wanted() == nil && v.known && v.first.etag == "",
	}
}

func (c *conn) Stats() source.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		return statsOf(c.link, c.stats)
	}
	return c.stats
}

// statsOf returns what the system knows of a link. What it does not know stays
// as before.
func statsOf(l *link, before source.Stats) source.Stats {
	s := l.socket.Stats()
	now := source.Stats{MinRTT: s.MinRTT, SmoothedRTT: s.SmoothedRTT, Received: s.PacketsReceived}
	now.MinRTT = leastOf(now.MinRTT, before.MinRTT)
	return now
}

// leastOf returns the smaller of two times; 0 is not known.
func leastOf(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
