package schedule

// A tally counts the bytes that have arrived for chunks, over all ranges, to
// tell which were in excess. It has an entry for each chunk that is not good,
// or for which a range under way has sent bytes.
type tally map[int]*tallied

type tallied struct {
	came int64
	open int // ranges under way that have sent bytes for the chunk
}

// Duplicates returns how many bytes have arrived for chunks beyond the chunks'
// lengths: second copies, and chunks fetched again from the start after their
// range ended within them. Bytes that were on their way when a range was
// cancelled or shrunk are not known here.
func (s *Schedule) Duplicates() int64 { return s.duplicates }

// countBytes counts the next bytes of a range. They come in the order of its
// chunks.
func (s *Schedule) countBytes(r *rangeState, bytes int64) {
	for bytes > 0 {
		if r.at.chunk == r.asked { // behind all of it
			s.duplicates += bytes
			return
		}
		c := r.First + r.at.chunk
		length := s.length(c)
		n := min(bytes, length-r.at.into)
		s.countChunk(c, n, length, r.at.into == 0)
		r.came += n
		bytes -= n
		if r.at.into += n; r.at.into == length {
			r.at = place{chunk: r.at.chunk + 1}
		}
	}
}

// begun returns how many chunks of a range have sent a byte.
func (r *rangeState) begun() int {
	if r.at.into > 0 {
		return r.at.chunk + 1
	}
	return r.at.chunk
}

// reached returns how many chunks of a range, as it was asked for, have one of
// its first n bytes.
func (s *Schedule) reached(r *rangeState, n int64) int {
	start := s.content.Start(r.First)
	switch {
	case n == 0:
		return 0
	case start+n > s.content.Size():
		return r.asked
	}
	return min(r.asked, s.content.At(start+n-1)+1-r.First)
}

// countChunk counts n bytes that came for chunk c, which has length bytes.
// first says that they are the range's first ones for it.
func (s *Schedule) countChunk(c int, n, length int64, first bool) {
	t := s.tally[c]
	if t == nil {
		t = new(tallied)
		s.tally[c] = t
		if s.settled.has(c) {
			t.came = length
		}
	}
	if first {
		t.open++
	}
	t.came += n
	s.duplicates += min(n, max(0, t.came-length))
}

// forget ends the counting for a range.
func (s *Schedule) forget(r *rangeState) {
	for i := range r.begun() {
		c := r.First + i
		t := s.tally[c]
		t.open--
		if t.open == 0 && s.chunks[c] == good {
			delete(s.tally, c)
			s.settled.add(c)
		}
	}
}

// endRace settles what a range and its rival have wasted when one of them ends.
// That is the loser's bytes. If the chunk is not good it is nothing: the one
// that ended has failed, and the other goes on.
func (s *Schedule) endRace(r *rangeState) {
	if r.Second {
		s.copyBytes -= s.length(r.First)
	}
	rival := r.rival
	if rival == nil {
		return
	}
	r.rival, rival.rival = nil, nil
	first, second := rival, r
	if rival.Second {
		first, second = r, rival
	}
	s.waste -= second.cost
	second.cost = 0
	if c := second.First; s.chunks[c] == good {
		lost, came := s.bytesOf(second, c), s.bytesOf(first, c)
		if came < lost {
			lost = came - second.before
		}
		s.waste += lost
	}
}

// bytesOf returns how many bytes of a chunk have come on a range.
func (s *Schedule) bytesOf(r *rangeState, chunk int) int64 {
	switch i := chunk - r.First; {
	case i < r.at.chunk:
		return s.length(chunk)
	case i == r.at.chunk:
		return r.at.into
	}
	return 0
}
