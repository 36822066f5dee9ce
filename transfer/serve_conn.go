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

// A clientConn is one client's connection to a virtual server.
type clientConn struct {
	*serving
	server  *virtualServer
	conn    *transport.Conn
	host    *clientTotals
	flow    flow                     // whose bytes it sends
	buffers chan struct{}            // one token for each range that is being written
	idle    *time.Timer              // ends the connection
	proof   atomic.Pointer[[32]byte] // that we hold the token, once the client has shown it
	denied  atomic.Bool              // it was asked for the token in vain

	mu       sync.Mutex
	open     int  // requests under way
	inVain   int  // requests that came to nothing, less those that did not
	awaiting bool // a hello waits for the index
}

// serveConn answers a connection's streams until the connection or ctx ends.
func (s *serving) serveConn(ctx context.Context, v *virtualServer, conn *transport.Conn) {
	c := &clientConn{
		serving: s, server: v, conn: conn, host: s.hosts.join(conn, v), buffers: make(chan struct{}, connBuffers),
		flow: flow{addr: transport.Client(conn.RemoteAddr()), conn: s.conns.Add(1)},
	}
	c.idle = time.AfterFunc(s.limits.HelloTimeout, func() {
		conn.Close(uint64(wire.CloseLimit), "idle for too long")
	})
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		c.idle.Stop()
		c.close()
		cancel()
		wg.Wait()
		s.hosts.leave(conn)
	}()
	if !c.comeIn(ctx) {
		return
	}
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		c.begin()
		wg.Go(func() {
			defer c.end()
			defer st.Release()
			defer c.contain()
			c.account(c.answer(ctx, st))
		})
	}
}

// comeIn waits until it is the connection's turn, and reports whether it still
// lives then.
func (c *clientConn) comeIn(ctx context.Context) bool {
	wait := c.vain.turn(c.flow.addr, time.Now(), c.limits.HelloTimeout)
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

// close tells the client why there is no more to come.
func (c *clientConn) close() {
	if !c.stopping.Load() {
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

// begin counts a request.
func (c *clientConn) begin() {
	c.active.begin()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	c.idle.Stop()
}

// end undoes one begin.
func (c *clientConn) end() {
	c.active.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open--; c.open == 0 {
		c.idle.Reset(c.limits.IdleTimeout)
	}
}

// contain is deferred by each goroutine that works for a client. A panic ends the
// connection, and not the process.
func (c *clientConn) contain() {
	if v := recover(); v != nil {
		c.serving.contain(c.server, c.conn, v)
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

// A use says what a request was good for.
type use int

const (
	useNone   use  = iota // it came to nothing
	useHello              // an offer
	useFetch              // a manifest or a range, whole
	useAnswer = -1        // told that the server is stopping
)

// account ends a connection whose requests come to nothing again and again: each
// costs the server more than the client. They count for the other connections of
// the client's address, too, but for the first hello of each, for which the pace of
// handshakes is the limit.
func (c *clientConn) account(u use) {
	c.mu.Lock()
	switch u {
	case useNone, useHello:
		c.inVain++
	case useFetch:
		c.inVain = max(c.inVain-1, 0)
	}
	own := c.inVain
	c.mu.Unlock()
	n := 0.0
	switch {
	case u == useFetch:
		n = -1
	case u == useNone, u == useHello && own > 1:
		n = 1
	}
	owes := c.vain.add(c.flow.addr, time.Now(), n)
	if own > c.limits.Vain || owes && n > 0 {
		c.conn.Close(uint64(wire.CloseLimit), "too many requests in vain")
	}
}

// answer reads one request and replies to it. It gives up when the client does.
func (c *clientConn) answer(ctx context.Context, st *transport.Stream) use {
	st.SetReadDeadline(time.Now().Add(c.limits.RequestTimeout))
	req, err := wire.ReadRequest(st)
	if err != nil {
		c.refuseRequest(st, err)
		return useNone
	}
	if c.stopping.Load() {
		c.refuse(st, wire.StatusStopping, "")
		return useAnswer
	}
	replying, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := st.AfterDone(cancel)
	defer stop()
	if !c.admit(ctx, st, req) {
		return useNone
	}
	var u use
	switch req := req.(type) {
	case wire.Hello:
		u, err = useHello, c.hello(replying, st, req)
	case wire.ManifestRequest:
		u, err = useFetch, c.manifest(replying, st, req)
	case wire.RangeRequest:
		u, err = useFetch, c.sendRange(replying, st, req)
	case wire.RecheckRequest:
		u, err = useNone, c.recheck(st, req)
	}
	if err == nil {
		return u
	}
	if !errors.Is(err, errRefused) {
		st.CancelWrite(uint64(resetCode(err)))
	}
	return useNone
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
		st.SetWriteDeadline(time.Now().Add(c.limits.StallTimeout))
		n, err := st.Write(p)
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
	defer c.index.release(v)
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
	patience := time.NewTimer(c.limits.IndexingTimeout)
	defer patience.Stop()
	for {
		v, ready, err := c.index.acquire(ctx)
		switch {
		case v != nil:
			return v, nil
		case err != nil:
			return nil, c.refuse(st, wire.StatusUnreadable, "the file cannot be read")
		}
		body := c.index.progress().Append(nil)
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
		if c.stopping.Load() {
			return nil, c.refuse(st, wire.StatusStopping, "")
		}
	}
}

// held returns the version that a client names, acquired, if it is held and the
// open file is still that. When it is not, a refusal has been sent.
func (c *clientConn) held(st *transport.Stream, checksum [32]byte) (*version, error) {
	v := c.index.version(checksum)
	if v == nil {
		return nil, c.refuse(st, wire.StatusChanged, "this version is not held")
	}
	if !v.isIntact() {
		c.index.changed(v)
		c.index.release(v)
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
	defer c.index.release(v)
	if req.Chunk >= manifest.Count(v.offer.Size) {
		return c.refuse(st, wire.StatusOutOfRange, "")
	}
	good, err := c.index.examine(v, req.Chunk)
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
	defer c.index.release(v)
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
		n := c.limit.piece(min(len(rest), serveBufferSize))
		if err := c.limit.waitFor(ctx, c.flow, n); err != nil {
			return errReset{wire.StreamStopping}
		}
		if err := c.write(st, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}
