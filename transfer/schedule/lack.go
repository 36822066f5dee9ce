package schedule

import (
	"math"
	"slices"
	"sort"
)

// Lack says that a server does not have count chunks, from first on: it is not
// asked for them until it leaves. Ranges under way are not changed. Forecasts
// for a chunk count the servers that have it.
func (s *Schedule) Lack(id, first, count int) {
	v := s.servers[id]
	if v == nil || count == 0 {
		return
	}
	if len(v.absent) == 0 {
		s.lacking++
	}
	v.absent = v.absent.with(run{first, first + count})
}

// A run is the chunks from first to the one before end.
type run struct{ first, end int }

// absent are chunks that a server does not have: runs in order, which do not
// touch.
type absent []run

// behind returns the place of the first run that ends behind a chunk.
func (a absent) behind(chunk int) int {
	return sort.Search(len(a), func(i int) bool { return a[i].end > chunk })
}

// with returns the chunks and those of a run.
func (a absent) with(r run) absent {
	from := sort.Search(len(a), func(i int) bool { return a[i].end >= r.first })
	to := from
	for to < len(a) && a[to].first <= r.end {
		r.first, r.end = min(r.first, a[to].first), max(r.end, a[to].end)
		to++
	}
	return slices.Replace(a, from, to, r)
}

// has reports whether one of count chunks, from first on, is among them.
func (a absent) has(first, count int) bool { return a.next(first) < first+count }

// before returns the end of the last of them before a chunk, else 0.
func (a absent) before(chunk int) int {
	i := sort.Search(len(a), func(i int) bool { return a[i].first >= chunk })
	if i == 0 {
		return 0
	}
	return min(a[i-1].end, chunk)
}

// next returns the first of them from a chunk on, else math.MaxInt.
func (a absent) next(chunk int) int {
	i := a.behind(chunk)
	if i == len(a) {
		return math.MaxInt
	}
	return max(chunk, a[i].first)
}

// rateOf returns the rate of the working servers that have a chunk, in bytes a
// second.
func (s *Schedule) rateOf(chunk int, o outlook) float64 {
	if s.lacking == 0 {
		return o.rate
	}
	rate := 0.0
	for _, v := range s.order {
		if v.working(o.now) && !v.absent.has(chunk, 1) {
			rate += v.rate.Rate()
		}
	}
	return rate
}

// tailFor returns how many of the n last chunks of a range a server has, from
// the end on.
func (s *Schedule) tailFor(v *server, r *rangeState, n int) int {
	end := r.First + r.Count
	return end - max(end-n, v.absent.before(end))
}

// firstFor returns the first chunk of the queue that a server may have; -1: it
// has none of them.
func (s *Schedule) firstFor(v *server) int {
	c := s.missing.first()
	for c >= 0 && v.absent.has(c, 1) {
		c = s.missing.from(v.absent[v.absent.behind(c)].end)
	}
	return c
}
