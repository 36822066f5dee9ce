package scan

import (
	"slices"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// At most 1/keepShare of the time is spent on writing the cache.
const keepShare = 60

// Keep has the cache keep what a snapshot says, unless the cache has it or was
// written a short time ago. No other method of the scanner may run at the same
// time.
func (s *Scanner) Keep(snapshot *Snapshot) error {
	soon := !s.stored.IsZero() && time.Since(s.stored) < keepShare*s.storing
	if s.cfg.Cache == nil || !snapshot.unkept || soon {
		return nil
	}
	began := time.Now()
	err := snapshot.keep(s.cfg.Cache, s.name)
	s.stored = time.Now()
	s.storing = s.stored.Sub(began)
	if err == nil {
		snapshot.unkept = false
	}
	return err
}

// pieceOfValues is how many bytes of values are copied at once.
const pieceOfValues = 4096 * wire.ValueLen

func (s *Snapshot) keep(c *cache.Cache, name [32]byte) error {
	var count uint32
	for _, v := range s.several {
		if s.settled.has(int(v.entry)) {
			count += uint32(manifest.Count(s.entry(int(v.entry)).Size))
		}
	}
	copyAll := func(put func([]byte) error) error {
		for _, v := range s.several {
			if s.settled.has(int(v.entry)) {
				if err := s.copyValues(int(v.entry), put); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return c.StoreTree(name, cache.TreeContent{Values: copyAll, Count: count, Files: s.kept, SHA256: s.sha256.n > 0})
}

// copyValues hands over all values of an entry.
func (s *Snapshot) copyValues(i int, put func([]byte) error) error {
	n := manifest.Count(s.entry(i).Size)
	buf := make([]byte, min(n*wire.ValueLen, pieceOfValues))
	for at := 0; at < n; at += len(buf) / wire.ValueLen {
		p := buf[:min(len(buf), (n-at)*wire.ValueLen)]
		if err := s.ReadValues(i, p, at); err != nil {
			return err
		}
		if err := put(p); err != nil {
			return err
		}
	}
	return nil
}

// kept yields what is kept of each file.
func (s *Snapshot) kept(yield func(cache.TreeFile) bool) {
	var first uint32
	for i := range s.Len() {
		e := s.entry(i)
		if !e.IsFile() || !s.settled.has(i) {
			continue
		}
		f := cache.TreeFile{Path: e.Path, Size: e.Size, Stamp: *s.stamps.at(i), Checksum: e.Checksum, First: first}
		f.SHA256, _ = s.SHA256(i)
		first += uint32(valuesKept(e.Size))
		if !yield(f) {
			return
		}
	}
}

// renew moves the values that are still needed to a new store, if most of the
// old one belongs to files that have changed since.
func (l *Look) renew() error {
	if l.before == nil || !l.store.crowded(l.before.live()) {
		return nil
	}
	fresh := newStore(nil)
	for k := range l.several {
		v := &l.several[k]
		b := make([]byte, manifest.Count(l.entry(int(v.entry)).Size)*wire.ValueLen)
		err := l.store.read(b, v.first)
		if err == nil {
			v.first, err = fresh.add(b)
		}
		if err != nil {
			fresh.release()
			return err
		}
	}
	l.store.release()
	l.store = fresh
	return nil
}

// Equal reports whether two accounts of what is left out are the same.
func (l LeftOut) Equal(other LeftOut) bool {
	return l.Count == other.Count && slices.EqualFunc(l.First, other.First, func(a, b Left) bool {
		return a.Path == b.Path && a.Reason == b.Reason && a.Detail == b.Detail
	})
}
