package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transfer/schedule"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// askTime is how long a request may take to leave.
	askTime = 10 * time.Second
	// retryPause is how long a server is not asked after a range that ended
	// early; it doubles with each further one, up to retryMax. After maxFailing
	// without a good chunk between them the server is lost.
	retryPause = 250 * time.Millisecond
	retryMax   = 15 * time.Second
	maxFailing = 8
	// secondsTotal bounds the memory for second copies, in bytes.
	secondsTotal = 32 << 20
	// checkpointTime is the time between two checkpoints of the part file.
	checkpointTime = 2 * time.Second
)

// A wrongChunkError says that a chunk does not have the value that the
// majority's manifest gives for it.
type wrongChunkError struct{ chunk int }

func (e *wrongChunkError) Error() string { return fmt.Sprintf("chunk %d is wrong", e.chunk) }

// A fetch is one range under way: a stream, and the goroutine that reads it.
type fetch struct {
	schedule.Range
	peer   *peer
	conn   *connection
	resume *partial           // what there is of the first chunk already; nil: nothing
	ctx    context.Context    // ends when the range is not wanted any more
	cancel context.CancelFunc // ends ctx; any goroutine may call it

	// Counters that the fetch writes and the loop reads.
	arrived atomic.Int64 // bytes
	useful  atomic.Int64 // of these, in chunks that were found good and were not there yet
	waiting atomic.Bool  // for the network, not for malcolm itself
	heard   atomic.Int64 // when bytes last came, in nanoseconds since 1970

	// Written by the loop, read by the fetch: the first chunk that is not to be
	// fetched any more, because another server was given the rest.
	end atomic.Int64

	// The fetch's own until it has ended.
	rest    *partial // of a chunk that it could not finish; nil: none
	resumed bool     // resume was used
	hasher  *manifest.Hasher

	// loop
	sampled int64 // arrived at the last sample
}

// A partial is a chunk that was received in part when its range ended: the
// ownership of its place, and the state of its hashing. Only a server of the
// same ID goes on with it, so that blame stays exact.
type partial struct {
	chunk  int
	at     int64           // bytes that are there
	from   int64           // of these, what was there before the fetch that has it now
	claim  *partfile.Claim // nil: a second copy
	copy   []byte          // what there is of a second copy; nil: it is none
	hasher *manifest.Hasher
	id     certs.ServerID
}

// fetchAll fetches every chunk that is missing.
func (g *getting) fetchAll(ctx context.Context, t *clocks) error {
	now := time.Now()
	g.schedule = schedule.New(g.layout)
	g.meter.Start(meterTime, now)
	s := g.look()
	g.toCheck = s.bytes()
	g.emit(Started{
		Name: g.result.Name, Size: g.layout.Size, Chunks: g.layout.Chunks, Check: g.toCheck,
		Sparse: g.part.Sparse() && !g.cfg.SkipPreallocate,
	})
	g.wg.Go(func() { g.checkPart(ctx, s) })
	g.wg.Go(func() { g.checkpoints(ctx) })
	g.growth = schedule.NewGrowth(schedule.GrowthConfig{Fixed: g.cfg.Connections})
	for _, p := range g.byRank() {
		g.join(p, now)
	}
	g.fetching = ctx
	g.dispatch(now)
	if err := g.loop(ctx, t, g.complete); err != nil {
		return err
	}
	g.needed = false
	return nil
}

// checkpoints makes, beside the loop, what was marked durable every so often.
func (g *getting) checkpoints(ctx context.Context) {
	for sleep(ctx, checkpointTime) == nil {
		if err := g.part.Sync(); err != nil {
			g.post(func() { g.fail(err) })
			return
		}
	}
}

// complete reports whether every chunk is good.
func (g *getting) complete() bool { return g.schedule != nil && g.schedule.Done() }

// dispatch does what the schedule wants done now.
func (g *getting) dispatch(now time.Time) {
	if g.schedule == nil || g.fatal != nil {
		return
	}
	for _, p := range g.peers {
		g.schedule.Connections(p.index, p.active(), p.idle())
	}
	a := g.schedule.Plan(now)
	for _, id := range a.Cancel {
		if f := g.fetches[id]; f != nil {
			f.cancel()
		}
	}
	for _, s := range a.Shrink {
		if f := g.fetches[s.ID]; f != nil {
			f.end.Store(int64(f.First + s.Count))
		}
	}
	for _, r := range a.Fetch {
		p := g.peers[r.Server]
		conn := p.pick()
		if conn == nil {
			g.schedule.End(r.ID)
			continue
		}
		conn.fetches++
		f := &fetch{Range: r, peer: p, conn: conn, resume: g.takePartials(r, p)}
		f.ctx, f.cancel = context.WithCancel(g.fetching)
		f.end.Store(int64(r.First + r.Count))
		f.heard.Store(now.UnixNano())
		f.waiting.Store(true)
		g.fetches[r.ID] = f
		g.wg.Go(func() {
			err := g.fetchRange(f.ctx, f)
			if f.resume != nil && !f.resumed {
				f.rest = f.resume
			}
			g.post(func() { g.ended(f, err) })
		})
	}
}

