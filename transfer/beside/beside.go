// Package beside makes and reads the file of values beside an object: what a
// server would say of a file or a directory, in a file NAME.malcolm. The
// comment of package wire specifies it.
//
// [Make] hashes what lies on the disk, or takes its hashes from the cache, and
// [Made.WriteTo] writes the file. [Open] reads one, which may be anything: all
// of it is checked before anything of it is used, and no more is held in memory
// than the listing of a directory.
package beside

import (
	"fmt"
	"io"

	"malcolm/transfer/manifest"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// Suffix is what the name of a file of values has behind the object's.
const Suffix = ".malcolm"

// A FormatError says that something is no file of values. Its text holds
// nothing that the file chose except numbers and hashes.
type FormatError struct{ Err error }

func (e *FormatError) Error() string { return "is no file of values: " + e.Err.Error() }

func (e *FormatError) Unwrap() error { return e.Err }

func wrong(format string, args ...any) error { return &FormatError{fmt.Errorf(format, args...)} }

// Values are the content of a file of values, which was checked: the values of
// each file merge to its checksum, and the bytes of the listing have that of
// the tree. Any goroutine may call the methods.
type Values struct {
	// Offer is what the file says of its object. Its list of times is not
	// there.
	Offer wire.Offer
	// Listing and Tree are those of a directory; nil: the object is a file.
	Listing []byte
	Tree    *tree.Tree

	src   io.ReaderAt
	files map[[32]byte]kept // of more than one chunk
}

// kept says where the values of a file lie.
type kept struct {
	at   int64 // in the file of values
	size int64 // of the file, in bytes
}

// Open reads a file of values of size bytes, which must stay as it is while its
// values are used. The error is a [*FormatError], or that of src.
func Open(src io.ReaderAt, size int64) (*Values, error) {
	start := make([]byte, min(size, int64(wire.MaxValuesStart)))
	if err := readFull(src, start, 0); err != nil {
		return nil, err
	}
	offer, n, err := wire.ParseValuesStart(start)
	if err != nil {
		return nil, &FormatError{err}
	}
	v := &Values{Offer: offer, src: src, files: make(map[[32]byte]kept)}
	at := int64(n)
	if offer.Kind == wire.KindTree {
		if err := v.list(at, size); err != nil {
			return nil, err
		}
		at += offer.Size
	}
	end, err := v.place(at)
	switch {
	case err != nil:
		return nil, err
	case end != size:
		return nil, wrong("it has %d bytes, and its sizes make %d", size, end)
	}
	return v, v.check()
}

// readFull fills b. An early end of src is an error of the file.
func readFull(src io.ReaderAt, b []byte, at int64) error {
	n, err := src.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return wrong("it ends too soon")
	}
	return err
}

// list reads the listing, which begins at at, of a file of size bytes.
func (v *Values) list(at, size int64) error {
	if at+v.Offer.Size > size {
		return wrong("it ends within its listing")
	}
	v.Listing = make([]byte, v.Offer.Size)
	if err := readFull(v.src, v.Listing, at); err != nil {
		return err
	}
	if len(v.Listing) == 0 || manifest.Sum(v.Listing) != v.Offer.Checksum {
		return wrong("its listing does not have the checksum")
	}
	entries, err := wire.ParseListing(v.Listing)
	if err == nil {
		v.Tree, err = tree.New(entries)
	}
	if err != nil {
		return &FormatError{err}
	}
	return nil
}

// place finds where the values of each file lie, and where the last ones end.
// The first values are at at.
func (v *Values) place(at int64) (end int64, err error) {
	add := func(checksum [32]byte, size int64) {
		if n := manifest.Count(size); n > 1 {
			v.files[checksum] = kept{at, size}
			at += int64(n) * wire.ValueLen
		}
	}
	if v.Tree == nil {
		if v.Offer.Size == 0 && v.Offer.Checksum != manifest.Merge(0, nil) {
			return 0, wrong("an empty file has the checksum of another one")
		}
		add(v.Offer.Checksum, v.Offer.Size)
		return at, nil
	}
	content := v.Tree.Content()
	for i := range content.Files() {
		add(content.File(i).Checksum, content.File(i).Size)
	}
	return at, nil
}

// check reads all values, and merges them.
func (v *Values) check() error {
	for checksum := range v.files {
		if _, err := v.Of(checksum); err != nil {
			return err
		}
	}
	return nil
}

// Of returns the values of the file with a checksum and more than one chunk.
// [manifest.Known] has those of the others. The error is that of reading, or a
// [*FormatError]: it has no such file, or they do not merge to the checksum.
func (v *Values) Of(checksum [32]byte) (wire.Values, error) {
	where, ok := v.files[checksum]
	if !ok {
		return wire.Values{}, wrong("it has no values of %x", checksum)
	}
	b := make([]byte, wire.ValuesLen(manifest.Count(where.size)))
	if err := readFull(v.src, b, where.at); err != nil {
		return wire.Values{}, err
	}
	values, err := wire.ParseValues(b)
	if err == nil {
		err = manifest.Check(values, where.size, checksum)
	}
	if err != nil {
		return wire.Values{}, &FormatError{err}
	}
	return values, nil
}
