package fetch

import (
	"slices"
	"sync/atomic"
	"time"

	"malcolm/wire"
)

const (
	// hedgeTime: a manifest that makes no progress for this long is asked
	// of a second server as well.
	hedgeTime = 2 * time.Second
	// slowManifest is the least rate, in bytes a second, at which a
	// manifest is awaited from one server alone once slowTime has passed.
	slowManifest = 16 << 10
	slowTime     = 10 * time.Second
)

// obtainManifest takes the manifest that came with an offer, or asks the
// servers for it one after the other, in the order of their answers. Whenever
// those asked make no or too little progress, it asks the next one as well. An
// empty file's is known.
func (s *Session) obtainManifest() error {
	d := s.download
	defer s.dropInline()
	defer s.values.Store(false)
	if d.layout.Chunks == 0 {
		d.manifest = wire.NewManifest(0, d.layout.ChunkSize, 0)
		return nil
	}
	for _, v := range s.roster.byRank() {
		if v.votes() && v.offer.Values.Len() > 0 {
			d.manifest, d.lister = v.offer.Values, v
			return nil
		}
	}
	a := &asking{scope: s.loop.inner(), asked: make(map[*connection]bool)}
	d.asking = a
	defer func() {
		d.asking = nil
		a.halt()
		a.release()
	}()
	return s.loop.until(func() bool {
		if d.lister != nil {
			return true
		}
		if a.wantsMore(time.Now()) {
			s.askNext(a)
		}
		return false
	})
}

// An asking is the state while the manifest is asked for. It belongs to the
// loop.
type asking struct {
	*scope
	asked    map[*connection]bool // a server that is lost and comes back is asked again
	requests []*manifestRequest   // under way
	last     *manifestRequest     // nil: none yet
}

// wantsMore reports whether another server should be asked as well.
func (a *asking) wantsMore(now time.Time) bool {
	return a.last == nil || a.last.failed || a.last.behind(now)
}

// release ends the requests' use of their connections.
func (a *asking) release() {
	for _, r := range a.requests {
		r.conn.fetches--
		r.server.conns.closeRetired(r.conn)
	}
	a.requests = nil
}

// askNext asks the next server, or one that was reached anew, if there is one.
func (s *Session) askNext(a *asking) {
	for _, v := range s.roster.byRank() {
		if c := v.conns.pick(); c != nil && v.votes() && !a.asked[c] {
			a.asked[c] = true
			s.requestManifest(a, v, c)
			return
		}
	}
}

// dropInline frees the manifests that are not needed.
func (s *Session) dropInline() {
	for _, v := range s.roster.servers {
		v.offer.Values = wire.Manifest{}
	}
}

// A manifestRequest asks one server for the manifest.
type manifestRequest struct {
	server  *server
	conn    *connection
	counted int64 // of arrived
	failed  bool
	*manifestProgress
}

// A manifestProgress is written beside the loop and read by it.
type manifestProgress struct {
	asked    time.Time
	arrived  atomic.Int64 // bytes
	progress atomic.Int64 // when bytes last came, in nanoseconds since asked
}

// came notes bytes that came.
func (p *manifestProgress) came(bytes int) {
	p.arrived.Add(int64(bytes))
	p.progress.Store(int64(time.Since(p.asked)))
}

// behind reports whether another server should be asked as well.
func (p *manifestProgress) behind(now time.Time) bool {
	age := now.Sub(p.asked)
	return age-time.Duration(p.progress.Load()) >= hedgeTime ||
		age >= slowTime && float64(p.arrived.Load()) < age.Seconds()*slowManifest
}

// requestManifest asks one server on one connection, beside the loop.
func (s *Session) requestManifest(a *asking, v *server, c *connection) {
	p := &manifestProgress{asked: time.Now()}
	r := &manifestRequest{server: v, conn: c, manifestProgress: p}
	a.last = r
	a.requests = append(a.requests, r)
	c.fetches++
	post, ctx, way, offer := a.post, a.ctx, c.way, v.offer
	got := func(m wire.Manifest, err error) { post(func() { s.gotManifest(a, r, m, err) }) }
	a.beside(func() { got(way.Values(ctx, offer, p.came)) })
}

// gotManifest runs in the loop. A failed request is nobody's fault once the
// manifest is there or another connection has replaced this one.
func (s *Session) gotManifest(a *asking, r *manifestRequest, m wire.Manifest, err error) {
	v, replaced, d := r.server, r.conn.retired, s.download
	a.requests = slices.DeleteFunc(a.requests, func(other *manifestRequest) bool { return other == r })
	r.conn.fetches--
	v.conns.closeRetired(r.conn)
	if err == nil {
		if d.lister == nil {
			d.manifest, d.lister = m, v
		}
		return
	}
	r.failed = true
	if replaced && blame(err) == StateLost {
		return
	}
	if !v.trouble.toldRefused {
		v.trouble.toldRefused = true
		s.emit(ManifestRefused{Target: v.target, Err: err})
	}
	s.leave(v, blame(err), err)
}
