package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// indexingEvery is the time between two words of "indexing" to a client.
	indexingEvery = 500 * time.Millisecond
	// lingerRTTs and lingerMin are how long a connection is kept open behind
	// the last byte that was written, so that it arrives: in round trips, and
	// at least.
	lingerRTTs = 3
	lingerMin  = 100 * time.Millisecond
)

// A clientConn is one client's connection to a virtual server. What the limits know of
// it is its record's, which the book keeps.
type clientConn struct {
	s      *serving
	server *virtualServer
	conn   *transport.Conn
	rec    *admission.Conn
	turns  chan struct{}            // one token for each range that is being written
	proof  atomic.Pointer[[32]byte] // that we hold the token, once the client has shown it
	denied atomic.Bool              // it was asked for the token in vain
	lost   atomic.Int64             // packets that server.lost knows of

	mu       sync.Mutex
	deadline *time.Timer // ends the connection: see [admission.Book.Deadline]
	awaiting bool        // a hello waits for the index
}

// serveConn answers a connection's streams until the connection or ctx ends.
func (s *serving) serveConn(ctx context.Context, v *virtualServer, conn *transport.Conn) {
	c := &clientConn{
		s: s, server: v, conn: conn, rec: conn.Place().(*admission.Conn), turns: make(chan struct{}, connBuffers),
	}
	s.book.Shake(c.rec, c, time.Now())
	c.deadline = time.AfterFunc(s.limits.HelloTimeout, c.expire)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		c.close()
		cancel()
		wg.Wait()
		c.deadline.Stop()
		c.countLost()
	}()
	if !c.comeIn(ctx) {
		return
	}
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		s.active.begin()
		c.change(func(now time.Time) { s.book.Begin(c.rec, now) })
		wg.Go(func() {
			r := &reply{c: c, st: st}
			defer r.end()
			defer st.Release()
			defer c.contain()
			c.account(r.answer(ctx))
		})
	}
}

