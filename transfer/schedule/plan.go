package schedule

import "time"

// Actions are what [Schedule.Plan] wants done.
type Actions struct {
	Fetch  []Range // ask for these, each on a stream of its own
	Cancel []int   // end the streams of these ranges; End must follow for each
}

// Plan returns what to do now. Ranges in it count as under way from here on.
// It is called after every change of the state and at least every second.
func (s *Schedule) Plan(now time.Time) Actions {
	var a Actions
	a.Cancel = s.stalls(now)
	for progress := true; progress && s.queued > 0; {
		progress = false
		for range s.order {
			id := s.order[s.turn%len(s.order)]
			s.turn++
			if r, ok := s.next(id, now); ok {
				a.Fetch = append(a.Fetch, r)
				progress = true
			}
		}
	}
	return a
}

// next takes one range from the queue for a server that wants work.
func (s *Schedule) next(id int, now time.Time) (Range, bool) {
	if !s.wants(id, now) {
		return Range{}, false
	}
	v := s.servers[id]
	first := s.front()
	if first < 0 {
		return Range{}, false
	}
	budget := s.rangeLen(v)
	r := Range{Server: id, First: first}
	var length int64
	for c := first; c < s.cfg.Chunks && s.chunks[c] == missing; c++ {
		n := s.length(c)
		if r.Count > 0 && length+n > budget {
			break
		}
		s.chunks[c] = underway
		r.Count++
		length += n
	}
	s.queued -= length
	s.lastID++
	r.ID = s.lastID
	s.ranges[r.ID] = &rangeState{Range: r, owed: length}
	if v.streams == 0 {
		v.heard = now
	}
	v.streams++
	v.owed += length
	return r, true
}

// wants reports whether a server should be asked for more.
func (s *Schedule) wants(id int, now time.Time) bool {
	v := s.servers[id]
	if now.Before(v.resume) {
		return false
	}
	if v.streams == 0 {
		return v.pause == 0 || s.mayProbe(id, now)
	}
	if v.pause > 0 || v.streams >= MaxStreams || len(s.ranges) >= MaxStreamsTotal {
		return false
	}
	if s.cfg.Limit > 0 && s.owed()+s.cfg.ChunkSize > s.ahead() {
		return false
	}
	if v.streams < MinStreams {
		return true
	}
	bandwidthDelay := 2 * v.rate.Rate() * v.rtt.Seconds()
	return float64(v.owed) < max(bandwidthDelay, float64(s.cfg.ChunkSize))
}

// mayProbe reports whether a server that fell silent may have a chunk again:
// not when so little is left that the others would wait for it in vain.
func (s *Schedule) mayProbe(id int, now time.Time) bool {
	return !s.otherSends(id, now) || s.queued > probeChunks*s.cfg.ChunkSize*int64(len(s.servers))
}

// rangeLen returns how many bytes a server's next range may have; a range of
// one chunk is always allowed.
func (s *Schedule) rangeLen(v *server) int64 {
	rate := v.rate.Rate()
	if rate == 0 || v.pause > 0 {
		return 0
	}
	var total float64
	for _, other := range s.servers {
		total += other.rate.Rate()
	}
	share := float64(s.queued) * rate / total / 2
	n := int64(min(rate*rangeTime.Seconds(), share, MaxRangeLen))
	if s.cfg.Limit > 0 {
		n = min(n, s.ahead()-s.owed())
	}
	return n
}

// ahead returns how many bytes may be under way with a limited rate.
func (s *Schedule) ahead() int64 {
	return int64(float64(s.cfg.Limit) * limitAhead.Seconds())
}

func (s *Schedule) owed() (n int64) {
	for _, v := range s.servers {
		n += v.owed
	}
	return n
}

// front returns the first chunk in the queue, or -1.
func (s *Schedule) front() int {
	for ; s.low < s.cfg.Chunks; s.low++ {
		if s.chunks[s.low] == missing {
			return s.low
		}
	}
	return -1
}

// stalls returns the ranges of silent servers, if another server could do
// their work, and lets those servers pause.
func (s *Schedule) stalls(now time.Time) (cancel []int) {
	for id, v := range s.servers {
		if !v.silent(now) || !s.otherSends(id, now) {
			continue
		}
		v.pause = min(max(2*v.pause, minSilence), maxPause)
		v.resume = now.Add(v.pause)
		for rid, r := range s.ranges {
			if r.Server == id && !r.cancelled {
				r.cancelled = true
				cancel = append(cancel, rid)
			}
		}
	}
	return cancel
}

// silent reports whether a server owes bytes and has sent none for so long
// that others may take its work.
func (v *server) silent(now time.Time) bool {
	return v.owed > 0 && !now.Before(v.resume) && now.Sub(v.heard) >= max(minSilence, silenceRTTs*v.rtt)
}

// otherSends reports whether a server other than id could take its work.
func (s *Schedule) otherSends(id int, now time.Time) bool {
	for other, v := range s.servers {
		if other != id && v.pause == 0 && !v.silent(now) {
			return true
		}
	}
	return false
}
