package schedule

import "time"

// An outlook is what Plan sees of the servers before it acts.
type outlook struct {
	now     time.Time
	rate    float64 // of the working servers, bytes a second
	stalled int64   // bytes that silent servers owe
}

func (s *Schedule) outlook(now time.Time) outlook {
	o := outlook{now: now}
	for _, v := range s.order {
		switch {
		case v.working(now):
			o.rate += v.rate.Rate()
		case v.silent(now):
			o.stalled += v.owed
		}
	}
	return o
}

// working reports whether a server sends, or would send if it were asked, as
// far as is known.
func (v *server) working(now time.Time) bool {
	return v.pause == 0 && !v.resting(now) && !v.silent(now)
}

// resting reports whether a server may not be asked yet.
func (v *server) resting(now time.Time) bool {
	return now.Before(v.resume) || now.Before(v.probe)
}

// silent reports whether a server owes bytes and has sent none for silence(),
// so that others may do its work.
func (v *server) silent(now time.Time) bool {
	return v.owed > 0 && now.Sub(v.heard) >= v.silence()
}

// silence returns how long a server may be silent.
func (v *server) silence() time.Duration {
	return max(minSilence, silenceRTTs*v.rtt, v.grace)
}

// endSilence says that a silence is over, or that a new one begins.
func (v *server) endSilence() {
	if v.lost {
		v.grace = min(2*v.silence(), maxGrace)
		v.lost = false
	}
}

// useless cancels the ranges whose chunks are all good, except those that are
// just ending by themselves.
func (s *Schedule) useless(now time.Time) (cancel []int) {
	for _, v := range s.order {
		for _, r := range v.ranges {
			if r.owed > 0 && s.allGood(r) {
				s.cancel(r, now)
				cancel = append(cancel, r.ID)
			}
		}
	}
	return cancel
}

// allGood reports whether every chunk of a range is good. A good chunk stays
// good, so the scan goes on where it stopped the last time.
func (s *Schedule) allGood(r *rangeState) bool {
	for r.done < r.Count && s.chunks[r.First+r.done] == good {
		r.done++
	}
	return r.done >= r.Count
}

func (s *Schedule) cancel(r *rangeState, now time.Time) {
	s.takeAway(r, r.owed, now)
	r.cancelled = true
}

// takeAway expects less from a range, as others have done it or will. A silent
// server that then owes nothing rests, twice as long each time until it sends.
func (s *Schedule) takeAway(r *rangeState, bytes int64, now time.Time) {
	v := r.by
	silent := v.silent(now)
	s.expectLess(r, bytes)
	if silent && v.owed == 0 {
		v.pause = min(max(2*v.pause, minPause), maxPause)
		v.probe = now.Add(v.pause)
	}
}

// mayProbe reports whether a server that fell silent may have a chunk of the
// queue again. It may not if the other servers that have it will have done all
// the rest before it is known whether it sends.
func (s *Schedule) mayProbe(v *server, chunk int, o outlook) bool {
	return float64(s.queued) > s.rateOf(chunk, o)*(2*v.silence()).Seconds()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
