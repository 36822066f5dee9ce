package fetch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"malcolm/transfer/source"
)

// spareAfter is how long a server of a better priority has to serve without a
// break before those of a worse one are let go: one that comes and goes would
// have them come and go too.
const spareAfter = 10 * time.Second

// A standby is the sources of SRV names that are not used, since others of the
// same name have a better priority. It belongs to the loop.
type standby struct {
	spare  []source.Source
	ranked bool                 // some source has a priority
	steady map[string]time.Time // since when a better server has served without a break, by SRV name
}

// isRanked reports whether some source has a priority that is not the best one
// that there is.
func isRanked(sources []source.Source) bool {
	return slices.ContainsFunc(sources, func(s source.Source) bool { return s.Target().Priority > 0 })
}

// atFirst returns the sources that are used from the start, and the others.
func atFirst(sources []source.Source) (use, spare []source.Source) {
	best := make(map[string]uint16)
	for _, src := range sources {
		t := src.Target()
		if p, ok := best[t.Service]; !ok || t.Priority < p {
			best[t.Service] = t.Priority
		}
	}
	for _, src := range sources {
		if t := src.Target(); t.Priority == best[t.Service] {
			use = append(use, src)
		} else {
			spare = append(spare, src)
		}
	}
	return use, spare
}

// add takes a source that is used when its turn comes.
func (b *standby) add(src source.Source) {
	b.ranked = b.ranked || src.Target().Priority > 0
	b.spare = append(b.spare, src)
}

// drop forgets sources that targets name.
func (b *standby) drop(targets []source.Target) {
	b.spare = slices.DeleteFunc(b.spare, func(src source.Source) bool {
		return slices.ContainsFunc(targets, func(t source.Target) bool { return isNamed(src.Target(), t) })
	})
}

// A rank is the sources of one priority of an SRV name.
type rank struct {
	service  string
	priority uint16
	used     []*server
	spare    []source.Source
}

// isThere reports whether a server of a rank serves, or may in a moment: not
// one that is hashing its file, or has no room.
func (r *rank) isThere() bool {
	return slices.ContainsFunc(r.used, func(v *server) bool {
		return v.state == StateConnecting || v.state == StateAnswered || v.serves()
	})
}

// serves reports whether a server takes part, also under another name.
func (s *server) serves() bool { return s.state == StateServing || s.state == StateDuplicate }

// ranks returns the ranks of all SRV names, those of one name together, the
// best one first.
func (s *Session) ranks() (list []*rank) {
	type key struct {
		service  string
		priority uint16
	}
	known := make(map[key]*rank)
	of := func(t source.Target) *rank {
		k := key{t.Service, t.Priority}
		if known[k] == nil {
			known[k] = &rank{service: t.Service, priority: t.Priority}
			list = append(list, known[k])
		}
		return known[k]
	}
	for _, v := range s.roster.servers {
		if v.target.Service != "" && !v.left {
			r := of(v.target)
			r.used = append(r.used, v)
		}
	}
	for _, src := range s.standby.spare {
		r := of(src.Target())
		r.spare = append(r.spare, src)
	}
	slices.SortFunc(list, func(a, b *rank) int {
		return cmp.Or(strings.Compare(a.service, b.service), cmp.Compare(a.priority, b.priority))
	})
	return list
}

// relieve uses the servers of an SRV name that are of a worse priority while
// none of a better one is there, and lets them go when one has served for
// spareAfter.
func (s *Session) relieve(now time.Time) {
	b := &s.standby
	if !b.ranked && len(b.spare) == 0 {
		return
	}
	steady := make(map[string]time.Time)
	service, there, serves := "", false, false // there, serves: one of a better rank
	for _, r := range s.ranks() {
		if r.service != service {
			service, there, serves = r.service, false, false
		}
		switch {
		case !there:
			s.useSpare(r, now)
		case serves && len(r.used) > 0:
			since, ok := b.steady[service]
			if !ok {
				since = now
			}
			if steady[service] = since; now.Sub(since) >= spareAfter {
				s.letGo(r, now)
			}
		}
		there, serves = there || r.isThere(), serves || slices.ContainsFunc(r.used, (*server).serves)
	}
	b.steady = steady
}

// useSpare uses the spare sources of a rank.
func (s *Session) useSpare(r *rank, now time.Time) {
	for _, src := range r.spare {
		t := src.Target()
		s.standby.drop([]source.Target{t})
		s.enter(src, now)
		r.used = append(r.used, s.roster.at(t))
	}
}

// letGo no longer uses the servers of a rank.
func (s *Session) letGo(r *rank, now time.Time) {
	for _, v := range r.used {
		s.depart(v, errSpared, now)
		s.standby.spare = append(s.standby.spare, v.source)
	}
}
