package schedule

// Where chunks are wanted in order, only those of a window are let into the
// queue: from the front, the first chunk that is still wanted, to an end that
// moves with it. What holds for the end of a file holds for the end of the
// window, since nothing more can be asked for until the front moves: ranges get
// smaller towards it, and a server takes no chunk that the others would have
// done, with all that is in the window, before it could. Two rules are added:
//
//   - Everybody waits for the chunk at the front. As soon as a server is idle, or
//     will be within a round trip, and gets nothing from the queue, it fetches
//     the front a second time if that gains more than two round trips; what the
//     first server has behind the front, and has not begun, goes back into the
//     queue.
//   - Other chunks are fetched a second time only from silent servers: when they
//     come to the front is early enough. So nothing is fetched twice while who
//     reads the window is what is slow.
//
// When the end of the window is that of the file, the endgame is as without one.

// A slidingWindow is the part of the file that may be asked for.
type slidingWindow struct {
	on         bool
	front, end int // chunks
}

// Window says that chunks are wanted in order: front is the first one that is
// still wanted, and those before end may be asked for. Neither ever falls; end
// may be more than the number of chunks. Chunks in the window that were not
// known are put into the queue.
func (s *Schedule) Window(front, end int) {
	end = min(end, s.cfg.Chunks)
	for c := s.window.end; c < end; c++ {
		s.Add(c)
	}
	s.window = slidingWindow{on: true, front: front, end: max(s.window.end, end)}
}

// waits reports whether a chunk that another server has should not be fetched a
// second time yet.
func (s *Schedule) waits(chunk int, first *server, o outlook) bool {
	return s.window.on && s.window.end < s.cfg.Chunks && chunk != s.window.front && !first.silent(o.now)
}

// front has the chunk at the front of the window fetched a second time, if there
// is an idle server with which that gains, and reports whether it did.
func (s *Schedule) front(a *Actions, o outlook) bool {
	chunk := s.window.front
	if !s.window.on || chunk >= s.cfg.Chunks || s.chunks[chunk] != underway {
		return false
	}
	r := s.holder(chunk)
	if r == nil || r.rival != nil || r.owed == 0 {
		return false
	}
	e := endgame{Schedule: s, a: a, now: o.now}
	e.look(o)
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

// holder returns the range that has a chunk; nil: none that is known to.
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
