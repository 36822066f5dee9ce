// Package described makes mirrors vote by files of values (see package wire):
// what NAME.malcolm beside an object says is what the mirror offers. A mirror
// without such a file only sends bytes, and never votes.
//
// A file of values is a hint like any other offer: its values must merge to its
// checksum, which the vote or the user chooses.
package described

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"

	"malcolm/transfer/beside"
	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// A Reader reads a file of values. Its error is a [*source.Fault]; one of the
// kind [source.BytesOnly] says that there is no such file.
type Reader func(ctx context.Context) ([]byte, error)

// New returns src as a source that votes as host by the file of values that
// read returns. It is read when the source is first asked what it offers, and
// again only if that failed.
func New(src source.Source, host string, read Reader) source.Source {
	d := &described{Source: src, host: host, read: read, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

type described struct {
	source.Source
	host string
	read Reader

	turn chan struct{}        // holds a value while nobody reads the file
	file atomic.Pointer[File] // nil: it was not read yet
}

func (d *described) Voter() (source.Voter, bool) { return source.Voter{Host: d.host}, true }

func (d *described) Connect(ctx context.Context) (source.Conn, error) {
	c, err := d.Source.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, d: d}, nil
}

// obtain returns the file of values. A caller that waits for another's read
// waits no longer than its own ctx.
func (d *described) obtain(ctx context.Context) (*File, error) {
	select {
	case <-d.turn:
		defer func() { d.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f := d.file.Load(); f != nil {
		return f, nil
	}
	b, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	if !wire.IsValuesFile(b) { // such as a page of an error
		return nil, errNoFile
	}
	f, err := Parse(b)
	if err != nil {
		return nil, &source.Fault{What: source.Wrong, Words: "its file of values is refused: " + err.Error(), Err: err}
	}
	d.file.Store(f)
	return f, nil
}

// errNoFile is the error of a mirror that answers something else than a file of
// values.
var errNoFile = &source.Fault{What: source.BytesOnly, Words: "has no file of values"}

// A conn is a connection to a described mirror.
type conn struct {
	source.Conn
	d *described
}

func (c *conn) Again(ctx context.Context, which source.Another) (source.Conn, error) {
	more, err := c.Conn.Again(ctx, which)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: more, d: c.d}, nil
}

// Stat returns what the file of values says, and tells the mirror to serve
// that. With ask.Want the mirror is to serve Want.
func (c *conn) Stat(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
	if ask.Want != nil || ask.Bare {
		return c.Conn.Stat(ctx, ask, indexing)
	}
	f, err := c.d.obtain(ctx)
	if err != nil {
		return source.Offer{}, err
	}
	want := &source.Wanted{Offer: f.Offer}
	if f.Offer.Kind == wire.KindTree {
		want.Path = f.Path
	}
	o, err := c.Conn.Stat(ctx, source.Ask{Want: want}, indexing)
	if err != nil {
		return source.Offer{}, err
	}
	o.Offer, o.Values = f.Offer, wire.Values{}
	if ask.Values {
		o.Values = f.inline()
	}
	return o, nil
}

// Values returns the values from the file, of the object or of any file of a
// tree.
func (c *conn) Values(ctx context.Context, o source.Offer, arrived func(bytes int)) (wire.Values, error) {
	f := c.d.file.Load()
	if f == nil {
		return c.Conn.Values(ctx, o, arrived)
	}
	values, ok := f.of(o.Checksum)
	if !ok {
		return wire.Values{}, &source.Fault{What: source.Changed, Words: "its file of values has no values of that file"}
	}
	arrived(len(values.Bytes()))
	return values, nil
}

// Range asks the mirror, except for the listing, which is in the file.
func (c *conn) Range(ctx context.Context, spans []source.Span) (source.Body, error) {
	f := c.d.file.Load()
	if f == nil || len(spans) != 1 || !f.isListing(spans[0]) {
		return c.Conn.Range(ctx, spans)
	}
	return &listing{f.Listing[spans[0].Offset : spans[0].Offset+spans[0].Length]}, nil
}

// A listing is a body of bytes that are here already.
type listing struct{ left []byte }

func (l *listing) Wait() error { return nil }

func (l *listing) Read(p []byte) (int, error) {
	if len(l.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

func (l *listing) Close() {}

// A File is a file of values that was checked. It does not change.
type File struct {
	*beside.Values
	places tree.Places // of the tree's files
}

// Parse reads a file of values, which it keeps, and checks that all values in
// it merge to the checksums that it names. The error is a
// [*beside.FormatError].
func Parse(b []byte) (*File, error) {
	v, err := beside.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	f := &File{Values: v}
	if v.Tree != nil {
		f.places = v.Tree.Places()
	}
	return f, nil
}

// of returns the values of the file, of the tree's listing, or of a file of the
// tree.
func (f *File) of(checksum [32]byte) (values wire.Values, ok bool) {
	size := f.Offer.Size
	switch _, inside, inTree := f.places.Of(checksum); {
	case f.Listing != nil && checksum == f.Offer.Checksum:
		return listingValues(f.Listing), true
	case inTree:
		size = inside
	case f.Listing != nil || checksum != f.Offer.Checksum:
		return wire.Values{}, false
	}
	if values, ok = manifest.Known(size, checksum); ok {
		return values, true
	}
	values, err := f.Of(checksum)
	return values, err == nil
}

// listingValues computes the values of a listing, which is in memory.
func listingValues(listing []byte) wire.Values {
	size := int64(len(listing))
	values := wire.NewValues(manifest.Count(size))
	var h manifest.Hasher
	for c := range values.Len() {
		h.Reset(size, c)
		offset, n := manifest.Span(size, c)
		if _, err := h.Write(listing[offset : offset+n]); err != nil {
			panic("malcolm: internal error: " + err.Error())
		}
		value, _ := h.Sum()
		values.Set(c, value)
	}
	return values
}

// Path says where a file of the tree lies, by its checksum.
func (f *File) Path(checksum [32]byte) (path string, size int64, ok bool) {
	return f.places.Of(checksum)
}

// inline returns the values that go with an offer; zero: it is a tree.
func (f *File) inline() wire.Values {
	if f.Listing != nil {
		return wire.Values{}
	}
	values, _ := f.of(f.Offer.Checksum)
	return values
}

func (f *File) isListing(s source.Span) bool {
	size := int64(len(f.Listing))
	return f.Listing != nil && s.Checksum == f.Offer.Checksum && s.Offset >= 0 && s.Length <= size && s.Offset <= size-s.Length
}
