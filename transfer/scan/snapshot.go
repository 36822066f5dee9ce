package scan

import (
	"cmp"
	"encoding/binary"
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
// checksum lie. Any goroutine may call its methods; Close must come last. The
// slices that it returns are not to be changed.
type Snapshot struct {
	parts []openPart
	table
	times []byte

	find    []place // the files, by the front of their checksum
	store   *store
	numbers bool // the file numbers say nothing

	modified time.Time
	totals   tree.Totals
	left     LeftOut
	unkept   bool // the cache does not have all of it
}

// A place says which entry has a checksum that begins so.
type place struct{ front, entry uint32 }

func front(sum [32]byte) uint32 { return binary.BigEndian.Uint32(sum[:]) }

// snapshot makes the snapshot of a look whose files are hashed.
func (l *Look) snapshot(hashed bool) (*Snapshot, error) {
	s := &Snapshot{
		parts: l.parts, table: l.table, store: l.store, numbers: l.scanner.numbers, modified: l.newest, left: l.left,
		unkept: hashed || l.before != nil && l.before.unkept || l.before == nil && !l.cached,
	}
	s.listing.head = wire.AppendListingHead(nil, s.Len())
	if err := wire.CheckListing(s.Len(), s.listing.Size(), s.entryAt); err != nil {
		return nil, &localfile.Error{Op: "serve", Path: l.scanner.cfg.Parts[0].Path, Err: err}
	}
	s.note()
	return s, nil
}

// note fills in what follows from the table.
func (s *Snapshot) note() {
	s.find = make([]place, 0, s.Len())
	for i := range s.Len() {
		e := s.entry(i)
		s.count(&e)
		if e.IsFile() {
			s.find = append(s.find, place{front(e.Checksum), uint32(i)})
		}
	}
	slices.SortFunc(s.find, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.front, b.front), cmp.Compare(a.entry, b.entry))
	})
	s.find = slices.Clip(s.find)
	s.noteTimes()
}

// noteTimes makes the list of times.
func (s *Snapshot) noteTimes() {
	dirs := min(1+s.dirs.n, wire.MaxEntries)
	const most = 12 // bytes of one
	b := make([]byte, 0, 32+most*(s.Len()+dirs))
	b = wire.AppendTimes(wire.AppendTimesHead(b), s.Len(), s.Modified)
	s.times = wire.AppendTimes(b, dirs, func(i int) time.Time {
		if i == 0 {
			return s.modified
		}
		return time.Unix(0, *s.dirs.at(i - 1))
	})
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
func (s *Snapshot) Listing() *Listing { return &s.listing }

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
		if file := s.stamps.at(int(s.find[i].entry)).File; file != 0 {
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

// Entry returns an entry by its number.
func (s *Snapshot) Entry(i int) wire.Entry { return s.entry(i) }

// SHA256 returns the SHA-256 of an entry that is a file; false: the scan was
// not asked for any.
func (s *Snapshot) SHA256(i int) (sum [32]byte, ok bool) {
	if s.sha256.n == 0 {
		return sum, false
	}
	return *s.sha256.at(i), true
}

// Modified returns when an entry was last changed.
func (s *Snapshot) Modified(i int) time.Time { return time.Unix(0, s.stamps.at(i).ModTime) }

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

// IsFirst reports whether an entry is the first file of the listing with its
// checksum: in a file of values only that one has values.
func (s *Snapshot) IsFirst(i int) bool {
	for first := range s.Find(s.entry(i).Checksum) {
		return first == i
	}
	return false
}

// Open opens the file of an entry. [localfile.ErrChanged] says that it is not
// the file that was hashed. doubtful says that it may not be, since something
// was done to it.
func (s *Snapshot) Open(i int) (f localfile.File, info fs.FileInfo, doubtful bool, err error) {
	e := s.entry(i)
	if f, err = s.parts[s.part(i)].open(e.Path); err != nil {
		return nil, nil, false, err
	}
	if info, err = f.Stat(); err == nil {
		hashed, now := *s.stamps.at(i), cache.StampOf(info)
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
