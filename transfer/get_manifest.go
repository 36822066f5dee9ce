package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	// hedgeTime is how long a manifest may make no progress before a second
	// server is asked for it as well.
	hedgeTime = 2 * time.Second
	// slowManifest is how many bytes of a manifest a second are too few, once
	// slowTime has passed, to wait for one server alone.
	slowManifest = 16 << 10
	slowTime     = 10 * time.Second
	// manifestTime is how long a manifest may make no progress at all.
	manifestTime = 20 * time.Second
)

// readManifest reads the manifest that belongs to an offer and checks it
// against the offer. An error that is the server's fault is a
// [*ProtocolError].
func (g *getting) readManifest(r io.Reader, offer wire.Offer) (wire.Manifest, error) {
	h, err := wire.ReadHeader(r)
	if err != nil {
		return wire.Manifest{}, g.replyError(err)
	}
	if h.Status != wire.StatusOK {
		return wire.Manifest{}, g.replyError(wire.ReadRefusal(r, h))
	}
	m, err := wire.ReadManifest(r, h, wire.ManifestLen(manifest.Count(offer.Size)))
	if err != nil {
		return wire.Manifest{}, g.replyError(err)
	}
	if err := manifest.Check(m, offer.Size, offer.Checksum); err != nil {
		return wire.Manifest{}, &ProtocolError{Err: err}
	}
	if manifest.Digest(m) != offer.Digest {
		return wire.Manifest{}, &ProtocolError{Err: errors.New("manifest does not have the digest that was offered")}
	}
	return m, nil
}

