package metrics

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"malcolm/transfer/fetch"
	"malcolm/transfer/pace"
	"malcolm/transfer/source"
)

var (
	getReceived   = counter("get_received_bytes_total", "Bytes of ranges that came, right or not.", "source", "transport")
	getGood       = counter("get_good_bytes_total", "Bytes of chunks that were proved right.", "source")
	getAsked      = counter("get_range_requests_total", "Ranges that were asked for.", "source")
	getRetried    = counter("get_retries_total", "Of these, ranges that ended early and were asked for again.", "source")
	getWrong      = counter("get_wrong_chunks_total", "Chunks that differ from the majority's.", "source")
	getHandshakes = counter("get_handshakes_total", "Connections that were made.", "source")
	getLosses     = counter("get_losses_total", "Times that the source took part and was lost.", "source")
	getServing    = gauge("get_source_serving", "Whether the source takes part.", "source")
	getConns      = gauge("get_connections", "Connections now.", "source")
	getRate       = gauge("get_rate_bytes_per_second", "Smoothed rate, used to plan ranges.", "source")
	getTrip       = gauge("get_round_trip_seconds", "Smoothed round trip; 0 without a connection.", "source")
	getSources    = gauge("get_sources", "Sources by their state.", "state")

	getVotes    = counter("get_votes_total", "Votes that were closed.", "result")
	getVoteTime = counter("get_vote_seconds_total", "Time until votes were closed.")
	getGroups   = gauge("get_vote_groups", "Different files or directories that were offered in the last vote.")
	getMost     = gauge("get_vote_majority_votes", "Votes of the majority in the last vote.")
	getAll      = gauge("get_vote_all_votes", "All votes in the last vote.")

	getWasted      = counter("get_wasted_bytes_total", "Bytes that came to nothing.", "reason")
	getWrites      = histogram("get_disk_write_seconds", "Writes of up to 128 KiB to the unfinished file.")
	getCheckpoints = histogram("get_checkpoint_seconds", "Times that the unfinished file was made durable.")

	getPhase     = gauge("get_phase", "How many files or directories are in each phase.", "phase")
	getSize      = gauge("get_size_bytes", "Size of what is copied; 0 before the vote.")
	getDone      = gauge("get_done_bytes", "Of this, bytes that are proved right.")
	getResumed   = gauge("get_resumed_bytes", "Of these, bytes from an earlier run.")
	getQueued    = gauge("get_queued_bytes", "Bytes that no source was asked for yet.")
	getRanges    = gauge("get_ranges", "Ranges under way.")
	getFiles     = gauge("get_files", "Files of a directory.")
	getFilesDone = gauge("get_done_files", "Of these, files of which all bytes are right.")
)

// phases are the values of phase, by number.
var phases = [...]string{
	fetch.PhaseAsking: "asking", fetch.PhasePreparing: "preparing", fetch.PhaseReserving: "reserving",
	fetch.PhaseFetching: "fetching", fetch.PhaseReadingBack: "reading_back", fetch.PhaseFinishing: "finishing",
}

// states are the values of state, by number.
var states = [...]string{
	fetch.StateConnecting: "connecting", fetch.StateIndexing: "indexing", fetch.StateFull: "full",
	fetch.StateAnswered: "answered", fetch.StateServing: "serving", fetch.StateNotReached: "not_reached",
	fetch.StateRefused: "refused", fetch.StateDuplicate: "duplicate", fetch.StateLeftOut: "left_out",
	fetch.StateLost: "lost", fetch.StateChanged: "changed", fetch.StateWrong: "wrong",
}

// frozenTime is how old a session's snapshot may be before its loop counts as
// stuck. A running loop makes one every tenth of a second.
const frozenTime = 10 * time.Second

// sessions collects what sessions over sources do, ended ones included. Any
// goroutine may call its methods.
type sessions struct {
	mu    sync.Mutex
	names names
	live  map[*session]bool
	past  tally // of those that have ended
	ready bool  // the last one that ended had come so far
}

// A session is one that runs.
type session struct{ snapshot func() fetch.Snapshot }

func newSessions() *sessions {
	return &sessions{names: make(names), live: make(map[*session]bool), past: newTally()}
}

// watch collects from a session until release is called, once, after its end.
func (c *sessions) watch(snapshot func() fetch.Snapshot) (release func()) {
	s := &session{snapshot}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live[s] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		last := snapshot()
		delete(c.live, s)
		c.past.count(&last, c.names)
		c.past.now.copied.add(&last)
		c.ready = last.Phase > fetch.PhaseAsking
	}
}

// alive reports whether the loops of all sessions run.
func (c *sessions) alive() (ok bool, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.live {
		if age := time.Since(s.snapshot().Taken); age > frozenTime {
			return false, "no progress of the main loop for " + age.Truncate(time.Second).String()
		}
	}
	return true, ""
}

// isReady reports whether the vote of a session is over.
func (c *sessions) isReady() (ok bool, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.live {
		if s.snapshot().Phase > fetch.PhaseAsking {
			return true, ""
		}
	}
	if len(c.live) > 0 {
		return false, "voting"
	}
	return c.ready, "starting"
}

func (*sessions) Describe(ch chan<- *prometheus.Desc) { describe(ch, "get_") }

func (c *sessions) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	sum := c.past.clone()
	for s := range c.live {
		now := s.snapshot()
		sum.count(&now, c.names)
		sum.gauge(&now, c.names)
	}
	c.mu.Unlock()
	sum.emit(ch)
}

// A tally is the sum over sessions.
type tally struct {
	sources map[string]*sourceTally // by label
	order   []string
	totals  fetch.Totals
	now     gauges // of those that have ended, only what they copied
}

