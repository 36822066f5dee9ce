package scan

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sort"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// A Snapshot is the tree at one time: its listing, and where the bytes of each
// checksum lie. Any goroutine may call its methods, but for Close, which must
// come last. The slices that it returns are not to be changed.
type Snapshot struct {
	parts   []openPart
	listing []byte
	times   []byte

	offsets []uint32      // by entry: where it begins in the listing
	stamps  []cache.Stamp // by entry
	settled bits          // by entry: a later change changes the stamp
	partOf  []uint16      // by entry; nil: there is one part
	find    []place       // the files, by the front of their checksum
	several []values      // the files of several chunks, by entry
	store   *store
	numbers bool // the file numbers say nothing

	modified time.Time
	totals   tree.Totals
	left     LeftOut
	unkept   bool // the cache does not have all of it
}

// A place says which entry has a checksum that begins so.
type place struct{ front, entry uint32 }

// values say where the values of an entry are in the store.
type values struct{ entry, first uint32 }

// bits are a set of entries.
type bits []uint64

func newBits(n int) bits        { return make(bits, (n+63)/64) }
func (b bits) set(i int)        { b[i/64] |= 1 << (i % 64) }
func (b bits) has(i int) bool   { return b[i/64]>>(i%64)&1 == 1 }
func front(sum [32]byte) uint32 { return binary.BigEndian.Uint32(sum[:]) }

// snapshot makes the snapshot of a look whose files are hashed.
func (l *Look) snapshot(hashed bool) (*Snapshot, error) {
	s := &Snapshot{
		parts: l.parts, store: l.store, numbers: l.scanner.numbers, modified: l.newest, left: l.left,
		unkept: hashed || l.before != nil && l.before.unkept || l.before == nil && !l.cached,
	}
	listing, err := wire.AppendListing(nil, l.entries)
	if err != nil {
		return nil, &localfile.Error{Op: "serve", Path: l.scanner.cfg.Parts[0].Path, Err: err}
	}
	s.listing = slices.Clip(listing)
	if s.offsets, err = wire.EntryOffsets(s.listing); err != nil {
		return nil, fmt.Errorf("malcolm: internal error: %w", err)
	}
	s.note(l.entries, l.facts)
	return s, nil
}

// note fills in what is known of each entry.
func (s *Snapshot) note(entries []wire.Entry, facts []fact) {
	n := len(entries)
	s.stamps, s.settled, s.find = make([]cache.Stamp, n), newBits(n), make([]place, 0, n)
	if len(s.parts) > 1 {
		s.partOf = make([]uint16, n)
	}
	times := make([]time.Time, n)
	for i := range entries {
		e, f := &entries[i], &facts[i]
		s.stamps[i] = f.stamp
		times[i] = time.Unix(0, f.stamp.ModTime)
		if s.partOf != nil {
			s.partOf[i] = f.part
		}
		if f.settled {
			s.settled.set(i)
		}
		s.count(e)
		if !e.IsFile() {
			continue
		}
		s.find = append(s.find, place{front(e.Checksum), uint32(i)})
		if valuesKept(e.Size) > 0 {
			s.several = append(s.several, values{uint32(i), f.first})
		}
	}
	slices.SortFunc(s.find, func(a, b place) int {
		if a.front != b.front {
			return int(int64(a.front) - int64(b.front))
		}
		return int(a.entry) - int(b.entry)
	})
	s.find, s.several = slices.Clip(s.find), slices.Clip(s.several)
	s.times = slices.Clip(wire.AppendTimes(nil, times))
}

func (s *Snapshot) count(e *wire.Entry) {
	switch {
	case e.IsFile():
		s.totals.Files++
		s.totals.Bytes += e.Size
	case e.Kind == wire.EntryLink:
		s.totals.Links++
	default:
		s.totals.Directories++
	}
}

// Listing returns the listing.
func (s *Snapshot) Listing() []byte { return s.listing }

// Times returns the list of times.
func (s *Snapshot) Times() []byte { return s.times }

// ModTime is when the directory itself was last changed.
func (s *Snapshot) ModTime() time.Time { return s.modified }

// Totals counts the entries.
func (s *Snapshot) Totals() tree.Totals { return s.totals }

// HardLinks counts the files that are further names (hard links) of another
// file of the tree. It is 0 where the system does not tell.
func (s *Snapshot) HardLinks() (n int) {
	if s.numbers {
		return 0
	}
	files := make([]uint64, 0, s.totals.Files)
	for i := range s.find {
		if file := s.stamps[s.find[i].entry].File; file != 0 {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return len(files) - len(slices.Compact(files))
}

// LeftOut says what is not in the tree.
func (s *Snapshot) LeftOut() LeftOut { return s.left }

// Close ends the use of the directory.
func (s *Snapshot) Close() {
	closeParts(s.parts)
	s.store.release()
}

func (s *Snapshot) entry(i int) wire.Entry {
	e, _, err := wire.ParseEntry(s.listing[s.offsets[i]:])
	if err != nil {
		panic("malcolm: internal error: " + err.Error())
	}
	return e
}

// Entry returns an entry by its number.
func (s *Snapshot) Entry(i int) wire.Entry { return s.entry(i) }

// Find returns the entries of files with a checksum, in the order of the
// listing.
func (s *Snapshot) Find(checksum [32]byte) iter.Seq[int] {
	want := front(checksum)
	return func(yield func(int) bool) {
		at := sort.Search(len(s.find), func(i int) bool { return s.find[i].front >= want })
		for ; at < len(s.find) && s.find[at].front == want; at++ {
			i := int(s.find[at].entry)
			if s.entry(i).Checksum == checksum && !yield(i) {
				return
			}
		}
	}
}

// Open opens the file of an entry. [localfile.ErrChanged]: it is not the one
// that was hashed. doubtful: it may not be, since something was done to it.
func (s *Snapshot) Open(i int) (f localfile.File, info fs.FileInfo, doubtful bool, err error) {
	part := 0
	if s.partOf != nil {
		part = int(s.partOf[i])
	}
	e := s.entry(i)
	if f, err = s.parts[part].open(e.Path); err != nil {
		return nil, nil, false, err
	}
	if info, err = f.Stat(); err == nil {
		hashed, now := s.stamps[i], cache.StampOf(info)
		doubtful = hashed.ChangeTime != now.ChangeTime
		if info.Size() != e.Size || hashed.ModTime != now.ModTime || hashed.File != now.File && !s.numbers {
			err = localfile.ErrChanged
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, false, err
	}
	return f, info, doubtful, nil
}

// firstOf returns the number of an entry's first value in the store; 0: it has
// none.
func (s *Snapshot) firstOf(i int) uint32 {
	at, ok := slices.BinarySearchFunc(s.several, uint32(i), func(v values, i uint32) int { return int(int64(v.entry) - int64(i)) })
	if !ok {
		return 0
	}
	return s.several[at].first
}

// ReadValues fills p, whose length is a multiple of [wire.ValueLen], with the
// values from number first on of an entry that has several.
func (s *Snapshot) ReadValues(i int, p []byte, first int) error {
	return s.store.read(p, s.firstOf(i)+uint32(first))
}

// live returns the number of values that the store has for the snapshot.
func (s *Snapshot) live() (n int64) {
	for _, v := range s.several {
		n += int64(manifest.Count(s.entry(int(v.entry)).Size))
	}
	return n
}
