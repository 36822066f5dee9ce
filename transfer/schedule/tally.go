package schedule

// A tally counts the bytes that have arrived for chunks, over all ranges, to
// know which of them were in excess. It has an entry for each chunk that is not
// good, or that a range under way has sent bytes for.
type tally map[int]*tallied

type tallied struct {
	came int64
	open int // ranges under way that have sent bytes for the chunk
}

// Duplicates returns how many bytes have arrived for chunks in excess of the
// chunks' lengths: those of second copies, and those of chunks that were partly
// received when their range ended and that were fetched again from the start.
// Bytes that were on their way when a range was cancelled or shrunk are not
// known here.
func (s *Schedule) Duplicates() int64 { return s.duplicates }

// countBytes counts the next bytes of a range, which come in the order of its
// chunks.
func (s *Schedule) countBytes(r *rangeState, bytes int64) {
	for bytes > 0 {
		i := int(r.came / s.cfg.ChunkSize)
		if i >= r.asked {
			s.duplicates += bytes
			return
		}
		c, into := r.First+i, r.came%s.cfg.ChunkSize
		n := min(bytes, s.length(c)-into)
		if n <= 0 { // behind the end of a short last chunk
			s.duplicates += bytes
			return
		}
		t := s.tally[c]
		if t == nil {
			t = new(tallied)
			s.tally[c] = t
		}
		if into == 0 {
			t.open++
		}
		t.came += n
		s.duplicates += min(n, max(0, t.came-s.length(c)))
		r.came += n
		bytes -= n
	}
}

// forget ends the counting for a range.
func (s *Schedule) forget(r *rangeState) {
	for i := 0; int64(i)*s.cfg.ChunkSize < r.came; i++ {
		c := r.First + i
		t := s.tally[c]
		t.open--
		if t.open == 0 && s.chunks[c] == good {
			delete(s.tally, c)
		}
	}
}
