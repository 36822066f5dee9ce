package schedule

import (
	"math"
	"math/bits"
)

// A forecast estimates when the queue, and what silent servers owe, would be
// done if it came in pieces of one length, and each piece went to the server
// that finishes it soonest. It is computed for a length when first asked for,
// and holds for one round.
type forecast struct {
	s    *Schedule
	o    outlook
	made [8]struct { // by the length's power of two
		piece int64   // 0: not made
		end   float64 // seconds from now; infinity when no rate is known
	}
}

// tooSlow reports whether others would have done all that before v finishes one
// piece, which is a unit's class. It is never true of all working servers: the
// end is when some of them finish a piece.
func (f *forecast) tooSlow(v *server, piece int64) bool {
	if v.rate.Rate() == 0 {
		return false
	}
	m := &f.made[bits.Len64(uint64(piece))%len(f.made)]
	if m.piece != piece {
		m.piece, m.end = piece, f.s.endOfQueue(f.o, piece)
	}
	return v.takes(piece) > m.end
}

// takes returns the seconds until a server would have sent what it owes and n
// more bytes; infinity if its rate is not known.
func (v *server) takes(n int64) float64 {
	return float64(v.owed+n) / v.rate.Rate()
}

// endOfQueue returns the fewest seconds in which the working servers can finish
// what they owe, and all of the queue and of silent servers, in pieces of piece
// bytes.
func (s *Schedule) endOfQueue(o outlook, piece int64) float64 {
	queue := (s.queued + o.stalled + piece - 1) / piece
	var known []*server
	low, high := 0.0, math.Inf(1)
	for _, v := range s.order {
		if v.working(o.now) && v.rate.Rate() > 0 {
			known = append(known, v)
			high = min(high, v.takes(queue*piece))
		}
	}
	if len(known) == 0 {
		return high
	}
	for high-low > forecastError*high {
		middle := low + (high-low)/2
		var n int64
		for _, v := range known {
			n += max(0, int64((middle*v.rate.Rate()-float64(v.owed))/float64(piece)))
		}
		if n < queue {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
