package schedule

import "time"

// Actions are what [Schedule.Plan] wants done.
type Actions struct {
	Fetch  []Range // ask for these, each on a stream of its own
	Cancel []int   // end the streams of these ranges; End must follow for each
}

// Plan returns what to do now. Ranges in it count as under way from here on.
// It is called after every change of the state and at least every second.
// Equal calls in equal order have equal results.
func (s *Schedule) Plan(now time.Time) Actions {
	o := s.survey(now)
	a := Actions{Cancel: s.stalls(o)}
	a.Fetch = s.round(a.Fetch, o, idleServers)
	for given := -1; given < len(a.Fetch); {
		given = len(a.Fetch)
		a.Fetch = s.round(a.Fetch, o, allServers)
	}
	return a
}

// Who takes part in a round.
const (
	idleServers = true
	allServers  = false
)

// round lets servers that want work have one range each, beginning behind the
// one that got the last range, and appends these ranges to fetch.
func (s *Schedule) round(fetch []Range, o outlook, idle bool) []Range {
	if s.queued == 0 {
		return fetch
	}
	f := forecast{s: s, now: o.now}
	start := s.turn
	for i := range s.order {
		at := (start + i) % len(s.order)
		v := s.order[at]
		if idle && len(v.ranges) > 0 {
			continue
		}
		first := s.missing.first()
		if first < 0 {
			break
		}
		if s.wants(v, o, &f, s.length(first)) {
			fetch = append(fetch, s.take(v, first, o))
			s.turn = at + 1
		}
	}
	return fetch
}

// wants reports whether a server should be asked for more; length is that of
// the chunk at the front of the queue.
func (s *Schedule) wants(v *server, o outlook, f *forecast, length int64) bool {
	switch {
	case v.resting(o.now):
		return false
	case v.pause > 0:
		return len(v.ranges) == 0 && s.mayProbe(v, o)
	case len(v.ranges) > 0 && !s.wantsAhead(v, length):
		return false
	}
	return !f.tooSlow(v)
}

// wantsAhead reports whether a server that has ranges under way should have a
// further one.
func (s *Schedule) wantsAhead(v *server, length int64) bool {
	switch {
	case !v.sent || len(v.ranges) >= MaxStreams || len(s.ranges) >= MaxStreamsTotal:
		return false
	case s.cfg.Limit > 0 && s.owed+length > s.ahead():
		return false
	case len(v.ranges) < MinStreams:
		return true
	}
	bandwidthDelay := 2 * v.rate.Rate() * v.rtt.Seconds()
	return float64(v.owed) < max(bandwidthDelay, float64(s.cfg.ChunkSize))
}

// take hands a range to a server that begins with the chunk first, the front
// of the queue.
func (s *Schedule) take(v *server, first int, o outlook) Range {
	s.lastID++
	r := &rangeState{Range: Range{ID: s.lastID, Server: v.id, First: first}, by: v}
	budget := s.rangeLen(v, o)
	for c := first; c < s.cfg.Chunks && s.chunks[c] == missing; c++ {
		n := s.length(c)
		if r.Count > 0 && r.owed+n > budget {
			break
		}
		s.chunks[c] = underway
		s.missing.remove(c)
		r.Count++
		r.owed += n
	}
	if v.owed == 0 {
		v.heard = later(v.heard, o.now)
	}
	s.queued -= r.owed
	v.owed += r.owed
	s.owed += r.owed
	v.ranges = append(v.ranges, r)
	s.ranges[r.ID] = r
	return r.Range
}

// rangeLen returns how many bytes a server's next range may have; a range of
// one chunk is always allowed.
func (s *Schedule) rangeLen(v *server, o outlook) int64 {
	rate := v.rate.Rate()
	if rate == 0 || v.pause > 0 {
		return 0
	}
	share := float64(s.queued) * rate / max(o.rate, rate) / 2
	n := int64(min(rate*rangeTime.Seconds(), share, MaxRangeLen))
	if s.cfg.Limit > 0 {
		n = min(n, s.ahead()-s.owed)
	}
	return n
}

// ahead returns how many bytes may be under way with a limited rate.
func (s *Schedule) ahead() int64 {
	return int64(float64(s.cfg.Limit) * limitAhead.Seconds())
}
