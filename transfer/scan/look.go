package scan

import (
	"context"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// A Look is what was found in a directory, before the files that are new are
// hashed. [Look.Hash] or [Look.Close] ends it.
type Look struct {
	walker
	before *Snapshot // nil: the first one
	store  *store    // of the values of before, or of the cache
	cached bool      // hashes come from the cache
	same   bool
	lost   bool

	renumbered []renumbered // before they are hashed
}

// A renumbered is a file of which only the number differs from before.
type renumbered struct{ now, before int }

// Look walks the parts and compares what is found with the snapshot before, or,
// without one, with the cache. Errors: a part cannot be opened or read, is
// empty, or has too many entries ([*localfile.Error]); something would be left
// out of a strict scan ([*LeftOutError]); the end of ctx.
func (s *Scanner) Look(ctx context.Context, before *Snapshot) (*Look, error) {
	l := &Look{walker: walker{scanner: s, ctx: ctx}, before: before}
	err := l.walk()
	if err == nil && s.cfg.Strict && l.left.Count > 0 {
		err = &LeftOutError{l.left}
	}
	if err != nil {
		closeParts(l.parts)
		return nil, err
	}
	if before != nil {
		l.store = before.store.use()
		l.compare(before)
		return l, nil
	}
	l.load()
	return l, nil
}

// Close ends a look that nothing follows.
func (l *Look) Close() {
	closeParts(l.parts)
	l.store.release()
}

// Same reports whether nothing has changed since the snapshot before.
func (l *Look) Same() bool { return l.same }

// Lost reports whether the snapshot before lists something that is not there
// any more, or not as it was.
func (l *Look) Lost() bool { return l.lost }

// load takes hashes from the cache.
func (l *Look) load() {
	l.store = newStore(nil)
	s := l.scanner
	if s.cfg.Cache == nil || s.cfg.Rehash {
		return
	}
	kept := s.cfg.Cache.LoadTree(s.name)
	if kept == nil {
		return
	}
	l.store.release()
	l.store = newStore(kept)
	i := 0
	for f, ok := kept.Next(); ok; f, ok = kept.Next() {
		for i < len(l.entries) && wire.PathLess(l.entries[i].Path, f.Path) {
			i++
		}
		if i == len(l.entries) {
			break
		}
		e, fact := &l.entries[i], &l.facts[i]
		usable := f.Stamp.ChangeTime != 0 && fact.stamp == f.Stamp && uint64(f.First)+uint64(valuesKept(f.Size)) <= uint64(kept.Values())
		if e.Path == f.Path && e.IsFile() && e.Size == f.Size && usable && !s.doubted[f.Path] {
			e.Checksum, fact.first, fact.hashed, fact.settled = f.Checksum, f.First, true, true
		}
	}
	l.cached = true
}

// valuesKept returns the number of values that are kept of a file of size
// bytes: a file of one chunk needs none.
func valuesKept(size int64) int {
	if n := manifest.Count(size); n > 1 {
		return n
	}
	return 0
}

// compare takes the hashes of what has not changed from a snapshot, and says
// what has.
func (l *Look) compare(before *Snapshot) {
	kept, i := 0, 0
	for at := range before.offsets {
		old := before.entry(at)
		for i < len(l.entries) && wire.PathLess(l.entries[i].Path, old.Path) {
			i++
		}
		if i < len(l.entries) && l.entries[i].Path == old.Path && l.take(i, &old, at) {
			kept++
		}
	}
	l.lost = kept < len(before.offsets)
	l.same = !l.lost && kept == len(l.entries)
}

// take takes an entry's hashes from the snapshot before, and reports whether it
// is still as it was there.
func (l *Look) take(i int, old *wire.Entry, at int) bool {
	e := &l.entries[i]
	switch {
	case e.IsFile() && old.IsFile():
		return l.unchanged(i, old, at) && e.Kind == old.Kind
	case e.Kind != old.Kind || e.Target != old.Target:
		return false
	}
	return l.before.stamps[at].ModTime == l.facts[i].stamp.ModTime
}

// unchanged reports whether a file has the bytes that were hashed, as far as
// the system says, and then takes their hashes.
func (l *Look) unchanged(i int, old *wire.Entry, at int) bool {
	e, now := &l.entries[i], &l.facts[i]
	found, before := now.stamp, l.before.stamps[at]
	same := found == before
	if found.File, before.File = 0, 0; !same && found == before && e.Size == old.Size {
		if !l.scanner.numbers {
			l.renumbered = append(l.renumbered, renumbered{i, at})
		}
		same = l.scanner.numbers
	}
	if !same || e.Size != old.Size || l.scanner.doubted[e.Path] {
		return false
	}
	e.Checksum, now.first, now.hashed, now.settled = old.Checksum, l.before.firstOf(at), true, l.before.settled.has(at)
	return true
}
