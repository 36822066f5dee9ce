package schedule

// Where chunks are wanted in order, only those of a window are let into the
// queue: from the front, the first chunk still wanted, to an end that moves
// with it. Nothing more can be asked for until the front moves, so the rules
// for the end of a file hold for the end of the window. Ranges get smaller
// towards it. A server takes no chunk if the others would finish it, and all
// else in the window, sooner. Two rules are added:
//
//   - Everybody waits for the chunk at the front. When a server is idle, or
//     will be within a round trip, and gets nothing from the queue, it fetches
//     the front a second time if that gains more than two round trips. What the
//     first server has behind the front, and has not begun, goes back into the
//     queue.
//   - Other chunks are fetched a second time only from silent servers: it is
//     early enough when they come to the front. So nothing is fetched twice
//     while the reader of the window is what is slow.
//
// When the end of the window is that of the file, the endgame is as without
// one.

// A slidingWindow is the part of the file that may be asked for.
type slidingWindow struct {
	on         bool
	front, end int // chunks
}

// Window says that chunks are wanted in order. front is the first one still
// wanted; those before end may be asked for. Neither ever falls; end may exceed
// the number of chunks. Chunks in the window that were not known are put into
// the queue: of small files, whole units together, unless all before them is
// there.
func (s *Schedule) Window(front, end int) {
	s.window.on, s.window.front = true, front
	for end = min(end, len(s.chunks)); s.window.end < end; {
		next := s.window.end + Unit(s.content, s.window.end)
		if next > end && front < s.window.end {
			return
		}
		for ; s.window.end < min(next, end); s.window.end++ {
			s.Add(s.window.end)
		}
	}
}

// waits reports whether it is too early to fetch a second time a chunk that
// first has.
func (s *Schedule) waits(chunk int, first *server, o outlook) bool {
	return s.window.on && s.window.end < len(s.chunks) && chunk != s.window.front && !first.silent(o.now)
}

// front has the chunk at the front of the window fetched a second time if an
// idle server gains by it, and reports whether it did.
func (s *Schedule) front(a *Actions, o outlook) bool {
	chunk := s.window.front
	if !s.window.on || chunk >= len(s.chunks) || s.chunks[chunk] != underway {
		return false
	}
	r := s.holder(chunk)
	if r == nil || r.rival != nil || r.owed == 0 {
		return false
	}
	e := endgame{Schedule: s, a: a, now: o.now}
	e.refresh(o)
	owed := min(r.owed, s.length(chunk)-s.bytesOf(r, chunk))
	best, cost := e.copier(r, chunk, owed)
	if best < 0 {
		return false
	}
	if n := chunk - r.First + 1; n < r.Count {
		for c := chunk + 1; c < r.First+r.Count; c++ {
			if s.chunks[c] == underway {
				s.put(c)
			}
		}
		e.shrink(r, n)
	}
	e.copy(r, chunk, best, cost)
	return true
}

// holder returns the range known to have a chunk, or nil.
func (s *Schedule) holder(chunk int) *rangeState {
	for _, v := range s.order {
		for _, r := range v.ranges {
			if r.First <= chunk && chunk < r.First+r.Count {
				return r
			}
		}
	}
	return nil
}
