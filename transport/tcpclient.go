package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// maxLinks is how many TLS connections a client makes to one address.
	maxLinks = 8
	// growPause is the time after a failed try to make one more.
	growPause = time.Second
)

// tcpConn is a [Conn] over TCP on a client: a pool of links to one server. An
// empty pool is no end: it is filled by the next stream. It ends when its last
// link dies of something else than a cancelled reply.
type tcpConn struct {
	d     *tcpDialer
	first tls.ConnectionState
	ctx   context.Context // ends with the connection; the cause says why
	stop  context.CancelCauseFunc
	work  sync.WaitGroup // sockets, and dials; nothing is added after the end

	mu      sync.Mutex
	links   []*clientLink // those that live
	dialing int
	changed chan struct{} // closed and replaced when there may be a place
	pause   time.Time     // no further link before
	lost    error         // why the last link died while another was dialled
	gone    Stats         // of links that ended
}

// A clientLink is a link of a pool.
type clientLink struct {
	*tcpLink

	// under tcpConn.mu
	greeted bool         // a stream has the greeting
	queue   []*tcpStream // the one whose reply is under way, and at most one ahead
	watched *watcher     // of an idle link
}

// A watcher waits for an idle link to end.
type watcher struct {
	ended chan struct{} // closed when nobody reads any more
	found error         // set before; the deadline: it was stopped
}

func newTCPConn(d *tcpDialer, l *tcpLink) *tcpConn {
	c := &tcpConn{d: d, first: l.state, changed: make(chan struct{})}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	link := &clientLink{tcpLink: l}
	c.links = append(c.links, link)
	c.work.Add(1)
	c.watch(link)
	return c
}

func (c *tcpConn) OpenStream(ctx context.Context, urgent bool) (Stream, error) {
	s := newTCPStream(c)
	if err := c.place(ctx, s, urgent); err != nil {
		return nil, err
	}
	return s, nil
}

// place gives a stream a link: an idle one; else, if it is not urgent, behind
// another stream; else a new one; else it waits.
func (c *tcpConn) place(ctx context.Context, s *tcpStream, urgent bool) error {
	for {
		c.mu.Lock()
		if err := context.Cause(c.ctx); err != nil {
			c.mu.Unlock()
			return err
		}
		if l := c.choose(urgent); l != nil {
			p, w := c.join(l, s)
			c.mu.Unlock()
			if w == nil || c.wake(l, w, s) {
				return s.begin(p)
			}
			continue
		}
		room, wait := len(c.links)+c.dialing < maxLinks, time.Until(c.pause)
		grow := room && (len(c.links) == 0 || wait <= 0)
		if grow {
			c.dialing++
			c.work.Add(1)
		}
		changed := c.changed
		c.mu.Unlock()
		if grow {
			if again, err := c.grow(ctx, s); !again {
				return err
			}
			continue
		}
		var due <-chan time.Time // when one more link may be made
		if room {
			due = time.After(wait)
		}
		select {
		case <-changed:
		case <-due:
		case <-c.ctx.Done():
		case <-ctx.Done():
			return classify(context.Cause(ctx))
		}
	}
}

// choose returns a link with a free place; nil: all are taken. The caller
// holds mu.
func (c *tcpConn) choose(urgent bool) *clientLink {
	for _, l := range c.links {
		if len(l.queue) == 0 {
			return l
		}
	}
	if urgent {
		return nil
	}
	for _, l := range c.links {
		if len(l.queue) == 1 && l.queue[0].asked() {
			return l
		}
	}
	return nil
}

// join puts a stream on a link. It returns the stream's place, and the watcher
// to stop; nil: nobody watches the link. The caller holds mu.
func (c *tcpConn) join(l *clientLink, s *tcpStream) (p *tcpPlace, w *watcher) {
	p = &tcpPlace{link: l, turn: make(chan struct{}), moved: make(chan struct{}), first: !l.greeted}
	if p.first {
		p.salute = newSalute(c.d.greeting, l.state)
	}
	l.greeted = true
	l.queue = append(l.queue, s)
	s.move(p)
	w, l.watched = l.watched, nil
	if len(l.queue) == 1 {
		close(p.turn)
	}
	return p, w
}

