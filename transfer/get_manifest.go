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
// next as well whenever those asked make no progress, or too little.
func (g *getting) obtainManifest(ctx context.Context, t *clocks) error {
	g.needed = true
	if g.noteLeft(); g.fatal != nil {
		return g.fatal
	}
	for _, p := range g.byRank() {
		if p.inline.Len() > 0 || g.layout.Chunks == 0 {
			g.manifest, g.source = p.inline, p
			g.dropInline()
			return nil
		}
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	var last *manifestRequest
	asked := make(map[*connection]bool) // one that is lost and comes back is asked again
	next := func() {
		for _, p := range g.byRank() {
			if c := p.conns[0]; !asked[c] {
				asked[c] = true
				last = g.requestManifest(asking, p)
				return
			}
		}
	}
	return g.loop(ctx, t, func() bool {
		if g.source != nil {
			return true
		}
		if last == nil || last.failed || last.behind() {
			next()
		}
		return false
	})
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
	asked    time.Time
	arrived  atomic.Int64 // bytes
	progress atomic.Int64 // when bytes last came, in nanoseconds since 1970
	failed   bool         // loop
}

// behind reports whether another server should be asked as well.
func (r *manifestRequest) behind() bool {
	if time.Since(time.Unix(0, r.progress.Load())) >= hedgeTime {
		return true
	}
	age := time.Since(r.asked)
	return age >= slowTime && float64(r.arrived.Load()) < age.Seconds()*slowManifest
}

// requestManifest asks one server, beside the loop.
func (g *getting) requestManifest(ctx context.Context, p *peer) *manifestRequest {
	r := &manifestRequest{asked: time.Now()}
	r.progress.Store(r.asked.UnixNano())
	conn, offer := p.conns[0].conn, p.offer
	g.wg.Go(func() {
		m, err := g.askManifest(ctx, conn, offer, r)
		g.post(func() { g.gotManifest(ctx, p, r, m, err) })
	})
	return r
}

func (g *getting) askManifest(ctx context.Context, conn *transport.Conn, offer wire.Offer, r *manifestRequest) (wire.Manifest, error) {
	st, err := conn.OpenStream(ctx)
	if err != nil {
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

// gotManifest runs in the loop.
func (g *getting) gotManifest(ctx context.Context, p *peer, r *manifestRequest, m wire.Manifest, err error) {
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		if g.source == nil {
			g.manifest, g.source = m, p
		}
		return
	}
	r.failed = true
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
		w.request.progress.Store(time.Now().UnixNano())
	}
	if isTimeout(err) {
		err = &TimeoutError{After: manifestTime, Err: errNoAnswer}
	}
	return n, err
}
