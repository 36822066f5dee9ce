package fetch

import (
	"slices"
	"sync/atomic"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

const (
	// hedgeTime is how long values may make no progress before a second
	// server is asked too.
	hedgeTime = 2 * time.Second
	// slowValues is a rate in bytes a second. If values come more slowly
	// after slowTime, another server is asked too.
	slowValues = 16 << 10
	slowTime   = 10 * time.Second
)

// obtainValues takes the values that came with an offer, or asks the servers
// for them one after the other, in the order of their answers. Whenever those
// asked make no or too little progress, it asks the next one as well. Those of
// a file of at most one chunk are known.
func (s *Session) obtainValues() error {
	d := s.download
	defer s.dropInline()
	defer s.values.Store(false)
	a := d.askedAhead()
	if s.valuesAtHand(d) {
		a.end()
		return nil
	}
	if a == nil {
		a = newAsking(s.loop, d)
	}
	d.asking = a
	defer func() {
		d.asking = nil
		a.end()
	}()
	for _, r := range a.unheard {
		s.valuesFailed(r)
	}
	return s.loop.until(func() bool {
		if d.values.Len() > 0 {
			return true
		}
		if a.wantsMore(time.Now()) {
			s.askNext(a)
		}
		return false
	})
}

// valuesAtHand takes the values of a download without asking for them: they are
// known, or came with an offer of the file. It reports whether they are there.
func (s *Session) valuesAtHand(d *download) bool {
	if d.values.Len() > 0 {
		return true
	}
	if d.whole != nil {
		d.values = wire.NewValues(d.content.Chunks())
		return true
	}
	if values, ok := manifest.Known(d.offer.Size, d.offer.Checksum); ok {
		d.values = values
		return true
	}
	for _, v := range s.roster.servers {
		if v.votes() && v.offer.SameFile(d.offer) && v.offer.Values.Len() > 0 {
			d.values = v.offer.Values
			return true
		}
	}
	return false
}

// An asking is the state while values are asked for. It belongs to the
// loop.
type asking struct {
	*scope
	download *download
	asked    map[*connection]bool // a server that is lost and comes back is asked again
	requests []*valuesRequest     // under way
	last     *valuesRequest       // nil: none yet
	unheard  []*valuesRequest     // failed before the vote closed
}

func newAsking(l *loop, d *download) *asking {
	return &asking{scope: l.inner(), download: d, asked: make(map[*connection]bool)}
}

// end ends an asking, which may be nil.
func (a *asking) end() {
	if a != nil {
		a.halt()
		a.release()
	}
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
			s.requestValues(a, v, c)
			return
		}
	}
}

// dropInline frees the values that are not needed.
func (s *Session) dropInline() {
	for _, v := range s.roster.servers {
		v.offer.Values = wire.Values{}
	}
}

// A valuesRequest asks one server for the values.
type valuesRequest struct {
	server  *server
	conn    *connection
	counted int64 // of arrived
	failed  bool
	err     error // why
	*valuesProgress
}

// A valuesProgress is written beside the loop and read by it.
type valuesProgress struct {
	asked    time.Time
	arrived  atomic.Int64 // bytes
	progress atomic.Int64 // when bytes last came, in nanoseconds since asked
}

// came notes bytes that came.
func (p *valuesProgress) came(bytes int) {
	p.arrived.Add(int64(bytes))
	p.progress.Store(int64(time.Since(p.asked)))
}

// behind reports whether another server should be asked as well.
func (p *valuesProgress) behind(now time.Time) bool {
	age := now.Sub(p.asked)
	return age-time.Duration(p.progress.Load()) >= hedgeTime ||
		age >= slowTime && float64(p.arrived.Load()) < age.Seconds()*slowValues
}

// requestValues asks one server on one connection, beside the loop.
func (s *Session) requestValues(a *asking, v *server, c *connection) {
	a.asked[c] = true
	p := &valuesProgress{asked: time.Now()}
	r := &valuesRequest{server: v, conn: c, valuesProgress: p}
	a.last = r
	a.requests = append(a.requests, r)
	c.fetches++
	post, ctx, way, offer := a.post, a.ctx, c.way, v.offer
	got := func(values wire.Values, err error) { post(func() { s.gotValues(a, r, values, err) }) }
	a.beside(func() { got(way.Values(ctx, offer, p.came)) })
}

// gotValues runs in the loop. A failed request is nobody's fault if the values
// are there by then, or if another connection has replaced this one. While the
// vote is open, failures are not told.
func (s *Session) gotValues(a *asking, r *valuesRequest, values wire.Values, err error) {
	v, replaced, d := r.server, r.conn.retired, a.download
	a.requests = slices.DeleteFunc(a.requests, func(other *valuesRequest) bool { return other == r })
	r.conn.fetches--
	v.conns.closeRetired(r.conn)
	if err == nil {
		if d.values.Len() == 0 {
			d.values = values
			s.feed(time.Now())
		}
		return
	}
	r.failed, r.err = true, err
	switch {
	case replaced && blame(err) == StateLost:
	case d.asking != a:
		a.unheard = append(a.unheard, r)
	default:
		s.valuesFailed(r)
	}
}

// valuesFailed ends the use of a server that did not send the values.
func (s *Session) valuesFailed(r *valuesRequest) {
	v, err := r.server, r.err
	if !v.trouble.toldRefused {
		v.trouble.toldRefused = true
		s.emit(ValuesRefused{Target: v.target, Err: err})
	}
	s.leave(v, blame(err), err)
}
