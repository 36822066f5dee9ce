package serve

import (
	"slices"
	"time"

	"malcolm/transport"
	"malcolm/wire"
)

const (
	// mostTrips is how many round trips a loss is ranked among. A look
	// takes one if it has changed, so they are those of 1 to 7 s.
	mostTrips = 256
	// floorTime is the time over which the least round trip counts, at
	// least; twice that at most. A route may change.
	floorTime = time.Minute
	// lateRTTs are the round trips whose percentiles are reported.
	lateRTTs = 4
)

// A sampler makes path reports of what the sending side of a connection counts.
// It is pure: its owner looks at the connection. The zero sampler is ready.
type sampler struct {
	first  transport.Stats // at the first look
	looked bool
	trips  []trip // the newest last
	floors [2]time.Duration
	turned time.Time // when floors[0] began
	report wire.PathReport
}

// A trip is a round trip as it was measured last at a look.
type trip struct {
	at   time.Time
	took time.Duration
}

// look takes what is counted now. Call it every few milliseconds.
func (s *sampler) look(now time.Time, v transport.Stats) {
	if !s.looked {
		s.first, s.looked, s.turned = v, true, now
	}
	if took := v.LatestRTT; took > 0 {
		s.take(trip{now, took})
	}
	lost := max(v.PacketsLost, s.first.PacketsLost) - s.first.PacketsLost
	if lost > s.report.Lost {
		s.report.Events++
		s.report.Ranks += s.rank(v.LatestRTT)
	}
	s.report.Lost = max(lost, s.report.Lost)
	s.report.Sent = max(v.PacketsSent-s.first.PacketsSent, s.report.Lost)
	s.report.Window, s.report.SmoothedRTT = v.Window, inReport(v.SmoothedRTT)
}

// take takes a round trip if it is another one than the last.
func (s *sampler) take(t trip) {
	if n := len(s.trips); n == 0 || s.trips[n-1].took != t.took {
		if n == mostTrips {
			s.trips = slices.Delete(s.trips, 0, 1)
		}
		s.trips = append(s.trips, t)
	}
	if t.at.Sub(s.turned) >= floorTime {
		s.floors, s.turned = [2]time.Duration{t.took, s.floors[0]}, t.at
	}
	if s.floors[0] == 0 || t.took < s.floors[0] {
		s.floors[0] = t.took
	}
}

// rank returns the share of round trips that were shorter, per mille.
func (s *sampler) rank(took time.Duration) uint64 {
	if len(s.trips) == 0 {
		return 0
	}
	shorter := 0
	for _, t := range s.trips {
		if t.took < took {
			shorter++
		}
	}
	return uint64(shorter * wire.MaxRank / len(s.trips))
}

// floor returns the least round trip of late; 0: none was measured.
func (s *sampler) floor() time.Duration {
	if last := s.floors[1]; last > 0 {
		return min(s.floors[0], last)
	}
	return s.floors[0]
}

// reported returns the report at a time.
func (s *sampler) reported(now time.Time) wire.PathReport {
	r := s.report
	if len(s.trips) == 0 {
		return r
	}
	since := now.Add(-lateRTTs * max(r.SmoothedRTT, s.floor()))
	late := []time.Duration{s.trips[len(s.trips)-1].took}
	for i := len(s.trips) - 2; i >= 0 && s.trips[i].at.After(since); i-- {
		late = append(late, s.trips[i].took)
	}
	slices.Sort(late)
	r.MinRTT, r.LowRTT, r.HighRTT = inReport(s.floor()), inReport(late[len(late)/10]), inReport(late[len(late)*9/10])
	return r
}

// inReport returns a round trip as a report can say it.
func inReport(rtt time.Duration) time.Duration {
	return min(rtt.Truncate(time.Microsecond), wire.MaxRTT)
}
