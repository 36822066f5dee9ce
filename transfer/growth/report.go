package growth

import "time"

// An overflow is a report with more than overflowLost packets lost and more
// than overflowShare of those sent. A queue that runs over loses many packets
// at once, for which NewReno pays once. Counted one by one they would look like
// a very bad path.
const (
	overflowLost  = 8
	overflowShare = 0.1
)

// mostPackets bounds what a report may add to a counter: more than a 100 Gbit/s
// sender sends in a tenth of a second.
const mostPackets = 1e6

// A Report is what a server's sender says of one connection. The counters never
// fall.
type Report struct {
	Sent, Lost          uint64 // packets
	Events              uint64 // losses, however many packets each time
	Ranks               uint64 // sum of their ranks, 0 to 1000 each
	Window              uint64 // congestion window now, in bytes
	MinRTT, SmoothedRTT time.Duration
	LowRTT, HighRTT     time.Duration // 10th and 90th percentile of the last few round trips
}

// A path is what was last reported of a connection.
type path struct {
	Report
	fresh bool      // reported since the last step
	heard time.Time // the step after the last report
}

// sums count over all connections to a server, closed ones too. They never
// fall.
type sums struct {
	came       float64 // bytes
	sent, lost float64 // packets, without those of overflows
	events     float64
	ranks      float64 // sum over the events, 0 to 1 each
}

// Report says what the server's sender reports of a connection. The first
// report says where its counters begin.
func (g *Growth) Report(id, conn int, r Report) {
	s := g.servers[id]
	if s == nil {
		return
	}
	p := s.paths[conn]
	if p == nil { // what was before does not count
		s.paths[conn] = &path{Report: r, fresh: true}
		return
	}
	sent, lost := rise(p.Sent, r.Sent), rise(p.Lost, r.Lost)
	events := rise(p.Events, r.Events)
	if lost > overflowLost && lost > overflowShare*sent {
		s.overflow = true
	} else {
		s.sums.sent += sent
		s.sums.lost += lost
	}
	s.sums.events += events
	s.sums.ranks += min(rise(p.Ranks, r.Ranks)/1000, events)
	p.Report, p.fresh = r, true
}

// Closed says that a connection is closed, or that no more is reported of it.
func (g *Growth) Closed(id, conn int) {
	if s := g.servers[id]; s != nil {
		delete(s.paths, conn)
	}
}

// rise returns by how much a counter has risen.
func rise(from, to uint64) float64 {
	if to < from {
		return 0
	}
	return min(float64(to-from), mostPackets)
}

// floor returns the least round trip that the sender has seen; 0: not known.
func (s *server) floor() (least time.Duration) {
	for _, p := range s.paths {
		if r := p.MinRTT; r > 0 && (least == 0 || r < least) {
			least = r
		}
	}
	return min(least, mostRTT)
}

// roundTrip returns the least round trip, by the sender's measure where there
// is one; 0: not known.
func (s *server) roundTrip() time.Duration {
	if r := s.floor(); r > 0 {
		return r
	}
	return s.rtt
}
