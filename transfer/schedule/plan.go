package schedule

import (
	"math"
	"time"
)

// Actions are what [Schedule.Plan] wants done.
type Actions struct {
	// Fetch are ranges to ask for, each on a stream of its own.
	Fetch []Range
	// Shrink are ranges that end earlier than they were asked for: another
	// server was given their tail in Fetch, or it is in the queue again.
	Shrink []Shrink
	// Cancel are ranges whose streams are to be ended, as there is no use in
	// them any more; End must follow for each. Their servers are not to blame.
	Cancel []int
}

// A Shrink says that a range keeps only its first Count chunks, at least 1.
type Shrink struct{ ID, Count int }

// Plan returns what to do now. Ranges in it count as under way from here on.
// It is called after every change of the state and at least every second.
// Equal calls in equal order have equal results.
func (s *Schedule) Plan(now time.Time) Actions {
	a := Actions{Cancel: s.useless(now), Shrink: s.overlong(now)}
	o := s.survey(now)
	s.rounds(&a, o)
	if s.front(&a, o) {
		o = s.survey(now)
		s.rounds(&a, o)
	}
	s.endgame(&a, o)
	return a
}

// rounds hands out what is in the queue.
func (s *Schedule) rounds(a *Actions, o outlook) {
	a.Fetch = s.round(a.Fetch, o, idleServers)
	for given := -1; given < len(a.Fetch); {
		given = len(a.Fetch)
		a.Fetch = s.round(a.Fetch, o, allServers)
	}
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
	f := forecast{s: s, o: o}
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
	case v.resting(o.now), v.silent(o.now):
		return false
	case v.pause > 0:
		return len(v.ranges) == 0 && s.mayProbe(v, o)
	case len(v.ranges) > 0 && !s.wantsAhead(v, length):
		return false
	}
	return !f.tooSlow(v)
}

// wantsAhead reports whether a server that has ranges under way should have a
// further one; length is that of its first chunk.
func (s *Schedule) wantsAhead(v *server, length int64) bool {
	if !v.sent || !s.mayHaveMore(v) || s.cfg.Limit > 0 && s.owed+length > s.ahead() {
		return false
	}
	if v.connections == 1 {
		return len(v.ranges) < MinStreams || v.owed < s.enough(v)
	}
	if v.idle > 0 {
		return true
	}
	busy := 0
	for _, r := range v.ranges {
		if r.owed >= s.enough(v) {
			busy++
		}
	}
	return busy < v.connections
}

// mayHaveMore reports whether a server that has ranges under way may have one
// more by the bounds on their number.
func (s *Schedule) mayHaveMore(v *server) bool {
	most := MaxStreams
	switch {
	case v.connections > 1 && v.idle == 0:
		most = 2 * v.connections
	case v.connections > 1:
		most = max(most, 2*v.connections)
	}
	return len(v.ranges) < most && len(s.ranges) < MaxStreamsTotal
}

// enough returns how many bytes a connection owes that needs no further range
// yet.
func (s *Schedule) enough(v *server) int64 {
	return max(int64(math.Ceil(2*v.connectionRate()*v.rtt.Seconds())), s.cfg.ChunkSize)
}

func (v *server) connectionRate() float64 { return v.rate.Rate() / float64(v.connections) }

// take hands a range to a server that begins with the chunk first, the front
// of the queue.
func (s *Schedule) take(v *server, first int, o outlook) Range {
	r := Range{Server: v.id, First: first}
	budget, taken := s.rangeLen(v, o), int64(0)
	for c := first; c < s.cfg.Chunks && s.chunks[c] == missing; c++ {
		n := s.length(c)
		if r.Count > 0 && taken+n > budget {
			break
		}
		s.chunks[c] = underway
		s.missing.remove(c)
		r.Count++
		taken += n
	}
	s.queued -= taken
	return s.hand(v, r, o.now).Range
}

// hand puts a range in a server's hands, whose ID it sets.
func (s *Schedule) hand(v *server, g Range, now time.Time) *rangeState {
	s.lastID++
	g.ID = s.lastID
	_, n := s.cfg.Span(g)
	r := &rangeState{Range: g, by: v, asked: g.Count, owed: n}
	if v.owed == 0 {
		v.heard = later(v.heard, now)
		v.endSilence()
	}
	v.idle = max(0, v.idle-1)
	v.owed += n
	s.owed += n
	v.ranges = append(v.ranges, r)
	s.ranges[r.ID] = r
	return r
}

// rangeLen returns how many bytes a server's next range may have; a range of
// one chunk is always allowed.
func (s *Schedule) rangeLen(v *server, o outlook) int64 {
	rate := v.rate.Rate()
	if rate == 0 || v.pause > 0 {
		return 0
	}
	share := float64(s.queued) * v.connectionRate() / max(o.rate, rate) / 2
	n := min(v.rangeMost(), int64(share))
	if s.cfg.Limit > 0 {
		n = min(n, s.ahead()-s.owed)
	}
	return n
}

// rangeMost returns how many bytes a range of a server may have at most, if it
// is longer than one chunk.
func (v *server) rangeMost() int64 {
	return int64(min(v.connectionRate()*rangeTime.Seconds(), MaxRangeLen))
}

// overlong puts back into the queue what a server's connections have taken on
// and would need more than overlongTime for, as their rate has fallen since:
// typically the range that one connection got during slow start, when it shares
// the path with others now.
func (s *Schedule) overlong(now time.Time) (shrunk []Shrink) {
	for _, v := range s.order {
		if v.connections == 1 || v.silent(now) || v.rate.Rate() == 0 {
			continue
		}
		for _, r := range v.ranges {
			if float64(r.owed) <= v.connectionRate()*overlongTime.Seconds() {
				continue
			}
			keep := r.came + int64(v.connectionRate()*rangeTime.Seconds())
			n := min(s.tailLen(r), r.Count-int((keep+s.cfg.ChunkSize-1)/s.cfg.ChunkSize))
			if n <= 0 {
				continue
			}
			for c := r.First + r.Count - n; c < r.First+r.Count; c++ {
				s.put(c)
			}
			s.cut(r, r.Count-n, now)
			shrunk = append(shrunk, Shrink{ID: r.ID, Count: r.Count})
		}
	}
	return shrunk
}

// cut leaves a range its first n chunks.
func (s *Schedule) cut(r *rangeState, n int, now time.Time) {
	r.Count = n
	_, length := s.cfg.Span(r.Range)
	s.takeAway(r, r.owed-min(r.owed, max(0, length-r.came)), now)
}

// ahead returns how many bytes may be under way with a limited rate.
func (s *Schedule) ahead() int64 {
	return int64(float64(s.cfg.Limit) * limitAhead.Seconds())
}

// Queued returns how many bytes are in the queue: missing, and in nobody's
// hands.
func (s *Schedule) Queued() int64 { return s.queued }
