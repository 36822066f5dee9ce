package transfer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/pace"
	"malcolm/transfer/partfile"
	"malcolm/transfer/schedule"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// askTime is how long a request may take to leave.
	askTime = 10 * time.Second
	// secondsTotal bounds the memory for second copies, in bytes.
	secondsTotal = 32 << 20
	// checkpointTime is the time between two checkpoints of the part file.
	checkpointTime = 2 * time.Second
)

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
	heard   atomic.Int64 // when bytes last came, in nanoseconds since the run began: the clock may be set

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

// fetchAll fetches every chunk that is missing.
func (g *getting) fetchAll(ctx context.Context, t *clocks) error {
	s, err := obtain(ctx, g, t, func(context.Context) (*survey, error) { return g.look(), nil })
	if err != nil {
		return err
	}
	g.beginSchedule()
	for c := range g.layout.Chunks {
		if s.missing.has(c) {
			g.schedule.Add(c)
		}
	}
	g.toCheck = s.bytes()
	g.emit(Started{
		Name: g.result.Name, Size: g.layout.Size, Chunks: g.layout.Chunks, Check: g.toCheck,
		Sparse: g.part.Sparse() && !g.cfg.SkipPreallocate,
	})
	g.wg.Go(func() { g.checkPart(ctx, s) })
	g.wg.Go(func() { g.checkpoints(ctx) })
	return g.fetchQueued(ctx, t, g.complete)
}

// beginSchedule makes a schedule of which nothing is known yet.
func (g *getting) beginSchedule() {
	g.schedule = schedule.New(g.layout)
	if g.cfg.Map {
		g.result.Map = make(ChunkMap, g.layout.Chunks)
	}
}

// fetchQueued fetches what is in the schedule's queue, and what comes into it,
// until done holds.
func (g *getting) fetchQueued(ctx context.Context, t *clocks, done func() bool) error {
	now := time.Now()
	g.meter.Start(meterTime, now)
	g.growth = schedule.NewGrowth(schedule.GrowthConfig{Fixed: g.cfg.Connections})
	for _, p := range g.byRank() {
		g.join(p, now)
	}
	g.fetching = ctx
	g.dispatch(now)
	return g.loop(ctx, t, done)
}

// checkpoints makes, beside the loop, what was marked durable every so often,
// and looks whether the part file is still there.
func (g *getting) checkpoints(ctx context.Context) {
	for pace.Sleep(ctx, checkpointTime) == nil {
		if err := g.part.Checkpoint(); err != nil {
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
			g.explain(Cancelled, f, f.First, f.Count)
			f.cancel()
		}
	}
	for _, s := range a.Shrink {
		if f := g.fetches[s.ID]; f != nil {
			g.explain(Moved, f, f.First+s.Count, int(f.end.Load())-f.First-s.Count)
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
		if r.Second {
			g.result.Map.flag(r.First, markTwice)
		}
		f := &fetch{Range: r, peer: p, conn: conn, resume: g.takePartials(r, p)}
		f.ctx, f.cancel = context.WithCancel(g.fetching)
		f.end.Store(int64(r.First + r.Count))
		f.heard.Store(int64(now.Sub(g.begun)))
		f.waiting.Store(true)
		g.fetches[r.ID] = f
		if r.Second {
			g.explain(Second, f, r.First, r.Count)
		}
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
		if c == r.First && rest.peer == p {
			first = rest
		} else {
			g.giveUp(rest)
		}
	}
	return first
}

// giveUp ends the use of what there is of a chunk: it came for nothing.
func (g *getting) giveUp(rest *partial) {
	g.result.Duplicate += rest.at
	rest.claim.Release()
}

// keepPartial takes what a fetch that has ended left of a chunk, if that can be
// of use.
func (g *getting) keepPartial(f *fetch) {
	rest := f.rest
	switch {
	case rest == nil:
	case (f.peer.state == PeerServing || f.peer.state == PeerLost) && !f.peer.judging && !g.store.Marked(rest.chunk):
		g.partials[rest.chunk] = rest
	default:
		g.giveUp(rest)
	}
}

// sample looks, at each tick, at what has arrived, and lets the presence and the
// schedule act on it.
func (g *getting) sample(now time.Time) {
	g.notice(now)
	g.attend(now)
	if g.schedule == nil {
		return
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
	f.peer.came(f.conn, n)
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
	var disk *partfile.Error
	var wrong *wrongChunkError
	useless := f.useless()
	again := g.refetch(f, err, useless)
	g.result.Refetched += again
	g.result.Duplicate += useless - again
	g.schedule.End(f.ID)
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

// useless returns how many bytes a fetch that has ended received for nothing,
// but for those of its rest.
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
	p.failed = err
	pause, lost := g.presence.Failed(p.index)
	if lost {
		g.leave(p, PeerLost, err)
		return
	}
	g.emit(Decision{What: Retried, Target: p.target, Pause: pause, Err: err})
	g.schedule.Pause(p.index, now.Add(pause))
}

// refused runs in the loop when a server's chunk was wrong: it gets no more
// work, and is asked once more what it offers, which tells a lie from a change.
func (g *getting) refused(p *peer, chunk int) {
	p.bad++
	g.result.Map.flag(chunk, markRefused)
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
		if !changed {
			g.reportWrong(ctx, conn, chunk)
		}
		g.post(func() { g.judged(p, chunk, changed) })
	})
}

// reportWrong tells a server which chunk of it was wrong, so that it looks at its
// own disk. What it answers changes nothing here: the bytes were wrong.
func (g *getting) reportWrong(ctx context.Context, conn *transport.Conn, chunk int) {
	deadline := time.Now().Add(g.cfg.ConnectTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	st, err := conn.OpenStream(ctx)
	if err != nil {
		return
	}
	defer st.CancelRead(uint64(wire.StreamCancelled))
	defer context.AfterFunc(ctx, func() { st.CancelRead(uint64(wire.StreamCancelled)) })()
	if ask(st, wire.RecheckRequest{Checksum: g.result.Checksum, Chunk: chunk}, deadline) == nil {
		st.SetReadDeadline(deadline)
		_, _ = wire.ReadHeader(st) // it has looked
	}
}

// offersElse reports whether a server no longer offers what was voted for.
func (g *getting) offersElse(ctx context.Context, conn *transport.Conn) bool {
	offer, _, err := g.hello(ctx, conn, offerOnly, time.Now().Add(g.cfg.ConnectTimeout), noIndexing)
	if errors.Is(err, errIndexing) {
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
	if changed {
		g.leave(p, PeerChanged, errFileChanged)
	} else {
		g.leave(p, PeerWrong, &wrongChunkError{chunk})
	}
}

// gotChunk runs in the loop.
func (g *getting) gotChunk(p *peer, chunk int, xxh [16]byte) {
	_, n := manifest.Span(g.layout.Size, chunk)
	g.schedule.Good(chunk)
	g.result.Map.delivered(chunk, p.index)
	p.bytes += n
	if g.presence.Good(p.index) {
		g.emit(Back{Target: p.target})
	}
	g.result.Fetched += n
	if xxh != g.manifest.XXH3(chunk) && !g.differs {
		g.differs = true
		g.emit(ListDiffers{Target: g.source.target, Chunk: chunk})
	}
}