// obtainManifest takes the manifest that came with an offer, or asks for it:
// the servers one after the other, in the order in which they answered, the
// next as well whenever those asked make no progress, or too little. That of an
// empty file is known.
func (g *getting) obtainManifest(ctx context.Context, t *clocks) error {
	defer g.dropInline()
	defer g.hasManifest.Store(true)
	if g.layout.Chunks == 0 {
		g.manifest = wire.NewManifest(0, g.layout.ChunkSize, 0)
		return nil
	}
	for _, p := range g.byRank() {
		if p.inline.Len() > 0 {
			g.manifest, g.source = p.inline, p
			return nil
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g.asking = &asking{ctx: ctx, asked: make(map[*connection]bool)}
	defer func() { g.asking = nil }()
	return g.loop(ctx, t, func() bool {
		if g.source != nil {
			return true
		}
		if g.asking.wantsMore(time.Now()) {
			g.askNext()
		}
		return false
	})
}

// An asking is the time in which the manifest is asked for. It belongs to the
// loop.
type asking struct {
	ctx      context.Context
	asked    map[*connection]bool // a server that is lost and comes back is asked again
	requests []*manifestRequest   // under way
	last     *manifestRequest     // nil: none yet
}

// wantsMore reports whether another server should be asked as well.
func (a *asking) wantsMore(now time.Time) bool {
	return a.last == nil || a.last.failed || a.last.behind(now)
}

// askNext asks the next server, if there is one, or one that is reached anew.
func (g *getting) askNext() {
	for _, p := range g.byRank() {
		if c := p.pick(); c != nil && !g.asking.asked[c] {
			g.asking.asked[c] = true
			g.requestManifest(p, c)
			return
		}
	}
}

// byRank returns the servers that take part, those that answered first first.
func (g *getting) byRank() []*peer {
	var peers []*peer
	for _, p := range g.peers {
		if p.state == PeerServing {
			peers = append(peers, p)
		}
	}
	slices.SortFunc(peers, func(a, b *peer) int { return a.rank - b.rank })
	return peers
}

// dropInline frees the manifests that are not needed.
func (g *getting) dropInline() {
	for _, p := range g.peers {
		p.inline = wire.Manifest{}
	}
}

// A manifestRequest is one server's being asked for the manifest.
type manifestRequest struct {
	peer     *peer
	conn     *connection
	asked    time.Time
	arrived  atomic.Int64 // bytes
	progress atomic.Int64 // when bytes last came, in nanoseconds since it was asked
	counted  int64        // of arrived; the loop's
	failed   bool         // loop
}

// behind reports whether another server should be asked as well.
func (r *manifestRequest) behind(now time.Time) bool {
	age := now.Sub(r.asked)
	return age-time.Duration(r.progress.Load()) >= hedgeTime ||
		age >= slowTime && float64(r.arrived.Load()) < age.Seconds()*slowManifest
}

// requestManifest asks one server on one connection, beside the loop.
func (g *getting) requestManifest(p *peer, c *connection) {
	r := &manifestRequest{peer: p, conn: c, asked: time.Now()}
	g.asking.last = r
	g.asking.requests = append(g.asking.requests, r)
	c.fetches++
	ctx, offer := g.asking.ctx, p.offer
	g.wg.Go(func() {
		m, err := g.askManifest(ctx, c.conn, offer, r)
		g.post(func() { g.gotManifest(ctx, r, m, err) })
	})
}

func (g *getting) askManifest(ctx context.Context, conn *transport.Conn, offer wire.Offer, r *manifestRequest) (wire.Manifest, error) {
	opening, cancel := context.WithTimeout(ctx, manifestTime)
	defer cancel()
	st, err := conn.OpenStream(opening)
	if err != nil {
		if errors.Is(opening.Err(), context.DeadlineExceeded) {
			err = &TimeoutError{After: manifestTime, Err: ErrNoAnswer}
		}
		return wire.Manifest{}, err
	}
	defer context.AfterFunc(ctx, func() { st.CancelRead(uint64(wire.StreamCancelled)) })()
	if err := ask(st, wire.ManifestRequest{Checksum: offer.Checksum}, time.Now().Add(manifestTime)); err != nil {
		return wire.Manifest{}, err
	}
	m, err := g.readManifest(&watchedReader{st: st, request: r}, offer)
	if err != nil {
		st.CancelRead(uint64(wire.StreamCancelled))
	}
	return m, err
}

// gotManifest runs in the loop. What comes of a request is nobody's fault any more
// when the manifest is there, or when another connection has taken its place.
func (g *getting) gotManifest(ctx context.Context, r *manifestRequest, m wire.Manifest, err error) {
	p, replaced := r.peer, r.conn.retired
	r.conn.fetches--
	g.closeRetired(p, r.conn)
	if ctx.Err() != nil || g.asking == nil {
		return
	}
	g.asking.requests = slices.DeleteFunc(g.asking.requests, func(other *manifestRequest) bool { return other == r })
	if err == nil {
		if g.source == nil {
			g.manifest, g.source = m, p
		}
		return
	}
	r.failed = true
	if replaced && blame(err) == PeerLost {
		return
	}
	if !p.doubted {
		p.doubted = true
		g.emit(ManifestRefused{Target: p.target, Err: err})
	}
	g.leave(p, blame(err), err)
}

// blame returns the state of a server whose reply ended with err.
func blame(err error) PeerState {
	var protocol *ProtocolError
	var refusal *wire.Refusal
	switch {
	case errors.As(err, &protocol):
		return PeerWrong
	case errors.As(err, &refusal) && refusal.Status == wire.StatusChanged:
		return PeerChanged
	case errors.As(err, &refusal) && (refusal.Status == wire.StatusMalformed || refusal.Status == wire.StatusOutOfRange ||
		refusal.Status == wire.StatusUnsupported || refusal.Status == wire.StatusNotFound ||
		refusal.Status == wire.StatusIndexing): // which only hello may be answered
		return PeerWrong
	case streamCode(err) == wire.StreamChanged:
		return PeerChanged
	}
	return PeerLost
}

// A watchedReader notes when bytes come, and gives up when none do.
type watchedReader struct {
	st      *transport.Stream
	request *manifestRequest
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.st.SetReadDeadline(time.Now().Add(manifestTime))
	n, err := w.st.Read(p)
	if n > 0 {
		w.request.arrived.Add(int64(n))
		w.request.progress.Store(int64(time.Since(w.request.asked)))
	}
	if isTimeout(err) {
		err = &TimeoutError{After: manifestTime, Err: ErrNoAnswer}
	}
	return n, err
}
