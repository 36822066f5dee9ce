package fetch

import (
	"context"
	"slices"
	"time"

	"malcolm/transfer/partfile"
	"malcolm/transfer/schedule"
	"malcolm/transfer/vote"
)

// While the vote is open its winner may be certain: nothing that the other
// servers answer can change it (see [vote.Ballot.Certain]). Then the front of
// the file is fetched ahead. The bytes wait in memory until the vote has closed
// and the output is open. Until then nothing is shown, written or told, and no
// server is blamed. The vote goes on as without it. What happens to a range is
// kept, and told when the schedule begins. Nothing is fetched ahead if a file
// lies under one of the output's names.

const (
	// maxAhead bounds what is fetched ahead, in bytes of memory.
	maxAhead = 16 << 20
	// maxAheadLen bounds a range of more than one unit, in bytes. A
	// server's first range is one unit, each next one up to twice as long.
	maxAheadLen = 2 << 20
	// aheadRanges is the number of ranges under way at a server that has
	// sent bytes. A server that has not sent yet has one.
	aheadRanges = 2
)

// An early says how a method may fetch ahead.
type early struct {
	room  int64                  // bytes for it
	trees bool                   // a directory's listing too; it goes to no file
	free  func(name string) bool // whether nothing lies under the names of the output; runs beside the loop; nil: there is no file
}

// An ahead is what is fetched for a download before it has a schedule. It
// belongs to the loop.
type ahead struct {
	*scope
	store   *aheadStore
	job     *job // nil before the values are there
	free    bool // nothing lies under the output's names
	asking  *asking
	next    int // the first chunk that was not asked for
	end     int // of the chunks that there is room for
	fetches []*fetch
	good    []goodChunk
	servers map[*server]*aheadServer
	adopted bool // the schedule has it now
}

// waiting returns what is fetched ahead while the schedule has not got it; nil:
// nothing is.
func (d *download) waiting() *ahead {
	if d == nil || d.ahead == nil || d.ahead.adopted {
		return nil
	}
	return d.ahead
}

// halt ends and joins what runs for the download.
func (d *download) halt() {
	if d.ahead != nil {
		d.ahead.halt()
	}
	d.scope.halt()
}

// A goodChunk is a chunk that has matched its value, and who sent it.
type goodChunk struct {
	server *server
	chunk  int
}

// An aheadServer is one server's part.
type aheadServer struct {
	since  time.Time // when it was asked first
	length int64     // of its next range, in bytes
	open   int       // ranges under way
	sent   bool
	failed bool // it gets no more of them
}

// goAhead runs in the loop when a server has answered. If the vote is certain
// it begins to fetch.
func (s *Session) goAhead(now time.Time) {
	p := s.poll
	if p == nil || p.early == nil || p.ballot.Closed(now) {
		return
	}
	if p.next == nil {
		r, ok := p.ballot.Certain()
		if !ok {
			return
		}
		g := &r.Groups[r.Winner]
		if g.Size == 0 || g.Size > p.most && !g.Tree || g.Tree && !p.early.trees {
			p.early = nil
			return
		}
		p.next = s.newAhead(g, p.early, r.Name)
	}
	s.feed(now)
}

// newAhead returns the download of a file that the vote is going to choose.
// name is the name that it would get now.
func (s *Session) newAhead(g *vote.Group, e *early, name string) *download {
	d := newDownload(s, g)
	a := &ahead{scope: d.inner(), store: newAheadStore(), servers: make(map[*server]*aheadServer)}
	a.end = max(1, d.content.Whole(0, min(e.room, maxAhead), d.content.Files()))
	d.ahead = a
	if e.free == nil || g.Tree {
		a.free = true
		return d
	}
	free, post := e.free, a.post
	found := func(is bool) {
		post(func() {
			a.free = is
			s.feed(time.Now())
		})
	}
	a.beside(func() { found(free(name)) })
	return d
}

// isFree reports whether nothing lies under the names of a file, so that a copy
// of it would fetch all of it.
func isFree(fsys partfile.FS, chosen, offered string) bool {
	name := chosen
	if name == "" && checkOffered(offered) == nil {
		name = offered
	}
	if CheckName(name) != nil {
		return false
	}
	found, err := partfile.Look(fsys, name)
	return err == nil && found == (partfile.Found{})
}

// feeding returns the download that is fetched ahead; nil: none is.
func (s *Session) feeding() *download {
	d := s.download
	if s.poll != nil {
		d = s.poll.next
	}
	if a := d.waiting(); a == nil || !a.free {
		return nil
	}
	return d
}

// feed asks for more of what is fetched ahead. It runs in the loop, also at
// each tick.
func (s *Session) feed(now time.Time) {
	d := s.feeding()
	if d == nil {
		return
	}
	if a := d.ahead; a.job == nil {
		if !s.valuesAtHand(d) {
			s.askAhead(d)
			return
		}
		a.job = s.newJob(d, a.post, a.store, func(v *server, chunk int) { s.goodAhead(a, v, chunk) })
	}
	for _, v := range s.roster.servers {
		for s.mayFetchAhead(d, v) {
			s.fetchAhead(d, v, now)
		}
	}
}

// offering reports whether a server offers the file of a download and has a
// connection.
func (s *Session) offering(d *download, v *server) bool {
	return (v.state == StateAnswered || v.state == StateServing) && v.votes() && v.offer.SameFile(d.offer) && v.conns.pick() != nil
}

