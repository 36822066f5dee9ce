package schedule

import (
	"math"
	"time"
)

// A chunk comes over one connection. Where a server has several slow ones, most
// of them would have nothing to do at the end, while the last chunks come over
// the others. So a range of one chunk is asked for in parts there: its own
// connection asks for one after the other, and idle connections of the same
// server ask for the next ones. No byte is asked for twice, and the bytes of a
// chunk still come from one server.

const (
	// A part takes partTime, and has at least leastPart bytes. What came of
	// it on a connection that dies is lost while the parts before it lack
	// bytes, so it is short.
	partTime  = 100 * time.Millisecond
	leastPart = 32 << 10
	// lastWaves is how many chunks there are for each connection where
	// parts begin: one that is under way at the end of the queue, and one
	// asked for behind it.
	lastWaves = 2
	// leastParts is the number of parts of a range, at least: fewer are not
	// worth the requests.
	leastParts = 2
)

// Parts says how a range that has just been planned is to be asked for.
type Parts struct {
	Len   int64 // of a part, in bytes; 0: the range is asked for at once
	Ahead int64 // its own connection asks for the next part when this many bytes are to come
}

// partLen returns the bytes of a part for a connection's rate in bytes a
// second.
func partLen(rate float64) int64 {
	return max(leastPart, int64(min(rate*partTime.Seconds(), math.MaxInt32)))
}

// Parts returns how to ask for a range that has just been planned.
func (s *Schedule) Parts(id int) Parts {
	r := s.ranges[id]
	if r == nil || r.Count > 1 || r.by.connections == 1 {
		return Parts{}
	}
	rate := r.by.connectionRate()
	n := partLen(rate)
	u := s.newUnit(r.First, 1)
	if rate == 0 || u.bytes < leastParts*n || s.queued > int64(lastWaves*r.by.connections)*u.class {
		return Parts{}
	}
	return Parts{Len: n, Ahead: int64(2 * rate * r.by.rtt.Seconds())}
}
