package schedule

import "time"

// An outlook is what Plan sees of the servers before it acts.
type outlook struct {
	now  time.Time
	able int     // working servers, and those that are due to be tried again
	rate float64 // of the working servers, bytes a second
}

func (s *Schedule) survey(now time.Time) outlook {
	o := outlook{now: now}
	for _, v := range s.order {
		switch {
		case v.working(now):
			o.able++
			o.rate += v.rate.Rate()
		case !v.resting(now) && len(v.ranges) == 0:
			o.able++
		}
	}
	return o
}

// working reports whether a server sends, or would send if it were asked, for
// all that is known.
func (v *server) working(now time.Time) bool {
	return v.pause == 0 && !v.resting(now) && !v.silent(now)
}

// resting reports whether a server may not be asked yet.
func (v *server) resting(now time.Time) bool { return now.Before(v.resume) }

// silent reports whether a server owes bytes and has sent none for so long
// that others may take its work.
func (v *server) silent(now time.Time) bool {
	return v.owed > 0 && now.Sub(v.heard) >= v.silence()
}

// silence returns how long a server may be silent.
func (v *server) silence() time.Duration {
	return max(minSilence, silenceRTTs*v.rtt, v.grace)
}

// stalls cancels the ranges of silent servers, if another server could do
// their work, and lets those servers rest.
func (s *Schedule) stalls(o outlook) (cancel []int) {
	if o.able == 0 {
		return nil
	}
	for _, v := range s.order {
		if !v.silent(o.now) {
			continue
		}
		v.pause = min(max(2*v.pause, minSilence), maxPause)
		v.resume = later(v.resume, o.now.Add(v.pause))
		inVain := false
		for _, r := range v.ranges {
			if r.cancelled {
				continue
			}
			inVain = inVain || r.owed < s.wanted(r)
			s.giveUp(r)
			r.cancelled = true
			cancel = append(cancel, r.ID)
		}
		if inVain {
			v.grace = min(2*v.silence(), maxGrace)
		}
	}
	return cancel
}

// wanted returns how many bytes the chunks of a range have that are not good.
func (s *Schedule) wanted(r *rangeState) (n int64) {
	for c := r.First; c < r.First+r.Count; c++ {
		if s.chunks[c] == underway {
			n += s.length(c)
		}
	}
	return n
}

// mayProbe reports whether a server that fell silent may have a chunk again:
// not when the others, if there are any, have done all the rest before it is
// known whether it sends.
func (s *Schedule) mayProbe(v *server, o outlook) bool {
	return float64(s.queued) > o.rate*(2*v.silence()).Seconds()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
