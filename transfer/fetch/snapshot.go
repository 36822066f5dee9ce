package fetch

import (
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
)

// A Snapshot is the state of a session at one time. It does not change.
type Snapshot struct {
	Taken   time.Time // the time
	Phase   Phase
	Size    int64         // of the file, or of a directory's files, those of the same bytes once; 0 before the vote
	Good    int64         // bytes that are known to be good
	Resumed int64         // of these, from an earlier run
	Rate    float64       // bytes a second, smoothed over about three seconds
	Left    time.Duration // time to the end; negative: not known
	Tree    TreeReport
	Counts  Counts
	Servers []ServerReport
	Session Totals
	Preparing
	Requests
	Map ChunkMap // nil: not asked for
}

// Preparing is what is done before bytes are fetched, or beside that.
type Preparing struct {
	Checked  int64 // bytes of an earlier run checked so far
	Check    int64 // bytes of an earlier run to check
	Reserved int64 // bytes of the file's space that are reserved, in PhaseReserving
}

// Requests are the bytes that servers are asked for, and those not asked for
// yet.
type Requests struct {
	Queued int64         // bytes not asked of any server yet
	Ranges []RangeReport // under way
}

// Counts are failures and waste, since the session began or the file was agreed
// on.
type Counts struct {
	Retried   int64 // ranges that ended early and were asked for again
	Refused   int64 // chunks that were refused
	Duplicate int64 // bytes of second copies, and of what was cancelled
	Refetched int64 // bytes that had to be fetched again
}

// A ServerReport is one server's part in a session.
type ServerReport struct {
	Target    source.Target
	ID        certs.ServerID // zero before it has proved one
	State     State
	Transport source.Transport // of its connection, or of the last one; 0: it had none
	Bytes     int64            // of chunks that were found good
	Arrived   int64            // bytes of ranges, good or not
	BadChunks int              // chunks that were refused
	Rate      float64          // bytes a second, smoothed; 0 when it does not take part
	RTT       time.Duration    // smoothed round trip; 0 without a connection
	Conns     int              // connections, while it takes part
	Indexing  float64          // 0 to 1 while State is StateIndexing
	Err       error            // why it does not take part; nil when it does
	// Lacked are the paths of files of the tree that it did not have when
	// it was asked for them, in order. Only a Result has them.
	Lacked []string
	ServerTotals
}

// A RangeReport is a range under way.
type RangeReport struct {
	Server       int // its place in Snapshot.Servers
	First, Count int // chunks
	Bytes        int64
	Arrived      int64 // of these
	Second       bool  // a second copy of what another server has begun
}

// Snapshot returns the session's state, at most a tenth of a second old. Any
// goroutine may call it at any time, also when the session is closed. It never
// waits.
func (s *Session) Snapshot() Snapshot { return *s.status.Load() }

// publish makes the state now what Snapshot returns.
func (s *Session) publish() {
	d := s.download
	p := Snapshot{
		Taken:    time.Now(),
		Phase:    s.phase(),
		Size:     d.size(),
		Good:     d.good(),
		Resumed:  d.result.Resumed,
		Rate:     d.flow.meter.Rate(),
		Left:     -1,
		Counts:   d.tally.Counts,
		Servers:  s.reports(),
		Tree:     d.treeReport(),
		Session:  s.totals(),
		Requests: Requests{Ranges: d.ranges()},
		Map:      slices.Clone(d.result.Map),
	}
	p.Preparing = Preparing{Checked: d.checks.checked, Check: d.checks.toCheck, Reserved: d.space.done}
	if d.schedule != nil {
		p.Queued = d.schedule.Queued()
	}
	if d.checks.hashed != nil {
		p.Checked = d.checks.hashed.Load()
	}
	// What is still being checked is not known to be missing.
	if missing := p.Size - p.Good - max(0, p.Check-p.Checked); p.Rate > 0 && d.schedule != nil && missing > 0 {
		p.Left = time.Duration(float64(missing) / p.Rate * float64(time.Second))
	}
	s.status.Store(&p)
}

func (d *download) ranges() []RangeReport {
	list := make([]RangeReport, 0, len(d.fetches))
	for _, f := range d.fetches {
		length := d.content.Length(f.First, f.Count)
		list = append(list, RangeReport{
			Server: f.Server, First: f.First, Count: f.Count, Bytes: length, Arrived: f.arrived.Load(), Second: f.Second,
		})
	}
	return list
}

// A reservation is how far the space of the part file is reserved.
type reservation struct {
	since time.Time // zero: it has not begun
	done  int64     // bytes
}

func (r *reservation) reached(done int64, now time.Time) {
	if r.since.IsZero() {
		r.since = now
	}
	r.done = done
}

// isSlow reports whether the user should be told of it.
func (r *reservation) isSlow(now time.Time) bool {
	return !r.since.IsZero() && now.Sub(r.since) >= time.Second
}

func (s *Session) phase() Phase {
	d := s.download
	switch {
	case !d.isAgreed():
		return PhaseAsking
	case d.schedule == nil && d.space.isSlow(time.Now()):
		return PhaseReserving
	case d.schedule == nil, d.tally.lists:
		return PhasePreparing
	case d.tally.streams:
		return PhaseFetching
	case d.schedule.Done() && d.checks.hashed != nil:
		return PhaseReadingBack
	case d.schedule.Done():
		return PhaseFinishing
	}
	return PhaseFetching
}

func (s *Session) reports() []ServerReport {
	reports := make([]ServerReport, len(s.roster.servers))
	for i, v := range s.roster.servers {
		reports[i] = v.report()
		if v.state == StateServing && len(v.conns.list) > 0 && s.download.schedule != nil {
			reports[i].Rate = s.download.schedule.Rate(v.index)
		}
	}
	return reports
}
