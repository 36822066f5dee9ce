package serve

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// lingerRTTs and lingerMin are how long a connection stays open after
	// the last byte was written, so that it arrives: in round trips, and at
	// least.
	lingerRTTs = 3
	lingerMin  = 100 * time.Millisecond
	// connSlots bounds the replies with ranges of a connection that are
	// being written at a time.
	connSlots = 2
)

// A clientConn is one client's connection to a virtual server. The book keeps
// its state, each with one deadline: handshake, shaken (not opened yet), idle,
// asking, sending. Any goroutine may call its methods.
type clientConn struct {
	customer
	virtual *virtualServer
	conn    transport.Conn
	slots   chan struct{} // one token for each reply with ranges that is being written
	opened  chan struct{} // closed once open was accepted
	lost    atomic.Int64  // packets that virtual.lost knows of
	packets atomic.Int64  // packets that virtual.packets knows of
	flight  atomic.Int64  // bytes of ranges under way
	path    pathWatch

	mu       sync.Mutex
	deadline *time.Timer // ends the connection: see [admission.Book.Deadline]
	awaiting bool        // a stat waits for the index
}

// notOpened is the reason for closing a connection that is not opened in time.
const notOpened = "not opened in time"

// serve answers a connection's requests until the connection or ctx ends.
func (v *virtualServer) serve(ctx context.Context, conn transport.Conn) {
	c := &clientConn{
		customer: customer{srv: v.srv, rec: conn.Place().(*admission.Conn), stats: conn.Stats},
		virtual:  v, conn: conn,
		slots: make(chan struct{}, connSlots), opened: make(chan struct{}),
		path: pathWatch{moved: make(chan struct{}, 1)},
	}
	c.srv.book.Shake(c.rec, c, time.Now())
	c.deadline = time.AfterFunc(c.srv.limits.OpenTimeout, c.expire)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		c.close()
		cancel()
		wg.Wait()
		c.deadline.Stop()
		c.countPackets(conn.Stats())
	}()
	if !c.waitTurn(ctx) {
		return
	}
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		r := c.begin(st)
		wg.Go(func() {
			defer r.end()
			defer st.Release()
			defer v.contain(conn)
			c.account(r.answer(ctx))
		})
	}
}

// waitTurn waits until it is the connection's turn, and reports whether it
// still lives. The connection then has the same time to open.
func (c *clientConn) waitTurn(ctx context.Context) bool {
	wait := c.turn()
	if wait == 0 {
		return true
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
		return true
	case <-c.conn.Done():
	case <-ctx.Done():
	}
	return false
}

// expel closes the connection, since others need what it has.
func (c *clientConn) expel(why string) { c.conn.Close(uint64(wire.CloseLimit), why) }

// change has the book change the connection's state, and sets the new state's
// deadline.
func (c *clientConn) change(do func(now time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	do(now)
	if at := c.srv.book.Deadline(c.rec); at.IsZero() {
		c.deadline.Stop()
	} else {
		c.deadline.Reset(at.Sub(now))
	}
}

// expire closes the connection if the deadline of its state is over.
func (c *clientConn) expire() {
	at := c.srv.book.Deadline(c.rec)
	switch {
	case at.IsZero() || time.Now().Before(at): // it has changed its state meanwhile
	case c.srv.book.State(c.rec) == admission.Shaken:
		c.closeFor(ClosedUnopened, notOpened)
	default:
		c.closeFor(ClosedIdle, "idle for too long")
	}
}

// close tells the client why there is no more to come.
func (c *clientConn) close() {
	if !c.srv.isStopping() {
		c.conn.Close(uint64(wire.CloseDone), "")
		return
	}
	waitFor(c.conn.Done(), c.linger())
	c.conn.Close(uint64(wire.CloseStopping), "server is stopping")
}

// hangUp closes the connection once the client has read what was written last,
// which tells it why.
func (c *clientConn) hangUp(ctx context.Context, code wire.CloseCode, text string) {
	linger := time.NewTimer(c.linger())
	defer linger.Stop()
	select {
	case <-c.conn.Done():
	case <-linger.C:
	case <-ctx.Done():
	}
	c.conn.Close(uint64(code), text)
}

// linger returns the time until what was written last has arrived.
func (c *clientConn) linger() time.Duration {
	return max(lingerRTTs*c.conn.Stats().SmoothedRTT, lingerMin)
}

// account ends a connection that wastes requests again and again: each costs
// the server more than the client.
func (c *clientConn) account(u admission.Use) {
	if c.srv.book.Account(c.rec, u, time.Now()) {
		c.closeFor(ClosedWasteful, "too many wasted requests")
	}
}

// moved counts the n bytes that the client has taken. ofFile says that they are
// of the file.
func (c *clientConn) moved(n int, ofFile bool) {
	stats := c.conn.Stats()
	c.took(n, ofFile, stats)
	c.countPackets(stats)
	select {
	case c.path.moved <- struct{}{}:
	default:
	}
}

// countPackets counts the packets that were sent and lost since it last did.
func (c *clientConn) countPackets(now transport.Stats) {
	lost, sent := int64(now.PacketsLost), int64(now.PacketsSent)
	c.virtual.lost.Add(lost - c.lost.Swap(lost))
	c.virtual.packets.Add(sent - c.packets.Swap(sent))
}

// fly counts n more bytes of ranges under way, unless that would be more than a
// connection may ask for.
func (c *clientConn) fly(n int64) bool {
	if c.flight.Add(n) <= c.srv.limits.announced().Flight {
		return true
	}
	c.flight.Add(-n)
	return false
}
