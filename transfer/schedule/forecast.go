package schedule

import "math"

// A forecast estimates when the queue, and what silent servers owe, would be
// done if each chunk went to the server that finishes it soonest. It is
// computed when first asked for, and holds for one round.
type forecast struct {
	s    *Schedule
	o    outlook
	made bool
	end  float64 // seconds from now; infinity when no rate is known
}

// tooSlow reports whether others would have done all that before v finishes one
// chunk. It is never true of all working servers: the end is when some of them
// finish a chunk.
func (f *forecast) tooSlow(v *server) bool {
	if v.rate.Rate() == 0 {
		return false
	}
	if !f.made {
		f.made = true
		f.end = f.s.endOfQueue(f.o)
	}
	return v.takes(f.s.content.LongestChunk()) > f.end
}

// takes returns the seconds until a server would have sent what it owes and n
// more bytes; infinity if its rate is not known.
func (v *server) takes(n int64) float64 {
	return float64(v.owed+n) / v.rate.Rate()
}

// endOfQueue returns the fewest seconds in which the working servers can finish
// what they owe, and all chunks of the queue and of silent servers.
func (s *Schedule) endOfQueue(o outlook) float64 {
	chunk := s.content.LongestChunk()
	queue := (s.queued + o.stalled + chunk - 1) / chunk
	var known []*server
	low, high := 0.0, math.Inf(1)
	for _, v := range s.order {
		if v.working(o.now) && v.rate.Rate() > 0 {
			known = append(known, v)
			high = min(high, v.takes(queue*chunk))
		}
	}
	if len(known) == 0 {
		return high
	}
	for high-low > forecastError*high {
		middle := low + (high-low)/2
		var n int64
		for _, v := range known {
			n += max(0, int64((middle*v.rate.Rate()-float64(v.owed))/float64(chunk)))
		}
		if n < queue {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