// takePartials returns what there is of a range's first chunk, if its server
// may go on with it; what there is of its other chunks is given up.
func (g *getting) takePartials(r schedule.Range, p *peer) (first *partial) {
	if len(g.partials) == 0 {
		return nil
	}
	for c := r.First; c < r.First+r.Count; c++ {
		rest := g.partials[c]
		if rest == nil {
			continue
		}
		delete(g.partials, c)
		if c == r.First && rest.id == p.id {
			first = rest
		} else {
			g.result.Duplicate += rest.at
			rest.claim.Release()
		}
	}
	return first
}

// keepPartial takes what a fetch that has ended left of a chunk, if that can be
// of use.
func (g *getting) keepPartial(f *fetch) {
	rest := f.rest
	switch {
	case rest == nil:
	case (f.peer.state == PeerServing || f.peer.state == PeerLost) && !f.peer.judging && !g.part.Marked(rest.chunk):
		g.partials[rest.chunk] = rest
	default:
		rest.claim.Release()
	}
}

// sample tells the schedule what has arrived, and lets it act on it.
func (g *getting) sample(now time.Time) {
	g.checkLeft(now)
	if g.schedule == nil {
		return
	}
	for id, f := range g.fetches {
		n := g.count(f)
		heard := time.Unix(0, f.heard.Load())
		if !f.waiting.Load() {
			heard = now
		}
		g.schedule.Arrived(id, n, heard)
	}
	g.grow(now)
	for _, p := range g.peers {
		if p.state == PeerServing {
			g.schedule.Sample(p.index, p.arrived-p.sampled, p.minRTT(), now)
		}
		p.sampled = p.arrived
	}
	g.meter.Add(g.arrived, now)
	g.arrived = 0
	g.dispatch(now)
}

// count takes up what a fetch has read since it was last counted.
func (g *getting) count(f *fetch) int64 {
	n := f.arrived.Load() - f.sampled
	f.sampled += n
	f.peer.arrived += n
	g.arrived += n
	return n
}

// ended runs in the loop when a fetch is over; err is nil when all of its
// chunks are good.
func (g *getting) ended(f *fetch, err error) {
	now := time.Now()
	cancelled := f.ctx.Err() != nil
	f.cancel()
	g.schedule.Arrived(f.ID, g.count(f), now)
	delete(g.fetches, f.ID)
	f.conn.fetches--
	g.closeRetired(f.peer, f.conn)
	g.keepPartial(f)
	g.result.Duplicate += f.useless()
	g.schedule.End(f.ID)
	var disk *partfile.Error
	var wrong *wrongChunkError
	switch {
	case err == nil:
	case errors.As(err, &disk):
		g.fail(err)
	case cancelled, errors.Is(err, partfile.ErrNotOwner): // others were faster
	case errors.As(err, &wrong):
		g.refused(f.peer, wrong.chunk)
	case blame(err) != PeerLost:
		g.leave(f.peer, blame(err), err)
	case connEnded(f.conn):
		g.connDown(f.peer, f.conn, f.conn.conn.Err())
	default:
		g.backOff(f.peer, err, now)
	}
	g.dispatch(now)
}

// useless returns how many bytes a fetch that has ended received for nothing.
func (f *fetch) useless() int64 {
	n := f.arrived.Load() - f.useful.Load()
	if f.rest != nil {
		n -= f.rest.at - f.rest.from
	}
	return max(0, n)
}

// connEnded reports whether a connection is over.
func connEnded(c *connection) bool {
	select {
	case <-c.conn.Done():
		return true
	default:
		return false
	}
}

// backOff lets a server rest whose range ended without a fault of its bytes, and
// gives it up when that goes on.
func (g *getting) backOff(p *peer, err error, now time.Time) {
	if p.failing++; p.failing >= maxFailing {
		g.leave(p, PeerLost, err)
		return
	}
	pause := min(retryPause<<(p.failing-1), retryMax)
	g.schedule.Pause(p.index, now.Add(pause))
}