// A sourceTally is the sum over the sources that have one label.
type sourceTally struct {
	fetch.ServerTotals
	good, wrong int64
	mirror      bool

	serving   bool
	conns     int
	rate      float64
	roundTrip time.Duration // the longest
}

// gauges are the sums over sessions of what may fall.
type gauges struct {
	states         [len(states)]int64
	phases         [len(phases)]int64
	queued, ranges int64
	copied
}

// copied is what sessions copy. It stays when one ends.
type copied struct{ size, done, resumed, files, filesDone int64 }

func (c *copied) add(p *fetch.Snapshot) {
	c.size += p.Size
	c.done += p.Good
	c.resumed += p.Resumed
	c.files += int64(p.Tree.Totals.Files)
	c.filesDone += int64(p.Tree.FilesDone)
}

func newTally() tally { return tally{sources: make(map[string]*sourceTally)} }

func (t *tally) clone() tally {
	c := newTally()
	c.order, c.totals, c.now = append(c.order, t.order...), t.totals, t.now
	for name, s := range t.sources {
		own := *s
		c.sources[name] = &own
	}
	return c
}

func (t *tally) source(target source.Target, n names) *sourceTally {
	name := n.of(nameOf(target))
	s := t.sources[name]
	if s == nil {
		s = &sourceTally{mirror: target.URL != "" && name != others}
		t.sources[name] = s
		t.order = append(t.order, name)
	}
	return s
}

// nameOf returns the label of a source: what the user typed, without what DNS
// made of it.
func nameOf(t source.Target) string {
	switch {
	case t.Service != "":
		t.Host = "" // all servers of an SRV name have its label
	case t.Name != "":
		t.Host = t.Name
	}
	return strings.ToValidUTF8(t.String(), "?")
}

// count adds what never falls.
func (t *tally) count(p *fetch.Snapshot, n names) {
	for i := range p.Servers {
		r := &p.Servers[i]
		s := t.source(r.Target, n)
		s.Connected += r.Connected
		s.Losses += r.Losses
		s.Asked += r.Asked
		s.Retried += r.Retried
		for over, bytes := range r.Over {
			s.Over[over] += bytes
		}
		s.good += r.Bytes
		s.wrong += int64(r.BadChunks)
	}
	a, b := &t.totals, &p.Session
	a.Duplicate += b.Duplicate
	a.Refetched += b.Refetched
	a.Votes.Decided += b.Votes.Decided
	a.Votes.Undecided += b.Votes.Undecided
	a.Votes.Took += b.Votes.Took
	if b.Votes.Decided > 0 {
		a.Votes.Groups, a.Votes.Most, a.Votes.All = b.Votes.Groups, b.Votes.Most, b.Votes.All
	}
	addSpread(&a.Writes, b.Writes)
	addSpread(&a.Checkpoints, b.Checkpoints)
}

func addSpread(to *pace.Spread, s pace.Spread) {
	to.Sum += s.Sum
	for i, n := range s.Slots {
		to.Slots[i] += n
	}
}

// gauge adds how things stand.
func (t *tally) gauge(p *fetch.Snapshot, n names) {
	for i := range p.Servers {
		r := &p.Servers[i]
		s := t.source(r.Target, n)
		s.serving = s.serving || r.State == fetch.StateServing
		s.conns += r.Conns
		s.rate += r.Rate
		s.roundTrip = max(s.roundTrip, r.RTT)
		t.now.states[r.State]++
	}
	g := &t.now
	g.phases[p.Phase]++
	g.queued += p.Queued
	g.ranges += int64(len(p.Ranges))
	g.copied.add(p)
}

func (t *tally) emit(ch chan<- prometheus.Metric) {
	e := emitter(ch)
	for _, name := range t.order {
		t.sources[name].emit(e, name)
	}
	v := t.totals.Votes
	e.count(getVotes, v.Decided, "decided")
	e.count(getVotes, v.Undecided, "undecided")
	e.of(getVoteTime, v.Took.Seconds())
	e.count(getGroups, int64(v.Groups))
	e.count(getMost, int64(v.Most))
	e.count(getAll, int64(v.All))
	e.count(getWasted, t.totals.Duplicate, "duplicate")
	e.count(getWasted, t.totals.Refetched, "refetched")
	e.spread(getWrites, t.totals.Writes)
	e.spread(getCheckpoints, t.totals.Checkpoints)
	t.now.emit(e)
}

func (g *gauges) emit(e emitter) {
	for i, n := range g.states {
		e.count(getSources, n, states[i])
	}
	for i, n := range g.phases {
		e.count(getPhase, n, phases[i])
	}
	e.count(getSize, g.size)
	e.count(getDone, g.done)
	e.count(getResumed, g.resumed)
	e.count(getQueued, g.queued)
	e.count(getRanges, g.ranges)
	e.count(getFiles, g.files)
	e.count(getFilesDone, g.filesDone)
}

func (s *sourceTally) emit(e emitter, name string) {
	for over, bytes := range s.Over {
		switch label := source.Transport(over).String(); {
		case s.mirror && over == 0:
			e.count(getReceived, bytes, name, "https")
		case s.mirror && bytes == 0:
		case over > 0:
			e.count(getReceived, bytes, name, label)
		case bytes > 0:
			e.count(getReceived, bytes, name, "other")
		}
	}
	e.count(getGood, s.good, name)
	e.count(getAsked, s.Asked, name)
	e.count(getRetried, s.Retried, name)
	e.count(getWrong, s.wrong, name)
	e.count(getHandshakes, s.Connected, name)
	e.count(getLosses, s.Losses, name)
	e.flag(getServing, s.serving, name)
	e.count(getConns, int64(s.conns), name)
	e.of(getRate, s.rate, name)
	e.of(getTrip, s.roundTrip.Seconds(), name)
}
