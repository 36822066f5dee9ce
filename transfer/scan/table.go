package scan

import (
	"cmp"
	"slices"
	"strings"

	"malcolm/transfer/manifest/cache"
	"malcolm/wire"
)

// A table is the entries of a tree in the order of a listing, and what is known
// of each. It has less than 200 bytes an entry, with paths of usual lengths. So
// it is filled in place.
type table struct {
	listing Listing
	offsets column[uint32] // where an entry begins, behind the listing's head
	stamps  column[cache.Stamp]
	hashed  bits             // the entry's checksum is known
	settled bits             // a later change changes the stamp
	partOf  column[uint16]   // empty: there is one part
	sha256  column[[32]byte] // empty: not asked for
	several []values         // the files of several chunks; at the end by entry
	dirs    column[int64]    // modification of each of [wire.Directories] but the first
}

// values say where the values of an entry are in the store.
type values struct{ entry, first uint32 }

// A fact is what is known of an entry beside what the listing says.
type fact struct {
	stamp  cache.Stamp
	part   uint16
	dirs   []int64 // modification of the directories that begin with it
	parts  bool    // there are several
	sha256 bool    // there will be one
}

// A hash is what is known of a file that was hashed.
type hash struct {
	checksum [32]byte
	first    uint32    // of its values, in the store; of a file of one chunk without meaning
	sha256   *[32]byte // nil: not asked for
	settled  bool
}

// Len returns the number of entries.
func (t *table) Len() int { return t.offsets.n }

// add adds an entry, whose checksum has no meaning yet.
func (t *table) add(e *wire.Entry, f fact) {
	var room [512]byte
	t.offsets.add(uint32(t.listing.n))
	t.listing.add(e.Append(room[:0]))
	t.stamps.add(f.stamp)
	if f.parts {
		t.partOf.add(f.part)
	}
	if f.sha256 {
		t.sha256.add([32]byte{})
	}
	for _, modified := range f.dirs {
		t.dirs.add(modified)
	}
}

// end returns where an entry ends.
func (t *table) end(i int) int {
	if i+1 < t.Len() {
		return int(*t.offsets.at(i + 1))
	}
	return t.listing.n
}

func (t *table) entry(i int) wire.Entry {
	e, _, err := wire.ParseEntry(t.listing.between(int(*t.offsets.at(i)), t.end(i)))
	if err != nil {
		panic("malcolm: internal error: " + err.Error())
	}
	return e
}

// entryAt is entry for functions of [wire].
func (t *table) entryAt(i int) *wire.Entry {
	e := t.entry(i)
	return &e
}

func (t *table) part(i int) int {
	if t.partOf.n == 0 {
		return 0
	}
	return int(*t.partOf.at(i))
}

// setHash says what is known of a file of size bytes, as the listing has it.
func (t *table) setHash(i int, size int64, h hash) {
	t.listing.put(h.checksum[:], t.end(i)-len(h.checksum)) // an entry of a file ends by it
	t.hashed.set(i)
	if h.settled {
		t.settled.set(i)
	}
	if h.sha256 != nil {
		*t.sha256.at(i) = *h.sha256
	}
	if valuesKept(size) > 0 {
		t.several = append(t.several, values{uint32(i), h.first})
	}
}

// order puts the files of several chunks in order.
func (t *table) order() {
	slices.SortFunc(t.several, func(a, b values) int { return cmp.Compare(a.entry, b.entry) })
	t.several = slices.Clip(t.several)
}

// firstOf returns the number of an entry's first value in the store; 0: it has
// none.
func (t *table) firstOf(i int) uint32 {
	at, ok := slices.BinarySearchFunc(t.several, uint32(i), func(v values, i uint32) int { return cmp.Compare(v.entry, i) })
	if !ok {
		return 0
	}
	return t.several[at].first
}

// A revision is what becomes of an entry.
type revision struct {
	gone bool
	size int64 // of a file that is not gone
	hash hash
}

// changed returns a table without the entries that are gone, with new sizes of
// others. It frees what is in t as it goes on.
func (t *table) changed(changes map[int]revision) table {
	var to table
	t.order()
	var in levels
	several := t.several
	to.several = make([]values, 0, len(several))
	nextDir := 0
	for i := range t.Len() {
		e := t.entry(i)
		in.enter(e.Path, func() int64 { nextDir++; return *t.dirs.at(nextDir - 1) })
		first := uint32(0)
		if len(several) > 0 && int(several[0].entry) == i {
			first = several[0].first
			several = several[1:]
		}
		t.move(&to, i, &e, &in, first, changes)
		t.listing.forget(int(*t.offsets.at(i)))
		t.stamps.forget(i)
		if t.sha256.n > 0 {
			t.sha256.forget(i)
		}
	}
	return to
}

// move adds one entry to another table.
func (t *table) move(to *table, i int, e *wire.Entry, in *levels, first uint32, changes map[int]revision) {
	c, is := changes[i]
	if c.gone {
		return
	}
	if is {
		e.Size = c.size
	}
	f := fact{stamp: *t.stamps.at(i), part: uint16(t.part(i)), parts: t.partOf.n > 0, sha256: t.sha256.n > 0, dirs: in.begun()}
	at := to.Len()
	to.add(e, f)
	switch {
	case is:
		to.setHash(at, e.Size, c.hash)
	case t.hashed.has(i):
		h := hash{checksum: e.Checksum, first: first, settled: t.settled.has(i)}
		if f.sha256 {
			h.sha256 = t.sha256.at(i)
		}
		to.setHash(at, e.Size, h)
	}
}

// levels are the directories that the walk of a tree is in, without the tree's
// own, and the number of them that have something in them.
type levels struct {
	path     string
	modified []int64
	filled   int
}

// push enters a directory.
func (l *levels) push(modified int64) { l.modified = append(l.modified, modified) }

// pop leaves the directory that was entered last.
func (l *levels) pop() {
	l.modified = l.modified[:len(l.modified)-1]
	l.filled = min(l.filled, len(l.modified))
}

// begun returns the directories that begin with an entry, until the next call.
func (l *levels) begun() []int64 {
	dirs := l.modified[l.filled:]
	l.filled = len(l.modified)
	return dirs
}

// enter goes from the directory of one entry to that of the next. modified is
// called for each directory that is entered.
func (l *levels) enter(path string, modified func() int64) {
	common := 0
	for common < min(len(path), len(l.path)) && path[common] == l.path[common] {
		common++
	}
	for range len(l.modified) - strings.Count(path[:common], "/") {
		l.pop()
	}
	for range strings.Count(path[common:], "/") {
		l.push(modified())
	}
	l.path = path
}