// refused runs in the loop when a server's chunk was wrong: it gets no more
// work, and is asked once more what it offers, which tells a lie from a change.
func (g *getting) refused(p *peer, chunk int) {
	p.bad++
	if p.judging || p.state != PeerServing {
		return
	}
	p.judging = true
	g.schedule.Leave(p.index)
	for _, f := range g.fetches {
		if f.peer == p {
			f.cancel()
		}
	}
	conn, ctx := p.pick().conn, g.fetching
	g.wg.Go(func() {
		changed := g.offersElse(ctx, conn)
		g.post(func() { g.judged(p, chunk, changed) })
	})
}

// offersElse reports whether a server no longer offers what was voted for.
func (g *getting) offersElse(ctx context.Context, conn *transport.Conn) bool {
	indexing := false
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	offer, _, err := g.hello(asking, conn, time.Now().Add(g.cfg.ConnectTimeout), func(wire.Indexing) {
		indexing = true
		cancel()
	})
	if indexing {
		return true
	}
	if err != nil {
		return blame(err) == PeerChanged
	}
	return offer.Checksum != g.result.Checksum || offer.Size != g.result.Size
}

// judging reports whether it is still open what becomes of a server that sent
// a wrong chunk.
func (g *getting) judging() bool {
	return slices.ContainsFunc(g.peers, func(p *peer) bool { return p.judging })
}

func (g *getting) judged(p *peer, chunk int, changed bool) {
	p.judging = false
	offset, n := manifest.Span(g.layout.Size, chunk)
	g.emit(ChunkRefused{Target: p.target, Chunk: chunk, Offset: offset, Length: n, Changed: changed})
	state := PeerWrong
	if changed {
		state = PeerChanged
	}
	g.leave(p, state, &wrongChunkError{chunk})
}

// fetchRange runs beside the loop: it asks for one range and takes its chunks
// one after the other.
func (g *getting) fetchRange(ctx context.Context, f *fetch) error {
	offset, length := g.layout.Span(f.Range)
	if f.resume != nil {
		offset, length = offset+f.resume.at, length-f.resume.at
	}
	st, err := f.conn.conn.OpenStream(ctx)
	if err != nil {
		return err
	}
	defer st.CancelRead(uint64(wire.StreamCancelled))
	defer context.AfterFunc(ctx, func() { st.CancelRead(uint64(wire.StreamCancelled)) })()
	req := wire.RangeRequest{Checksum: g.result.Checksum, Offset: offset, Length: length}
	if err := ask(st, req, time.Now().Add(askTime)); err != nil {
		return err
	}
	h, err := wire.ReadHeader(st)
	switch {
	case err != nil:
		return g.replyError(err)
	case h.Status != wire.StatusOK:
		return g.replyError(wire.ReadRefusal(st, h))
	case h.Length != uint64(length):
		return &ProtocolError{Err: fmt.Errorf("%d bytes where %d were asked for", h.Length, length)}
	}
	for c := f.First; ; c++ {
		switch {
		case c == f.First+f.Count:
			return atEnd(st)
		case c >= int(f.end.Load()):
			return nil
		}
		if err := g.fetchChunk(ctx, f, st, c); err != nil {
			return err
		}
	}
}

// atEnd checks that nothing follows the bytes that were asked for.
func atEnd(st *transport.Stream) error {
	var b [1]byte
	st.SetReadDeadline(time.Now().Add(askTime))
	if n, _ := st.Read(b[:]); n > 0 {
		return &ProtocolError{Err: errors.New("more bytes than were asked for")}
	}
	return nil
}

// beginChunk returns where to go on with a chunk: from what there is of it, or
// from its start. Where another fetch is at it, what is returned has no claim:
// it is a second copy, to be held in memory.
func (g *getting) beginChunk(ctx context.Context, f *fetch, chunk int) (*partial, error) {
	if f.resume != nil && f.resume.chunk == chunk {
		f.resumed = true
		f.resume.from = f.resume.at
		return f.resume, nil
	}
	if f.hasher == nil {
		f.hasher = new(manifest.Hasher)
	}
	f.hasher.Reset(g.layout.Size, chunk)
	c := &partial{chunk: chunk, hasher: f.hasher, id: f.peer.id}
	if claim, ok := g.part.Claim(chunk); ok {
		c.claim = claim
		return c, nil
	}
	if g.part.Marked(chunk) {
		return nil, partfile.ErrNotOwner
	}
	length := f.hasher.Remaining()
	if err := g.seconds.Acquire(ctx, min(length, secondsTotal)); err != nil {
		return nil, err
	}
	c.copy = make([]byte, 0, length)
	return c, nil
}

// drop ends the use of a chunk that was not finished.
func (g *getting) drop(c *partial) {
	if c.claim != nil {
		c.claim.Release()
	}
	g.freeCopy(c)
}

