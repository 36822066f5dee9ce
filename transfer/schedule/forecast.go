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
		chunk int     // that the servers have; 0 where no server lacks one
		end   float64 // seconds from now; infinity when no rate is known
	}
}

// tooSlow reports whether others that have a unit would finish the whole
// forecast before v finishes the unit. Pieces are of its class. It is never
// true of all working servers that have it: the end is when some of them finish
// a piece.
func (f *forecast) tooSlow(v *server, u unit) bool {
	if v.rate.Rate() == 0 {
		return false
	}
	chunk := 0
	if f.s.lacking > 0 {
		chunk = u.first
	}
	m := &f.made[bits.Len64(uint64(u.class))%len(f.made)]
	if m.piece != u.class || m.chunk != chunk {
		m.piece, m.chunk, m.end = u.class, chunk, f.s.endOfQueue(f.o, u.class, chunk)
	}
	return v.takes(u.class) > m.end
}

// takes returns the seconds until a server would have sent what it owes and n
// more bytes; infinity if its rate is not known.
func (v *server) takes(n int64) float64 {
	return float64(v.owed+n) / v.rate.Rate()
}

// endOfQueue returns the fewest seconds in which the working servers that have
// a chunk can finish what they owe, and all of the queue and of silent servers,
// in pieces of piece bytes.
func (s *Schedule) endOfQueue(o outlook, piece int64, chunk int) float64 {
	queue := (s.queued + o.stalled + piece - 1) / piece
	var known []*server
	low, high := 0.0, math.Inf(1)
	for _, v := range s.order {
		if v.working(o.now) && v.rate.Rate() > 0 && !v.absent.has(chunk, 1) {
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
