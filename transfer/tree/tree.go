// Package tree holds a directory that a download copies: its entries, in the
// order of the listing, and the content of its files. Files of the same bytes
// share one content. It is pure.
package tree

import (
	"errors"
	"fmt"

	"malcolm/transfer/content"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// ErrSizes says that two files have one checksum and different sizes: no bytes
// do.
var ErrSizes = errors.New("two files have one checksum and different sizes")

// errEmpty says that an empty file has a checksum that is not that of no bytes.
var errEmpty = errors.New("an empty file has the checksum of another one")

// A Tree is the entries of a directory and their bytes. It does not change.
type Tree struct {
	entries []wire.Entry
	content *content.Content
	of      []int32 // by entry: the number of its file in content; none without bytes
	next    []int32 // by entry: the next one with the same content; none: there is no other
	first   []int32 // by number in content: the first entry that has it
}

const none = -1

// New returns the tree of a listing's entries, which it keeps. The errors are
// [ErrSizes], [content.ErrTooMany] or, for an empty file, a wrong checksum.
func New(entries []wire.Entry) (*Tree, error) { return build(entries, true) }

// InOrder is like New, but each file has a content of its own: content that is
// written in the order of the entries must come in that order.
func InOrder(entries []wire.Entry) (*Tree, error) { return build(entries, false) }

func build(entries []wire.Entry, share bool) (*Tree, error) {
	t := &Tree{entries: entries, of: make([]int32, len(entries)), next: make([]int32, len(entries))}
	var files []content.File
	var last []int32 // by number: the last entry that has it
	numbers := make(map[[32]byte]int32)
	empty := manifest.Merge(0, nil)
	for i := range entries {
		e := &entries[i]
		t.of[i], t.next[i] = none, none
		switch {
		case !e.IsFile():
			continue
		case e.Size == 0 && e.Checksum != empty:
			return nil, fmt.Errorf("%q: %w", e.Path, errEmpty)
		case e.Size == 0:
			continue
		}
		number, ok := numbers[e.Checksum]
		switch {
		case !ok, !share:
			number = int32(len(files))
			numbers[e.Checksum] = number
			files = append(files, content.File{Size: e.Size, Checksum: e.Checksum})
			t.first, last = append(t.first, int32(i)), append(last, int32(i))
		case files[number].Size != e.Size:
			return nil, fmt.Errorf("%q: %w", e.Path, ErrSizes)
		default:
			t.next[last[number]], last[number] = int32(i), int32(i)
		}
		t.of[i] = number
	}
	var err error
	t.content, err = content.Of(files...)
	return t, err
}

// Entries returns all entries, in the order of the listing. They are not to be
// changed.
func (t *Tree) Entries() []wire.Entry { return t.entries }

// Content returns the bytes of all files, those of the same bytes once, in the
// order of the entries that first have them.
func (t *Tree) Content() *content.Content { return t.content }

// FileOf returns the number in the content of an entry's bytes; false: it has
// none, since it is an empty file, a directory or a link.
func (t *Tree) FileOf(entry int) (file int, ok bool) { return int(t.of[entry]), t.of[entry] != none }

// Holders calls yield for each entry that has a file of the content, in the
// order of the listing.
func (t *Tree) Holders(file int) func(yield func(entry int) bool) {
	return func(yield func(entry int) bool) {
		for i := t.first[file]; i != none && yield(int(i)); i = t.next[i] {
		}
	}
}

// Places say where the files of a tree lie, by their checksums.
type Places struct {
	tree  *Tree
	first map[[32]byte]int32
}

// Places returns them, but for empty files. It looks through all files.
func (t *Tree) Places() Places {
	p := Places{t, make(map[[32]byte]int32, t.content.Files())}
	for file := range t.content.Files() {
		checksum := t.content.File(file).Checksum
		if _, ok := p.first[checksum]; !ok {
			p.first[checksum] = t.first[file]
		}
	}
	return p
}

// Of returns the first file with a checksum; false: no file has it. The zero
// Places have no files.
func (p Places) Of(checksum [32]byte) (path string, size int64, ok bool) {
	i, ok := p.first[checksum]
	if !ok {
		return "", 0, false
	}
	e := &p.tree.entries[i]
	return e.Path, e.Size, true
}

// Totals are the numbers of a tree.
type Totals struct {
	Files, Directories, Links int
	Bytes                     int64 // of all files, those of the same bytes each time
}

// Totals counts the entries. Directories are the empty ones.
func (t *Tree) Totals() (n Totals) {
	for i := range t.entries {
		switch e := &t.entries[i]; e.Kind {
		case wire.EntryLink:
			n.Links++
		case wire.EntryDirectory:
			n.Directories++
		default:
			n.Files++
			n.Bytes += e.Size
		}
	}
	return n
}