// freeCopy gives back the memory of a second copy.
func (g *getting) freeCopy(c *partial) {
	if c.copy != nil {
		g.seconds.Release(min(int64(cap(c.copy)), secondsTotal))
		c.copy = nil
	}
}

// fetchChunk reads one chunk: into the part file as it comes, or, when it is a
// second copy, into memory; and marks it once its value matches.
func (g *getting) fetchChunk(ctx context.Context, f *fetch, st *transport.Stream, chunk int) error {
	c, err := g.beginChunk(ctx, f, chunk)
	if err != nil {
		return err
	}
	for c.hasher.Remaining() > 0 {
		n, err := g.fetchPiece(ctx, f, st, c)
		if err == nil {
			err = g.limit.wait(ctx, n)
		}
		if err != nil {
			return g.interrupt(f, c, err)
		}
	}
	value, xxh := c.hasher.Sum()
	if value != g.manifest.Value(chunk) {
		g.drop(c)
		return &wrongChunkError{chunk}
	}
	if c.copy != nil {
		won, err := g.writeCopy(c)
		if err != nil || !won {
			return err
		}
	}
	if err := c.claim.Mark(xxh); err != nil {
		return err
	}
	_, length := manifest.Span(g.layout.Size, chunk)
	f.useful.Add(length - c.from)
	g.post(func() { g.gotChunk(f.peer, chunk, xxh) })
	return nil
}

// writeCopy writes a second copy whose value has matched, unless the first one
// was finished before.
func (g *getting) writeCopy(c *partial) (won bool, err error) {
	defer g.freeCopy(c)
	if c.claim, won = g.part.TakeOver(c.chunk); !won {
		return false, nil
	}
	return true, c.claim.WriteAt(c.copy, 0)
}

// interrupt keeps what has come of a chunk when its stream ends early, for a
// server of the same ID to go on with.
func (g *getting) interrupt(f *fetch, c *partial, err error) error {
	var disk *partfile.Error
	if c.copy != nil || c.at == 0 || c.hasher.Remaining() == 0 ||
		errors.As(err, &disk) || errors.Is(err, partfile.ErrNotOwner) || blame(err) != PeerLost {
		g.drop(c)
		return err
	}
	f.hasher = nil
	f.rest = c
	return err
}

// fetchPiece waits until the stream has bytes, and only then holds a buffer.
func (g *getting) fetchPiece(ctx context.Context, f *fetch, st *transport.Stream, c *partial) (int, error) {
	f.waiting.Store(true)
	var one [1]byte
	if _, err := st.Peek(one[:]); err != nil {
		return 0, g.replyError(err)
	}
	f.waiting.Store(false)
	f.heard.Store(time.Now().UnixNano())
	buf, err := g.pieces.get(ctx)
	if err != nil {
		return 0, err
	}
	defer g.pieces.put(buf)
	want := min(int64(len(*buf)), c.hasher.Remaining())
	n, err := st.Read((*buf)[:g.limit.piece(int(want))])
	if n == 0 && err != nil {
		return 0, g.replyError(err)
	}
	f.arrived.Add(int64(n))
	p := (*buf)[:n]
	if c.claim != nil {
		if err := c.claim.WriteAt(p, c.at); err != nil {
			return 0, err
		}
	} else {
		c.copy = append(c.copy, p...)
	}
	if _, err := c.hasher.Write(p); err != nil {
		return 0, err
	}
	c.at += int64(n)
	return n, nil
}

// gotChunk runs in the loop.
func (g *getting) gotChunk(p *peer, chunk int, xxh [16]byte) {
	_, n := manifest.Span(g.layout.Size, chunk)
	g.schedule.Good(chunk)
	p.bytes += n
	p.failing = 0
	g.progressed = time.Now()
	if p.away && p.state == PeerServing {
		p.away = false
		g.emit(Back{Target: p.target})
	}
	g.result.Fetched += n
	if xxh != g.manifest.XXH3(chunk) && !g.differs {
		g.differs = true
		g.emit(ListDiffers{Target: g.source.target, Chunk: chunk})
	}
}

// isEnd reports whether a reply ended before it was whole.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isTimeout reports whether a deadline of ours passed.
func isTimeout(err error) bool {
	var local *transport.LocalError
	return errors.As(err, &local) && local.Kind == transport.LocalDeadline
}

// streamCode returns the code with which the peer reset a stream; 0 when err is
// something else.
func streamCode(err error) wire.StreamCode {
	var peer *transport.PeerError
	if errors.As(err, &peer) && peer.Kind == transport.PeerReset {
		return wire.StreamCode(peer.Code)
	}
	return 0
}