// comeIn waits until it is the connection's turn, and reports whether it still
// lives then. It has as long again for its first request.
func (c *clientConn) comeIn(ctx context.Context) bool {
	wait := c.s.book.Turn(c.rec, c.s.limits.HelloTimeout/2, time.Now())
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

// change has the book change the connection's state, and sets the deadline of the new
// one.
func (c *clientConn) change(do func(now time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	do(now)
	if at := c.s.book.Deadline(c.rec); at.IsZero() {
		c.deadline.Stop()
	} else {
		c.deadline.Reset(at.Sub(now))
	}
}

// expire closes the connection if the deadline of its state is over.
func (c *clientConn) expire() {
	at := c.s.book.Deadline(c.rec)
	switch {
	case at.IsZero() || time.Now().Before(at): // it has changed its state meanwhile
	case c.s.book.State(c.rec) == admission.Shaken:
		c.conn.Close(uint64(wire.CloseLimit), "no request was accepted in time")
	default:
		c.conn.Close(uint64(wire.CloseLimit), "idle for too long")
	}
}

// close tells the client why there is no more to come.
func (c *clientConn) close() {
	if !c.s.stopping.Load() {
		c.conn.Close(uint64(wire.CloseDone), "")
		return
	}
	linger := max(lingerRTTs*c.conn.Stats().SmoothedRTT, lingerMin)
	select {
	case <-c.conn.Done():
	case <-time.After(linger):
	}
	c.conn.Close(uint64(wire.CloseStopping), "server is stopping")
}

// moved counts what the client has taken, and what of it was of the file.
func (c *clientConn) moved(n int, ofFile bool) {
	p := admission.Progress{Bytes: int64(n), File: ofFile, Window: int64(c.conn.Stats().Window)}
	c.s.book.Moved(c.rec, p, time.Now())
	c.countLost()
}

// countLost counts the packets that were lost since the last count.
func (c *clientConn) countLost() {
	now := int64(c.conn.Stats().PacketsLost)
	c.server.lost.Add(now - c.lost.Swap(now))
}

// waits runs do while the connection waits for us: nobody has to go for that.
func (c *clientConn) waits(do func() error) error {
	c.s.book.Wait(c.rec, time.Now())
	defer func() { c.s.book.Resume(c.rec, time.Now()) }()
	return do()
}

// contain is deferred by each goroutine that works for a client. A panic ends the
// connection, and not the process.
func (c *clientConn) contain() {
	if v := recover(); v != nil {
		c.s.contain(c.server, c.conn, v)
	}
}

// contain closes a connection for which a panic with the value v has been
// recovered.
func (s *serving) contain(server *virtualServer, conn *transport.Conn, v any) {
	e := Panicked{
		Server: server.addr, Client: conn.RemoteAddr(), Value: quote(fmt.Sprint(v)),
		Count: s.panics.Add(1), Stack: debug.Stack(),
	}
	conn.Close(uint64(wire.CloseInternal), "")
	select {
	case s.events <- e:
	default: // those who tell are busy; it is counted
	}
}

// account ends a connection whose requests come to nothing again and again: each
// costs the server more than the client.
func (c *clientConn) account(u admission.Use) {
	if c.s.book.Account(c.rec, u, time.Now()) {
		c.conn.Close(uint64(wire.CloseLimit), "too many wasted requests")
	}
}

// A reply is the work for one request, from its first byte on.
type reply struct {
	c        *clientConn
	st       *transport.Stream
	accepted bool
}

// accept says that the request is answered from now on.
func (r *reply) accept() {
	r.accepted = true
	r.c.change(func(now time.Time) { r.c.s.book.Accept(r.c.rec, now) })
}

// end says that the request is over.
func (r *reply) end() {
	r.c.s.active.end()
	r.c.change(func(now time.Time) { r.c.s.book.End(r.c.rec, r.accepted, now) })
}

// answer reads the request and replies to it. It gives up when the client does.
func (r *reply) answer(ctx context.Context) admission.Use {
	c, st := r.c, r.st
	st.SetReadDeadline(time.Now().Add(c.s.limits.RequestTimeout))
	req, err := wire.ReadRequest(st)
	if err != nil {
		c.refuseRequest(st, err)
		return admission.UseNone
	}
	if c.s.stopping.Load() {
		c.refuse(st, wire.StatusStopping, "")
		return admission.UseAnswer
	}
	replying, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := st.AfterDone(cancel)
	defer stop()
	if !c.admit(ctx, st, req) {
		return admission.UseNone
	}
	r.accept()
	var u admission.Use
	switch req := req.(type) {
	case wire.Hello:
		u, err = admission.UseHello, c.hello(replying, st, req)
	case wire.ManifestRequest:
		u, err = admission.UseFetch, c.manifest(replying, st, req)
	case wire.RangeRequest:
		u, err = admission.UseFetch, c.sendRange(replying, st, req)
	case wire.RecheckRequest:
		u, err = admission.UseNone, c.recheck(st, req)
	}
	if err == nil {
		return u
	}
	if !errors.Is(err, errRefused) {
		st.CancelWrite(uint64(resetCode(err)))
	}
	return admission.UseNone
}

func (c *clientConn) refuseRequest(st *transport.Stream, err error) {
	var malformed *wire.MalformedError
	var unsupported *wire.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		c.refuse(st, wire.StatusUnsupported, unsupported.Error())
	case errors.As(err, &malformed):
		c.refuse(st, wire.StatusMalformed, malformed.Error())
	case errors.Is(err, os.ErrDeadlineExceeded):
		st.CancelRead(uint64(wire.StreamStalled))
		st.CancelWrite(uint64(wire.StreamStalled))
		return
	default:
		st.CancelRead(uint64(wire.StreamProtocol))
		st.CancelWrite(uint64(wire.StreamProtocol))
		return
	}
	st.CancelRead(uint64(wire.StreamProtocol)) // what follows is not read
}

// errReset carries the code with which a stream is reset.
type errReset struct{ code wire.StreamCode }

func (e errReset) Error() string { return fmt.Sprintf("reset with code %d", e.code) }

func resetCode(err error) wire.StreamCode {
	var r errReset
	if errors.As(err, &r) {
		return r.code
	}
	return wire.StreamCancelled
}

// errRefused says that a reply was a refusal, and whole.
var errRefused = errors.New("refused")

func (c *clientConn) refuse(st *transport.Stream, status wire.Status, text string) error {
	if err := c.write(st, wire.AppendRefusal(nil, status, text)); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	return errRefused
}

// write sends p, as long as there is progress.
func (c *clientConn) write(st *transport.Stream, p []byte) error {
	for {
		st.SetWriteDeadline(time.Now().Add(c.s.limits.StallTimeout))
		n, err := st.Write(p)
		c.moved(n, false)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if n == 0 {
			return errReset{wire.StreamStalled}
		}
		p = p[n:]
	}
}

// hello waits for the index, says so meanwhile, and sends the offer.
func (c *clientConn) hello(ctx context.Context, st *transport.Stream, req wire.Hello) error {
	if req.Selector != "" {
		return c.refuse(st, wire.StatusNotFound, "this server has one file, without a selector")
	}
	v, err := c.awaitIndex(ctx, st)
	if err != nil {
		return err
	}
	defer c.s.index.release(v)
	offer := v.offer
	offer.Proof = c.proof.Load()
	inline := req.InlineManifest && len(v.manifest.Bytes()) <= wire.MaxInlineManifest
	if inline {
		offer.ManifestLen = len(v.manifest.Bytes())
	}
	body := offer.Append(nil)
	reply := wire.Header{Status: wire.StatusOK, Length: uint64(len(body))}.Append(nil)
	reply = append(reply, body...)
	if err := c.write(st, reply); err != nil {
		return err
	}
	if inline {
		if err := c.sendManifest(ctx, st, v.manifest); err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

// await says that a hello waits for the index, or that it waits no more; false
// when another one does.
func (c *clientConn) await(waits bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waits && c.awaiting {
		return false
	}
	c.awaiting = waits
	return true
}

// awaitIndex returns the current version, acquired. While there is none it
// tells the client how far the hashing is.
func (c *clientConn) awaitIndex(ctx context.Context, st *transport.Stream) (*version, error) {
	if !c.await(true) {
		return nil, c.refuse(st, wire.StatusBusy, "another hello waits on this connection")
	}
	defer c.await(false)
	patience := time.NewTimer(c.s.limits.IndexingTimeout)
	defer patience.Stop()
	for {
		v, ready, err := c.s.index.acquire(ctx)
		switch {
		case v != nil:
			return v, nil
		case err != nil:
			return nil, c.refuse(st, wire.StatusUnreadable, "the file cannot be read")
		}
		body := c.s.index.progress().Append(nil)
		frame := wire.Header{Status: wire.StatusIndexing, Length: uint64(len(body))}.Append(nil)
		if err := c.write(st, append(frame, body...)); err != nil {
			return nil, err
		}
		select {
		case <-ready:
		case <-time.After(indexingEvery):
		case <-patience.C:
			return nil, c.refuse(st, wire.StatusBusy, "the file is still being hashed")
		case <-ctx.Done():
			return nil, errReset{wire.StreamStopping}
		}
		if c.s.stopping.Load() {
			return nil, c.refuse(st, wire.StatusStopping, "")
		}
	}
}

// held returns the version that a client names, acquired, if it is held and the
// open file is still that. When it is not, a refusal has been sent.
func (c *clientConn) held(st *transport.Stream, checksum [32]byte) (*version, error) {
	v := c.s.index.version(checksum)
	if v == nil {
		return nil, c.refuse(st, wire.StatusChanged, "this version is not held")
	}
	if !v.isIntact() {
		c.s.index.changed(v)
		c.s.index.release(v)
		return nil, c.refuse(st, wire.StatusChanged, "the file has changed")
	}
	return v, nil
}

// recheck looks at a chunk of which a client got other bytes than its value says.
func (c *clientConn) recheck(st *transport.Stream, req wire.RecheckRequest) error {
	v, err := c.held(st, req.Checksum)
	if err != nil {
		return err
	}
	defer c.s.index.release(v)
	if req.Chunk >= manifest.Count(v.offer.Size) {
		return c.refuse(st, wire.StatusOutOfRange, "")
	}
	good, err := c.s.index.examine(v, req.Chunk)
	switch {
	case err != nil:
		return c.refuse(st, wire.StatusBusy, err.Error())
	case !good:
		return c.refuse(st, wire.StatusChanged, "the disk does not give what was hashed")
	}
	if err := c.write(st, wire.Header{Status: wire.StatusOK}.Append(nil)); err != nil {
		return err
	}
	return st.CloseWrite()
}

func (c *clientConn) manifest(ctx context.Context, st *transport.Stream, req wire.ManifestRequest) error {
	v, err := c.held(st, req.Checksum)
	if err != nil {
		return err
	}
	defer c.s.index.release(v)
	if err := c.sendManifest(ctx, st, v.manifest); err != nil {
		return err
	}
	return st.CloseWrite()
}

func (c *clientConn) sendManifest(ctx context.Context, st *transport.Stream, m wire.Manifest) error {
	rest := m.Bytes()
	head := wire.Header{Status: wire.StatusOK, Length: uint64(len(rest))}.Append(nil)
	if err := c.write(st, head); err != nil {
		return err
	}
	for len(rest) > 0 {
		n, err := c.pay(ctx, min(len(rest), admission.MostBuffer), 0)
		if err != nil {
			return err
		}
		if err := c.write(st, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// pay waits until some of n bytes may be sent, of which the first ones are paid for, and
// returns how many: while clients hold more than they may, and for the limit of the rate.
func (c *clientConn) pay(ctx context.Context, n, paid int) (int, error) {
	stats := c.conn.Stats()
	size, pause := c.s.book.Pace(c.rec, int64(n), int64(stats.Window), stats.SmoothedRTT)
	// Slowed as it is, who takes what it is sent moves its charge in time.
	if pause > 0 && sleep(ctx, pause) != nil {
		return 0, errReset{wire.StreamStopping}
	}
	n = c.s.limit.Piece(int(size))
	if n <= paid || c.s.limit == nil {
		return n, nil
	}
	return n, c.waits(func() error {
		if c.s.limit.WaitFor(ctx, c.rec, n-paid) != nil {
			return errReset{wire.StreamStopping}
		}
		return nil
	})
}
