package tree

import (
	"iter"

	"malcolm/wire"
)

// Versions is what several listings have at one path.
type Versions struct {
	Path    string
	Entries []*wire.Entry // by listing; nil: it has no entry there
}

// AreSame reports whether all listings have the same entry.
func (v *Versions) AreSame() bool {
	for _, e := range v.Entries {
		if !same(v.Entries[0], e) {
			return false
		}
	}
	return true
}

// Classes appends a number for each listing to into: the number of the first
// listing that has the same entry. Listings without an entry there share a
// number too.
func (v *Versions) Classes(into []int) []int {
	for i, e := range v.Entries {
		class := i
		for first := range i {
			if same(v.Entries[first], e) {
				class = first
				break
			}
		}
		into = append(into, class)
	}
	return into
}

func same(a, b *wire.Entry) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// Paths yields all paths of some listings in their order, each once, with what
// the listings have there. Its Entries are for the caller until it goes on. The
// listings are in order (see [wire.PathLess]) and without a path twice, as
// [wire.ParseListing] returns them. Nothing else is held.
func Paths(listings ...[]wire.Entry) iter.Seq[Versions] {
	return func(yield func(Versions) bool) {
		next := make([]int, len(listings)) // by listing: the entry that was not yielded
		v := Versions{Entries: make([]*wire.Entry, len(listings))}
		for {
			some := false
			for i, list := range listings {
				if n := next[i]; n < len(list) && (!some || wire.PathLess(list[n].Path, v.Path)) {
					v.Path, some = list[n].Path, true
				}
			}
			if !some {
				return
			}
			for i, list := range listings {
				v.Entries[i] = nil
				if n := next[i]; n < len(list) && list[n].Path == v.Path {
					v.Entries[i] = &list[n]
					next[i]++
				}
			}
			if !yield(v) {
				return
			}
		}
	}
}

// Differences yields the paths at which listings differ, as [Paths] does.
func Differences(listings ...[]wire.Entry) iter.Seq[Versions] {
	return func(yield func(Versions) bool) {
		for v := range Paths(listings...) {
			if !v.AreSame() && !yield(v) {
				return
			}
		}
	}
}

// A Change is a set of ways in which two entries of one path differ.
type Change uint8

const (
	Added      Change = 1 << iota // only the second is there
	Removed                       // only the first is there
	Kind                          // one is a file, the other a link, or an empty directory
	Executable                    // only one of two files may be executed
	Size                          // of two files
	Checksum                      // of two files
	Target                        // of two links
)

// Compare returns how two entries of one path differ; nil is an entry that is
// not there. It returns 0 if they are equal.
func Compare(a, b *wire.Entry) (c Change) {
	switch {
	case same(a, b):
		return 0
	case a == nil:
		return Added
	case b == nil:
		return Removed
	case a.IsFile() != b.IsFile(), !a.IsFile() && a.Kind != b.Kind:
		return Kind
	}
	if a.Kind != b.Kind {
		c |= Executable
	}
	if a.Size != b.Size {
		c |= Size
	}
	if a.Checksum != b.Checksum {
		c |= Checksum
	}
	if a.Target != b.Target {
		c |= Target
	}
	return c
}

// A Difference is a path at which two listings differ.
type Difference struct {
	Path          string
	Before, After *wire.Entry // nil: it has no entry
	Change        Change      // not 0
}

// Diff yields the paths at which two listings differ, in order. The listings
// must be as those of [Paths].
func Diff(before, after []wire.Entry) iter.Seq[Difference] {
	return func(yield func(Difference) bool) {
		for v := range Differences(before, after) {
			a, b := v.Entries[0], v.Entries[1]
			if !yield(Difference{v.Path, a, b, Compare(a, b)}) {
				return
			}
		}
	}
}