// wake stops the watcher of a link that a stream has taken; false: the link
// died, and the stream needs another one.
func (c *tcpConn) wake(l *clientLink, w *watcher, s *tcpStream) bool {
	l.setRead(past)
	select {
	case <-w.ended:
	case <-l.over():
		<-w.ended
	}
	if isDeadline(w.found) {
		l.setRead(time.Time{})
		return true
	}
	c.mu.Lock()
	l.queue = slices.DeleteFunc(l.queue, func(o *tcpStream) bool { return o == s })
	c.mu.Unlock()
	c.failed(l, w.found, nil)
	return false
}

// watch waits for the end of an idle link. The caller holds mu.
func (c *tcpConn) watch(l *clientLink) {
	w := &watcher{ended: make(chan struct{})}
	l.watched = w
	l.setRead(time.Time{})
	go func() {
		if w.found = l.in.next(); w.found == nil || isMessageEnd(w.found) {
			w.found = misbehaved(errUnaskedBytes)
		}
		close(w.ended)
		if !isDeadline(w.found) {
			c.failed(l, w.found, w)
		}
	}()
}

// grow makes a link for a stream. again says that it made none, and that the
// stream should look for a place again.
func (c *tcpConn) grow(ctx context.Context, s *tcpStream) (again bool, err error) {
	defer c.work.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })()
	link, err := c.d.further(ctx)
	c.mu.Lock()
	c.dialing--
	c.wakeAll()
	if err == nil && c.ctx.Err() == nil {
		l := &clientLink{tcpLink: link}
		c.links = append(c.links, l)
		c.work.Add(1)
		p, _ := c.join(l, s)
		c.mu.Unlock()
		return false, s.begin(p)
	}
	others := len(c.links) > 0
	if err != nil {
		c.pause = time.Now().Add(growPause)
	}
	last, lost := !others && c.dialing == 0, c.lost
	c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil:
		if err == nil {
			link.abort(context.Cause(c.ctx), func() {})
		}
		return false, context.Cause(c.ctx)
	case last && (lost != nil || ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded)):
		if lost == nil {
			lost = err
		}
		c.end(lost, func(l *clientLink) { l.abort(lost, c.work.Done) })
		return false, err
	}
	return others && ctx.Err() == nil && !isLocal(err, LocalRefused), err
}

// wakeAll has those who wait for a place look again. The caller holds mu.
func (c *tcpConn) wakeAll() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// settle is called when a stream may be finished on its link: then it is the
// next one's turn.
func (c *tcpConn) settle(l *clientLink, s *tcpStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(l.queue) == 0 || l.queue[0] != s || l.why() != nil || !s.finished() {
		c.wakeAll() // there may be a place behind it
		return
	}
	l.queue = l.queue[1:]
	if len(l.queue) > 0 {
		l.queue[0].itsTurn()
	} else {
		c.watch(l)
	}
	c.wakeAll()
}