func (s *Session) mayFetchAhead(d *download, v *server) bool {
	a := d.ahead
	if a.next == a.end || !s.offering(d, v) {
		return false
	}
	t := a.servers[v]
	switch {
	case t == nil:
		return true
	case t.failed:
		return false
	}
	most := 1
	if t.sent = t.sent || a.isSending(v); t.sent && s.servers.Limit == 0 {
		most = aheadRanges
	}
	return t.open < most
}

// isSending reports whether bytes have come on a server's ranges.
func (a *ahead) isSending(v *server) bool {
	return slices.ContainsFunc(a.fetches, func(f *fetch) bool { return f.server == v && f.arrived.Load() > 0 })
}

// fetchAhead asks a server for the next range.
func (s *Session) fetchAhead(d *download, v *server, now time.Time) {
	a := d.ahead
	t := a.servers[v]
	if t == nil {
		t = &aheadServer{since: now}
		a.servers[v] = t
	}
	n := min(max(schedule.Unit(d.content, a.next), d.content.Whole(a.next, t.length, schedule.MaxFiles)), a.end-a.next)
	r := schedule.Range{ID: len(a.fetches) + 1, Server: v.index, First: a.next, Count: n}
	a.next += n
	t.open++
	f := s.prepare(a.ctx, a.job, r, now)
	a.fetches = append(a.fetches, f)
	run, post := f.rangeRun, a.post
	ended := func(err error) { post(func() { s.endedAhead(d, f, err) }) }
	a.beside(func() { ended(run.fetch()) })
}

// endedAhead runs in the loop when a range that was asked for ahead is over.
func (s *Session) endedAhead(d *download, f *fetch, err error) {
	a := d.ahead
	if a.adopted {
		s.ended(f, err)
		return
	}
	f.over, f.err = true, err
	t := a.servers[f.server]
	t.open--
	t.failed = t.failed || err != nil
	t.length = min(2*max(t.length, d.content.Length(f.First, f.Count)), maxAheadLen)
	s.feed(time.Now())
}

// goodAhead runs in the loop when a chunk of such a range is good.
func (s *Session) goodAhead(a *ahead, v *server, chunk int) {
	if a.adopted {
		s.gotChunk(v, chunk)
	} else {
		a.good = append(a.good, goodChunk{v, chunk})
	}
}

// askAhead asks one server for the values. If that fails, it is told when
// others are asked.
func (s *Session) askAhead(d *download) {
	a := d.ahead
	if a.asking != nil {
		return
	}
	for _, v := range s.roster.servers {
		if s.offering(d, v) {
			a.asking = newAsking(s.loop, d)
			s.requestValues(a.asking, v, v.conns.pick())
			return
		}
	}
}

// place moves what was fetched ahead to the output, beside the loop. What still
// comes goes there at once. all says that every chunk is missing there; if not,
// what was fetched ahead is given up.
func (s *Session) place(store chunkStore, all bool) error {
	a := s.download.waiting()
	if a == nil {
		return nil
	}
	if !all {
		s.drop(s.download)
		return nil
	}
	held := a.store
	return s.loop.do(func(ctx context.Context) error { return held.moveTo(ctx, store) })
}

// adopt runs when the schedule has just begun. It hands over what was fetched
// ahead and what is under way, and tells what happened to it.
func (s *Session) adopt(now time.Time) {
	d := s.download
	a := d.waiting()
	if a == nil {
		return
	}
	a.adopted = true
	came := make(map[*server]int64)
	for _, f := range a.fetches {
		d.fetches[f.ID] = f
		if !d.schedule.Give(f.Range, now) && !f.over { // its server is lost
			f.cancel()
		}
		n := d.count(f)
		d.schedule.Arrived(f.ID, n, now)
		came[f.server] += n
	}
	for v, n := range came { // before the rates that are sampled and shown
		d.schedule.Sample(v.index, n, v.conns.minRTT(), now)
		v.share.sampled += n
		d.flow.arrived -= n
	}
	for _, g := range a.good {
		s.gotChunk(g.server, g.chunk)
	}
	for _, f := range a.fetches {
		if f.over {
			s.ended(f, f.err)
		}
	}
}

// askedAhead returns the request for values that has begun ahead; nil: there is
// no such request.
func (d *download) askedAhead() (a *asking) {
	if w := d.waiting(); w != nil {
		a, w.asking = w.asking, nil
	}
	return a
}

// since returns when a server began to send for a download that now begins.
func (d *download) since(v *server, now time.Time) time.Time {
	if a := d.waiting(); a != nil && a.servers[v] != nil {
		return a.servers[v].since
	}
	return now
}

// drop gives up what was fetched ahead for a download; d may be nil. All of it
// was wasted.
func (s *Session) drop(d *download) {
	a := d.waiting()
	if a == nil {
		return
	}
	a.asking.end()
	a.halt()
	d.ahead = nil
	if d != s.download {
		d.halt()
	}
	if s.loop.ending.left {
		return
	}
	for _, f := range a.fetches {
		f.cancel()
		s.download.tally.Duplicate += d.count(f)
		f.conn.fetches--
		f.server.conns.closeRetired(f.conn)
	}
}
