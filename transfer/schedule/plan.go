package schedule

import (
	"math"
	"time"
)

// Actions are what [Schedule.Plan] wants done.
type Actions struct {
	// Fetch are ranges to ask for, each on a stream of its own.
	Fetch []Range
	// Shrink are ranges that end earlier than they were asked for. Their
	// tail is in another server's hands by Fetch, or back in the queue.
	Shrink []Shrink
	// Cancel are ranges of no more use, whose streams are to be ended. Call
	// End for each. Their servers are not to blame.
	Cancel []int
}

// A Shrink says that a range keeps only its first Count chunks, at least 1.
type Shrink struct{ ID, Count int }

// Plan returns what to do now. Ranges in it count as under way from here on.
// Call it after every change of the state and at least every second. Equal
// calls in equal order have equal results.
func (s *Schedule) Plan(now time.Time) Actions {
	a := Actions{Cancel: s.useless(now), Shrink: s.overlong(now)}
	o := s.outlook(now)
	s.rounds(&a, o)
	if s.front(&a, o) {
		o = s.outlook(now)
		s.rounds(&a, o)
	}
	s.endgame(&a, o)
	return a
}

// rounds hands out what is in the queue.
func (s *Schedule) rounds(a *Actions, o outlook) {
	a.Fetch = s.round(a.Fetch, o, idleOnly)
	for given := -1; given < len(a.Fetch); {
		given = len(a.Fetch)
		a.Fetch = s.round(a.Fetch, o, everyone)
	}
}

// The servers that take part in a round.
const (
	idleOnly = true
	everyone = false
)

// round gives one range to each server that wants work, beginning behind the
// server that got the last range. It appends these ranges to fetch.
func (s *Schedule) round(fetch []Range, o outlook, idle bool) []Range {
	if s.queued == 0 {
		return fetch
	}
	f := forecast{s: s, o: o}
	first, front := -1, unit{}
	start := s.roundStart
	for i := range s.order {
		at := (start + i) % len(s.order)
		v := s.order[at]
		if idle && len(v.ranges) > 0 {
			continue
		}
		if s.queued == 0 {
			break
		}
		if first < 0 || s.lacking > 0 {
			if first = s.firstFor(v); first < 0 {
				continue
			}
			front = s.unitAt(first)
		}
		if s.wants(v, o, &f, front) {
			fetch = append(fetch, s.take(v, first, o))
			s.roundStart = at + 1
			first = -1
		}
	}
	return fetch
}

// wants reports whether a server should be asked for more. front is the unit
// at the front of the queue.
func (s *Schedule) wants(v *server, o outlook, f *forecast, front unit) bool {
	switch {
	case v.resting(o.now), v.silent(o.now):
		return false
	case v.pause > 0:
		return len(v.ranges) == 0 && s.mayProbe(v, front.first, o)
	case len(v.ranges) > 0 && !s.wantsAhead(v, front):
		return false
	}
	return !f.tooSlow(v, front)
}

// wantsAhead reports whether a server with ranges under way should get one
// more, which begins with the unit front.
func (s *Schedule) wantsAhead(v *server, front unit) bool {
	if !v.sent || !s.mayHaveMore(v, front.count) || s.cfg.Limit > 0 && s.owed+front.bytes > s.ahead() {
		return false
	}
	enough := max(int64(math.Ceil(2*v.connectionRate()*v.rtt.Seconds())), front.class)
	switch {
	case v.connections > 1 && v.idle > 0:
		return true
	case v.connections == 1 && len(v.ranges) < MinStreams:
		return true
	case front.count > 1:
		// MaxFiles keeps ranges short: several are what one is
		// elsewhere.
		return v.owed < int64(v.connections)*max(enough, v.rangeMost())
	case v.connections == 1:
		return v.owed < enough
	}
	busy := 0
	for _, r := range v.ranges {
		if r.owed >= enough {
			busy++
		}
	}
	return busy < v.connections
}

// mayHaveMore reports whether the bounds on ranges allow a server one more,
// whose unit has count chunks. Ranges over small files are short, so busy
// connections may have more of them.
func (s *Schedule) mayHaveMore(v *server, count int) bool {
	most := MaxStreams
	switch {
	case v.connections > 1 && v.idle == 0 && count == 1:
		most = 2 * v.connections
	case v.connections > 1:
		most = max(most, 2*v.connections)
	}
	return len(v.ranges) < most && len(s.ranges) < MaxStreamsTotal
}

func (v *server) connectionRate() float64 { return v.rate.Rate() / float64(v.connections) }

// take hands a server the range that begins with first, the front of what is in
// the queue for it.
func (s *Schedule) take(v *server, first int, o outlook) Range {
	r := Range{Server: v.id, First: first}
	most := max(s.unitAt(first).count, s.content.Whole(first, s.rangeLen(v, o), MaxFiles))
	most = min(most, v.absent.next(first)-first)
	for r.Count < most && s.chunks[first+r.Count] == missing {
		s.chunks[first+r.Count] = underway
		s.missing.remove(first + r.Count)
		r.Count++
	}
	s.queued -= s.bytes(r)
	return s.hand(v, r, o.now).Range
}

// hand puts a range in a server's hands and sets its ID.
func (s *Schedule) hand(v *server, g Range, now time.Time) *rangeState {
	s.lastID++
	g.ID = s.lastID
	n := s.bytes(g)
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

// rangeLen returns the bytes that a server's next range may have. A range of
// one unit is always allowed.
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

// rangeMost returns the most bytes that a range of more than one unit may have.
func (v *server) rangeMost() int64 {
	return int64(min(v.connectionRate()*rangeTime.Seconds(), MaxRangeLen))
}

// overlong returns work to the queue that a server's connections would need
// more than overlongTime for, as their rate has fallen. Typical is a range that
// one connection got during slow start and that now shares the path.
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
			n := min(s.tailLen(r), r.Count-s.reached(r, keep))
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
	s.takeAway(r, r.owed-min(r.owed, max(0, s.bytes(r.Range)-r.came)), now)
}

// ahead returns the bytes that may be under way under a limited rate.
func (s *Schedule) ahead() int64 {
	return int64(float64(s.cfg.Limit) * limitAhead.Seconds())
}

// Queued returns the bytes in the queue: missing, and in nobody's hands.
func (s *Schedule) Queued() int64 { return s.queued }
