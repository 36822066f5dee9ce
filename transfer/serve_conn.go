package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/transport"
	"malcolm/wire"
)

const (
	// requestTime is how long a client may take to send one request.
	requestTime = 10 * time.Second
	// stallTime is how long a write may go without progress.
	stallTime = 30 * time.Second
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
	buffers chan struct{}            // one token for each buffer that its streams use
	proof   atomic.Pointer[[32]byte] // that we hold the token, once the client has shown it

	mu      sync.Mutex
	offered *version // what the last hello was answered with; nil: nothing yet
}

// serveConn answers a connection's streams until the connection or ctx ends.
func (s *serving) serveConn(ctx context.Context, v *virtualServer, conn *transport.Conn) {
	c := &clientConn{serving: s, server: v, conn: conn, buffers: make(chan struct{}, connBuffers)}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		c.close()
		cancel()
		wg.Wait()
		s.index.release(c.offered)
	}()
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		s.active.begin()
		wg.Go(func() {
			defer s.active.end()
			defer st.Release()
			c.answer(ctx, st)
		})
	}
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

// answer reads one request and replies to it.
func (c *clientConn) answer(ctx context.Context, st *transport.Stream) {
	st.SetReadDeadline(time.Now().Add(requestTime))
	req, err := wire.ReadRequest(st)
	if err != nil {
		c.refuseRequest(st, err)
		return
	}
	if c.stopping.Load() {
		c.refuse(st, wire.StatusStopping, "")
		return
	}
	if !c.admit(ctx, st, req) {
		return
	}
	switch req := req.(type) {
	case wire.Hello:
		err = c.hello(ctx, st, req)
	case wire.ManifestRequest:
		err = c.manifest(ctx, st, req)
	case wire.RangeRequest:
		err = c.sendRange(ctx, st, req)
	}
	if err != nil {
		st.CancelWrite(uint64(resetCode(err)))
	}
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
	default:
		st.CancelRead(uint64(wire.StreamProtocol))
		st.CancelWrite(uint64(wire.StreamProtocol))
	}
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

func (c *clientConn) refuse(st *transport.Stream, status wire.Status, text string) error {
	if err := c.write(st, wire.AppendRefusal(nil, status, text)); err != nil {
		return err
	}
	return st.CloseWrite()
}

// write sends p, as long as there is progress.
func (c *clientConn) write(st *transport.Stream, p []byte) error {
	for {
		st.SetWriteDeadline(time.Now().Add(stallTime))
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
	if v == nil {
		return err
	}
	c.setOffered(v)
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

// setOffered remembers the version that this client was offered, and whose use
// it takes over: as long as the client may ask for it, it is held.
func (c *clientConn) setOffered(v *version) {
	c.mu.Lock()
	before := c.offered
	c.offered = v
	c.mu.Unlock()
	c.index.release(before)
}

// awaitIndex returns the current version, acquired. While there is none it
// tells the client how far the hashing is. Nil without an error: a refusal has
// been sent.
func (c *clientConn) awaitIndex(ctx context.Context, st *transport.Stream) (*version, error) {
	for {
		v, ready, err := c.index.acquire()
		switch {
		case v != nil && c.index.isCurrent(v):
			return v, nil
		case v != nil:
			c.index.invalidate(v)
			c.index.release(v)
			continue
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
		case <-c.conn.Done():
			return nil, c.conn.Err()
		case <-ctx.Done():
			return nil, errReset{wire.StreamStopping}
		}
		if c.stopping.Load() {
			return nil, c.refuse(st, wire.StatusStopping, "")
		}
	}
}

// held returns the version that a client names, acquired, if it is what the
// client was offered or the current one, and the open file is still that. When
// it is not, a refusal has been sent.
func (c *clientConn) held(st *transport.Stream, checksum [32]byte) (*version, error) {
	v := c.named(checksum)
	if v == nil {
		return nil, c.refuse(st, wire.StatusChanged, "this version is not held")
	}
	if !v.isIntact() {
		c.index.invalidate(v)
		c.index.release(v)
		return nil, c.refuse(st, wire.StatusChanged, "the file has changed")
	}
	return v, nil
}

// named returns the version with a checksum, acquired; nil if there is none.
func (c *clientConn) named(checksum [32]byte) *version {
	c.mu.Lock()
	if v := c.offered; v != nil && v.offer.Checksum == checksum {
		c.index.share(v)
		c.mu.Unlock()
		return v
	}
	c.mu.Unlock()
	v, _, _ := c.index.acquire()
	if v != nil && v.offer.Checksum != checksum {
		c.index.release(v)
		return nil
	}
	return v
}

func (c *clientConn) manifest(ctx context.Context, st *transport.Stream, req wire.ManifestRequest) error {
	v, err := c.held(st, req.Checksum)
	if v == nil {
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
		if err := c.limit.wait(ctx, n); err != nil {
			return errReset{wire.StreamStopping}
		}
		if err := c.write(st, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// sendRange sends exactly the bytes asked for, or resets the stream.
func (c *clientConn) sendRange(ctx context.Context, st *transport.Stream, req wire.RangeRequest) error {
	v, err := c.held(st, req.Checksum)
	if v == nil {
		return err
	}
	defer c.index.release(v)
	if req.Offset+req.Length > v.offer.Size {
		return c.refuse(st, wire.StatusOutOfRange, fmt.Sprintf("the file has %d bytes", v.offer.Size))
	}
	c.server.ranges.Add(1)
	defer c.server.ranges.Add(-1)
	if err := c.write(st, wire.Header{Status: wire.StatusOK, Length: uint64(req.Length)}.Append(nil)); err != nil {
		return err
	}
	for offset, end := req.Offset, req.Offset+req.Length; offset < end; {
		n, err := c.sendPiece(ctx, st, v, offset, end)
		if err != nil {
			return err
		}
		offset += n
	}
	return st.CloseWrite()
}

// sendPiece sends what fits into one buffer. The check behind the read makes
// sure that the end of a range is never reached with bytes of another version.
func (c *clientConn) sendPiece(ctx context.Context, st *transport.Stream, v *version, offset, end int64) (int64, error) {
	select {
	case c.buffers <- struct{}{}:
		defer func() { <-c.buffers }()
	case <-ctx.Done():
		return 0, errReset{wire.StreamStopping}
	case <-c.conn.Done():
		return 0, c.conn.Err()
	}
	buf, err := c.serving.buffers.get(ctx)
	if err != nil {
		return 0, errReset{wire.StreamStopping}
	}
	defer c.serving.buffers.put(buf)
	p := (*buf)[:min(int64(len(*buf)), end-offset)]
	if _, err := v.file.ReadAt(p, offset); err != nil && !errors.Is(err, io.EOF) {
		return 0, errReset{wire.StreamUnreadable}
	}
	if !v.isIntact() {
		c.index.invalidate(v)
		return 0, errReset{wire.StreamChanged}
	}
	next := offset + int64(len(p))
	if f, ok := v.file.(readAheader); ok && next < end {
		f.ReadAhead(next, min(int64(len(*buf)), end-next))
	}
	for rest := p; len(rest) > 0; {
		n := c.limit.piece(len(rest))
		if err := c.limit.wait(ctx, n); err != nil {
			return 0, errReset{wire.StreamStopping}
		}
		if err := c.write(st, rest[:n]); err != nil {
			return 0, err
		}
		c.server.sent.Add(int64(n))
		rest = rest[n:]
	}
	return int64(len(p)), nil
}