// giveBack frees the place of a stream that has written nothing there, not even
// the greeting.
func (c *tcpConn) giveBack(p *tcpPlace, s *tcpStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := p.link
	i := slices.Index(l.queue, s)
	if i < 0 {
		return
	}
	if p.first {
		l.greeted = false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	switch {
	case len(l.queue) == 0:
		c.watch(l)
	case i == 0:
		l.queue[0].itsTurn()
	}
	c.wakeAll()
}

// remove takes a link from the pool, and returns the streams on it; false: it
// is gone already. The caller holds mu.
func (c *tcpConn) remove(l *clientLink) ([]*tcpStream, bool) {
	i := slices.Index(c.links, l)
	if i < 0 {
		return nil, false
	}
	c.links = slices.Delete(c.links, i, i+1)
	c.gone.add(l.pipe.stats())
	queue := l.queue
	l.queue = nil
	c.wakeAll()
	return queue, true
}

// failed ends a link that died by itself, with its streams. of is the watcher
// that saw it, or nil. If a stream has taken the link from that watcher, failed
// does nothing: the stream's side calls it.
func (c *tcpConn) failed(l *clientLink, err error, of *watcher) {
	err = classifyTCP(err)
	c.mu.Lock()
	if of != nil && l.watched != of {
		c.mu.Unlock()
		return
	}
	queue, live := c.remove(l)
	if !live {
		c.mu.Unlock()
		return
	}
	last := len(c.links) == 0 && c.dialing == 0
	if len(c.links) == 0 {
		c.lost = err
	}
	c.mu.Unlock()
	l.abort(err, c.work.Done)
	for _, s := range queue {
		s.fail(err)
	}
	if last {
		c.end(err, nil)
	}
}

// drop ends a link whose reply is not wanted any more. A stream behind it goes
// to another link.
func (c *tcpConn) drop(l *clientLink) {
	c.mu.Lock()
	queue, live := c.remove(l)
	if !live {
		c.mu.Unlock()
		return
	}
	err := &LocalError{Kind: LocalCanceled}
	var again []*tcpStream
	for i, s := range queue {
		if i == 0 || !s.leave() {
			s.fail(err)
			continue
		}
		if c.ctx.Err() == nil {
			again = append(again, s)
			c.work.Add(1)
		}
	}
	c.mu.Unlock()
	l.abort(err, c.work.Done)
	for _, s := range again {
		go c.replay(s)
	}
}

// replay sends a stream's request again, on another link.
func (c *tcpConn) replay(s *tcpStream) {
	defer c.work.Done()
	ctx, cancel := context.WithTimeout(s.over, clientHandshakeIdle)
	defer cancel()
	if err := c.place(ctx, s, Patient); err != nil {
		s.fail(err)
	}
}

// end ends the connection. close is called for each link that lives.
func (c *tcpConn) end(err error, closeLink func(l *clientLink)) {
	c.mu.Lock()
	if c.ctx.Err() != nil {
		c.mu.Unlock()
		return
	}
	c.stop(err)
	var queue []*tcpStream
	links := slices.Clone(c.links)
	for _, l := range links {
		streams, _ := c.remove(l)
		queue = append(queue, streams...)
	}
	c.mu.Unlock()
	for _, l := range links {
		closeLink(l)
	}
	for _, s := range queue {
		s.fail(err)
	}
}

// hangUp ends the connection with err, and tells the peer.
func (c *tcpConn) hangUp(err error, code uint64, text string) {
	c.end(err, func(l *clientLink) { l.hangUp(err, code, text, c.work.Done) })
}

func (c *tcpConn) Close(code uint64, text string) {
	c.hangUp(&LocalError{Kind: LocalClosed, Err: net.ErrClosed}, code, text)
	c.work.Wait()
}

// AcceptStream waits: a client's connection never has one.
func (c *tcpConn) AcceptStream(ctx context.Context) (Stream, error) {
	select {
	case <-ctx.Done():
		return nil, classify(context.Cause(ctx))
	case <-c.ctx.Done():
		return nil, c.Err()
	}
}

func (c *tcpConn) Done() <-chan struct{}    { return c.ctx.Done() }
func (c *tcpConn) Err() error               { return context.Cause(c.ctx) }
func (c *tcpConn) TLS() tls.ConnectionState { return c.first }
func (c *tcpConn) Protocol() Protocol       { return TCP }
func (c *tcpConn) RemoteAddr() net.Addr     { return c.d.remote }
func (c *tcpConn) Place() any               { return nil }

// Stats adds up all links, ended ones too.
func (c *tcpConn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.gone
	s.Window = 0
	for _, l := range c.links {
		s.add(l.pipe.stats())
	}
	return s
}

// add adds the counts of another link. The round trips are the least ones.
func (s *Stats) add(o Stats) {
	s.MinRTT, s.SmoothedRTT = least(s.MinRTT, o.MinRTT), least(s.SmoothedRTT, o.SmoothedRTT)
	s.PacketsSent += o.PacketsSent
	s.BytesSent += o.BytesSent
	s.PacketsReceived += o.PacketsReceived
	s.BytesReceived += o.BytesReceived
	s.PacketsLost += o.PacketsLost
	s.BytesLost += o.BytesLost
	s.Window += o.Window
}

// least returns the smaller one, zero being unknown.
func least(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
