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
	l := &Look{walker: walker{scanner: s, ctx: ctx, repeated: repeated{of: before}}, before: before}
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

// Close ends a look without hashing.
func (l *Look) Close() {
	closeParts(l.parts)
	l.store.release()
}

// Same reports whether nothing has changed since the snapshot before.
func (l *Look) Same() bool { return l.same }

// Lost reports whether something in the snapshot before is gone, or changed.
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
	if s.cfg.SHA256 && !kept.HasSHA256() {
		kept.Close()
		return
	}
	l.store.release()
	l.store = newStore(kept)
	c := cursor{table: &l.table, at: -1}
	for f, ok := kept.Next(); ok; f, ok = kept.Next() {
		if !c.seek(f.Path) {
			continue
		}
		usable := f.Stamp.ChangeTime != 0 && *l.stamps.at(c.at) == f.Stamp && uint64(f.First)+uint64(valuesKept(f.Size)) <= uint64(kept.Values())
		if c.entry.IsFile() && c.entry.Size == f.Size && usable && !s.doubted[f.Path] {
			h := hash{checksum: f.Checksum, first: f.First, settled: true}
			if s.cfg.SHA256 {
				h.sha256 = &f.SHA256
			}
			l.setHash(c.at, f.Size, h)
		}
	}
	l.cached = true
}

// A cursor goes through the entries of a table.
type cursor struct {
	table *table
	at    int // -1 in front of the first one
	entry wire.Entry
}

// seek goes on to a path, and reports whether it is there.
func (c *cursor) seek(path string) bool {
	for c.at < 0 || c.at < c.table.Len() && wire.PathLess(c.entry.Path, path) {
		if c.at++; c.at < c.table.Len() {
			c.entry = c.table.entry(c.at)
		}
	}
	return c.at < c.table.Len() && c.entry.Path == path
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
	if l.of != nil && l.dirsAgain == before.dirs.n && l.newest.Equal(before.modified) {
		l.same = true
		return
	}
	l.unfold()
	kept := 0
	c := cursor{table: &l.table, at: -1}
	for at := range before.Len() {
		old := before.entry(at)
		if c.seek(old.Path) && l.take(c.at, &c.entry, &old, at) {
			kept++
		}
	}
	l.lost = kept < before.Len()
	l.same = !l.lost && kept == l.Len() && l.dirs.equal(&before.dirs) && l.newest.Equal(before.modified)
}

// take takes an entry's hashes from the snapshot before, and reports whether it
// is still as it was there.
func (l *Look) take(i int, e, old *wire.Entry, at int) bool {
	switch {
	case e.IsFile() && old.IsFile():
		return l.unchanged(i, e, old, at) && e.Kind == old.Kind
	case e.Kind != old.Kind || e.Target != old.Target:
		return false
	}
	return l.before.stamps.at(at).ModTime == l.stamps.at(i).ModTime
}

// unchanged reports whether a file has the bytes that were hashed, as far as
// the system says, and then takes their hashes.
func (l *Look) unchanged(i int, e, old *wire.Entry, at int) bool {
	found, before := *l.stamps.at(i), *l.before.stamps.at(at)
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
	h := hash{checksum: old.Checksum, first: l.before.firstOf(at), settled: l.before.settled.has(at)}
	if sum, ok := l.before.SHA256(at); ok {
		h.sha256 = &sum
	}
	l.setHash(i, e.Size, h)
	return true
}
