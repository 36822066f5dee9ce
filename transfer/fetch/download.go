package fetch

import (
	"context"
	"errors"
	"time"

	"malcolm/transfer/content"
	"malcolm/transfer/growth"
	"malcolm/transfer/pace"
	"malcolm/transfer/partfile"
	"malcolm/transfer/schedule"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// meterTime is the time constant of the average rate shown and of the time
// left. It weighs the past about as a plain average over twice that time.
const meterTime = 1500 * time.Millisecond

// A download is one file or tree that a session copies. It belongs to the loop.
type download struct {
	*scope                      // what runs for it beside the loop
	offer    source.Offer       // that was voted for; zero before the vote
	listed                      // the directory of which the content is; zero: a file, or a listing
	content  *content.Content   // what is fetched; nil before the vote
	values   wire.Values        // of a file: empty until they are obtained
	whole    *Whole             // what proves it at the end; nil: its values do
	ahead    *ahead             // nil: nothing was fetched ahead
	asking   *asking            // for the values; nil: not now
	schedule *schedule.Schedule // nil before chunks are wanted
	job      *job               // nil before chunks are wanted
	underway
	flow   flow
	checks checks
	space  reservation
	result Result
	tally  tally
}

// An underway is what servers were asked for.
type underway struct {
	fetches  map[int]*fetch           // by range ID
	partials map[int]*partial         // by chunk: what ranges that ended early had of it
	lackers  map[int]map[*server]bool // by file: who does not have it
	helpers  map[*connection]int      // parts that they were asked for, of ranges of others
}

// A tally counts what happened to a download.
type tally struct {
	Counts
	streams bool // the output is a stream, not a file
	lists   bool // it is of a tree's listing
	files   fileCount
}

// A flow measures the bytes that arrive.
type flow struct {
	meter   pace.Meter
	arrived int64 // since the last sample
}

// A job is what a download's goroutines are handed. It does not change.
type job struct {
	*means
	content *content.Content
	values  chunkValues
	store   chunkStore
	good    func(server, chunk int) // tells the loop
}

// newDownload returns the download of the file that group g offers; g is nil
// before the vote.
func newDownload(s *Session, g *vote.Group) *download {
	d := &download{scope: s.loop.inner(), underway: underway{
		fetches: make(map[int]*fetch), partials: make(map[int]*partial), helpers: make(map[*connection]int),
	}}
	if g == nil {
		return d
	}
	d.offer.Size, d.offer.Checksum = g.Size, g.Checksum
	if g.Tree {
		d.offer.Kind = wire.KindTree
	}
	d.content = content.OfOne(content.File{Size: g.Size, Checksum: g.Checksum})
	d.result.Size, d.result.Checksum = g.Size, g.Checksum
	return d
}

// isAgreed reports whether the vote has chosen the file.
func (d *download) isAgreed() bool { return d.content != nil }

// good returns the bytes known to be good, missing all others.
func (d *download) good() int64    { return d.result.Fetched + d.result.Resumed }
func (d *download) missing() int64 { return d.size() - d.good() }

// size returns the bytes of what is fetched; 0 before the vote.
func (d *download) size() int64 {
	if d.content == nil {
		return 0
	}
	return d.content.Size()
}

// complete reports whether every chunk is good.
func (d *download) complete() bool { return d.schedule != nil && d.schedule.Done() }

// wanted reports whether bytes are wanted that no server has sent.
func (d *download) wanted() bool {
	switch {
	case d.asking != nil:
		return true
	case d.schedule == nil, d.schedule.Done():
		return false
	}
	// Chunks that are being checked, or that a stream has no room for, are
	// not wanted yet.
	return d.schedule.Queued() > 0 || len(d.fetches) > 0
}

// finish completes the result of a run that has ended.
func (s *Session) finish() *Result {
	d := s.download
	s.drop(d)
	for _, f := range d.fetches { // joined, but the loop no longer hears of them
		if s.loop.ending.left {
			break
		}
		d.tally.Duplicate += f.useless()
		if f.rest != nil {
			d.tally.Duplicate += f.rest.at
		}
		f.conn.fetches--
		f.server.conns.closeRetired(f.conn)
	}
	for _, rest := range d.partials {
		d.tally.Duplicate += rest.at
	}
	s.leaveHelpers()
	d.fetches, d.partials, d.job = make(map[int]*fetch), make(map[int]*partial), nil
	d.result.Duplicate, d.result.Refetched = d.tally.Duplicate, d.tally.Refetched
	d.result.Elapsed = time.Since(s.means.begun)
	d.result.Servers, d.result.Tree = s.reports(), d.treeReport()
	d.reportLacking(d.result.Servers)
	s.publish()
	return &d.result
}

// begin makes an empty schedule whose chunks go into store. Mirrors may take
// part from now on, except where a listing is fetched, which they do not have.
func (s *Session) begin(store chunkStore) {
	d := s.download
	if !d.tally.lists {
		s.askMirrors()
	}
	d.schedule = schedule.New(schedule.Config{Content: d.content, Limit: s.servers.Limit})
	d.job = s.newJob(d, d.post, store, s.gotChunk)
	if s.watch.Map {
		d.result.Map = make(ChunkMap, d.content.Chunks())
	}
}

// newJob returns the job of a download whose chunks go into store. good runs in
// the loop, to which post leads.
func (s *Session) newJob(d *download, post func(func()), store chunkStore, good func(v *server, chunk int)) *job {
	var values chunkValues = fileValues{d.values}
	switch {
	case d.whole != nil:
		values = takenValues{d.values}
	case d.tree != nil:
		values = newTreeValues(d.content, s.means.tellers.now)
	}
	return &job{
		means: s.means, content: d.content, values: values, store: store,
		good: func(server, chunk int) {
			values.good(chunk)
			post(func() { good(s.roster.servers[server], chunk) })
		},
	}
}

// fetchQueued fetches what is in the schedule's queue, and what is added, until
// done holds.
func (s *Session) fetchQueued(done func() bool) error {
	now := time.Now()
	s.download.flow.meter.Start(meterTime, now)
	s.growth = growth.New(growth.Config{Fixed: s.servers.Connections, MaxTotal: s.means.conns})
	for _, v := range s.roster.byRank() {
		s.joinSchedule(v, now)
	}
	s.adopt(now)
	s.noteTellers()
	s.dispatch(now)
	return s.loop.until(done)
}

// joinSchedule adds a server to the schedule.
func (s *Session) joinSchedule(v *server, now time.Time) {
	s.download.joinedAnew(v)
	s.download.schedule.Join(v.index, v.conns.minRTT(), s.download.since(v, now))
	s.growth.Join(v.index)
	s.joinCarrier(v, now)
	s.connsChanged(v)
}

// leaveSchedule removes a server and its ranges from the schedule.
func (s *Session) leaveSchedule(v *server) {
	d := s.download
	if d.schedule == nil {
		return
	}
	d.schedule.Leave(v.index)
	s.growth.Leave(v.index)
	s.roster.carrier.Leave(v.index)
	v.conns.endTry()
	d.cancelAll(v)
}

// cancelAll ends the ranges of a server.
func (d *download) cancelAll(v *server) {
	for _, f := range d.fetches {
		if f.server == v {
			f.cancel()
		}
	}
}

// dispatch carries out what the schedule wants now.
func (s *Session) dispatch(now time.Time) {
	d := s.download
	if d.schedule == nil || s.loop.fatal != nil || d.over {
		return
	}
	for _, v := range s.roster.servers {
		d.schedule.Connections(v.index, v.conns.active(), v.conns.idle())
	}
	a := d.schedule.Plan(now)
	for _, id := range a.Cancel {
		if f := d.fetches[id]; f != nil {
			s.explain(Cancelled, f, f.First, f.Count)
			f.cancel()
		}
	}
	for _, r := range a.Shrink {
		if f := d.fetches[r.ID]; f != nil {
			s.explain(Moved, f, f.First+r.Count, int(f.end.Load())-f.First-r.Count)
			f.end.Store(int64(f.First + r.Count))
		}
	}
	for _, r := range a.Fetch {
		s.start(r, now)
	}
	for _, v := range s.roster.servers {
		s.helpItself(v)
	}
}

// start begins to fetch a range.
func (s *Session) start(r schedule.Range, now time.Time) {
	d := s.download
	v := s.roster.servers[r.Server]
	if v.conns.pick() == nil {
		d.schedule.End(r.ID)
		return
	}
	if r.Second {
		d.result.Map.flag(r.First, markTwice)
	}
	f := s.prepare(d.ctx, d.job, r, now)
	f.resume = d.takePartials(r)
	if how := d.schedule.Parts(r.ID); how.Len > 0 && !r.Second && f.way.Traits().Ranges == 0 {
		f.parted = newPartedBody(f.ctx, f.way, f.spans()[0], how)
	}
	d.fetches[r.ID] = f
	if r.Second {
		s.explain(Second, f, r.First, r.Count)
	}
	run, post := f.rangeRun, d.post
	ended := func(err error) { post(func() { s.ended(f, err) }) }
	d.beside(func() { ended(run.fetch()) })
}

// prepare returns the fetch of a range on one of its server's connections. It
// ends with ctx.
func (s *Session) prepare(ctx context.Context, j *job, r schedule.Range, now time.Time) *fetch {
	v := s.roster.servers[r.Server]
	conn := v.conns.pick()
	conn.fetches++
	v.share.totals.Asked++
	ctx, cancel := context.WithCancel(ctx)
	run := &rangeRun{job: j, ctx: ctx, Range: r, way: conn.way}
	run.end.Store(int64(r.First + r.Count))
	run.heard.Store(int64(now.Sub(s.means.begun)))
	run.waiting.Store(true)
	return &fetch{rangeRun: run, server: v, conn: conn, cancel: cancel}
}

// A fetch is one range under way. It belongs to the loop, except its rangeRun,
// which names its owners.
type fetch struct {
	*rangeRun
	server  *server
	conn    *connection
	cancel  context.CancelFunc // ends a range that is no longer wanted
	sampled int64              // arrived at the last sample
	over    bool               // it has ended, with err, before there was a schedule
	err     error
}

// takePartials returns what there is of a range's first chunk, if its server
// may continue it. What there is of the range's other chunks is given up.
func (d *download) takePartials(r schedule.Range) (first *partial) {
	if len(d.partials) == 0 {
		return nil
	}
	for c := r.First; c < r.First+r.Count; c++ {
		rest := d.partials[c]
		if rest == nil {
			continue
		}
		delete(d.partials, c)
		if c == r.First && rest.server == r.Server {
			first = rest
		} else {
			d.giveUp(rest)
		}
	}
	return first
}

// giveUp drops a partial chunk: its bytes were wasted.
func (d *download) giveUp(rest *partial) {
	d.tally.Duplicate += rest.at
	rest.claim.Release()
}

// keepPartial keeps the partial chunk of a fetch that has ended, if it can be
// of use.
func (d *download) keepPartial(f *fetch) {
	rest, v := f.rest, f.server
	switch {
	case rest == nil:
	case (v.state == StateServing || v.state == StateLost) && !v.trouble.judging && !d.job.store.Marked(rest.chunk):
		d.partials[rest.chunk] = rest
	default:
		d.giveUp(rest)
	}
}

// measure counts, at each tick, what has arrived.
func (s *Session) measure(now time.Time) {
	d := s.download
	for _, v := range s.roster.servers {
		if v.state == StateServing {
			d.schedule.Sample(v.index, v.share.arrived-v.share.sampled, v.conns.minRTT(), now)
		}
		v.share.sampled = v.share.arrived
	}
	d.flow.meter.Add(d.flow.arrived, now)
	d.flow.arrived = 0
}

// count returns the bytes that a fetch has read since the last call, and adds
// them to its server's.
func (d *download) count(f *fetch) int64 {
	n := f.arrived.Load() - f.sampled
	f.sampled += n
	f.server.share.arrived += n
	f.server.share.totals.arrived(f.conn.over, n)
	f.server.came(f.conn, n)
	d.flow.arrived += n
	return n
}

// ended runs in the loop when a fetch is over. err is nil when all of its
// chunks are good.
func (s *Session) ended(f *fetch, err error) {
	d, v, now := s.download, f.server, time.Now()
	cancelled := f.ctx.Err() != nil
	f.cancel()
	d.schedule.Arrived(f.ID, d.count(f), now)
	delete(d.fetches, f.ID)
	f.conn.fetches--
	v.conns.closeRetired(f.conn)
	d.keepPartial(f)
	useless := f.useless()
	again := d.refetch(f, err, useless)
	d.tally.Refetched += again
	d.tally.Duplicate += useless - again
	d.schedule.End(f.ID)
	wrong, isWrong := errors.AsType[*wrongChunkError](err)
	_, disk := errors.AsType[*partfile.Error](err)
	lack, isLacking := errors.AsType[*lacking](err)
	switch {
	case err == nil:
	case isLacking:
		s.lacks(v, lack)
	case disk:
		s.loop.fail(err)
	case cancelled, errors.Is(err, partfile.ErrNotOwner): // others were faster
	case isWrong:
		s.refused(v, f.conn, wrong.chunk)
	case f.conn.unproved && !f.conn.ended():
		s.furtherRefused(v, f.conn, err, now)
	case blame(err) != StateLost:
		s.leave(v, blame(err), err)
	case f.conn.ended():
		s.connDown(v, f.conn.way, f.conn.way.Err())
	default:
		s.backOff(v, err, now)
	}
	s.dispatch(now)
}

// backOff pauses a server whose range ended early without wrong bytes. If that
// goes on, it gives the server up.
func (s *Session) backOff(v *server, err error, now time.Time) {
	v.trouble.failed = err
	pause, lost := s.presence.Failed(v.index)
	if lost {
		s.leave(v, StateLost, err)
		return
	}
	pause = max(pause, away(err, s.servers.Patience))
	s.download.tally.Retried++
	v.share.totals.Retried++
	s.emit(Decision{What: Retried, Target: v.target, Pause: pause, Err: err})
	s.download.schedule.Pause(v.index, now.Add(pause))
}

// gotChunk runs in the loop when a chunk is good.
func (s *Session) gotChunk(v *server, chunk int) {
	d := s.download
	n := d.content.Length(chunk, 1)
	d.schedule.Good(chunk)
	d.tally.files.good(chunk)
	d.result.Map.delivered(chunk, v.index)
	v.share.bytes += n
	if s.presence.Good(v.index) {
		s.emit(Back{Target: v.target})
	}
	d.result.Fetched += n
}

// refetch returns how many of a fetch's useless bytes must be fetched again
// because they were wrong. That is the chunk's bytes, unless another fetch has
// the chunk.
func (d *download) refetch(f *fetch, err error, useless int64) int64 {
	wrong, ok := errors.AsType[*wrongChunkError](err)
	if !ok || f.Second {
		return 0
	}
	for _, other := range d.fetches {
		if other != f && other.First <= wrong.chunk && wrong.chunk < other.First+other.Count {
			return 0
		}
	}
	return min(d.content.Length(wrong.chunk, 1), useless)
}

// refused runs in the loop when a server's chunk was wrong. The server gets no
// more work. It is asked once more what it offers, which tells a lie from a
// change.
func (s *Session) refused(v *server, c *connection, chunk int) {
	d := s.download
	v.share.bad++
	d.tally.Refused++
	d.result.Map.flag(chunk, markRefused)
	if v.trouble.judging || v.state != StateServing {
		return
	}
	v.trouble.judging = true
	d.schedule.Leave(v.index)
	d.cancelAll(v)
	if inUse := v.conns.pick(); inUse != nil {
		c = inUse
	}
	way, ctx, offer, ask, post := c.way, d.ctx, v.offer, s.askNow(v), d.post
	place := d.content.Place(chunk)
	checksum := d.content.File(place.File).Checksum
	judged := func(changed bool) { post(func() { s.judged(v, chunk, changed) }) }
	d.beside(func() {
		changed := offersElse(ctx, way, ask, offer)
		if !changed {
			way.Recheck(ctx, checksum, place.Chunk)
		}
		judged(changed)
	})
}
