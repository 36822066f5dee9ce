package schedule

import (
	"math"
	"slices"
	"sort"
)

// Lack says that a server does not have count chunks, from first on: it is not
// asked for them any more. Ranges under way are not changed.
func (s *Schedule) Lack(id, first, count int) {
	if v := s.servers[id]; v != nil {
		v.absent = v.absent.with(run{first, first + count})
	}
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

// next returns the first of them from a chunk on, else math.MaxInt.
func (a absent) next(chunk int) int {
	i := a.behind(chunk)
	if i == len(a) {
		return math.MaxInt
	}
	return max(chunk, a[i].first)
}

// mustTake reports whether an idle server should be asked for a chunk although
// the others seem quicker: one of them does not have it.
func (s *Schedule) mustTake(v *server, o outlook, chunk int) bool {
	if len(v.ranges) > 0 || v.resting(o.now) || v.silent(o.now) {
		return false
	}
	return slices.ContainsFunc(s.order, func(other *server) bool { return other != v && other.absent.has(chunk, 1) })
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
