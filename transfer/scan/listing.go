package scan

import (
	"bytes"
	"io"
	"slices"
)

// pieceLen is the length in bytes of the pieces of a [Listing].
const pieceLen = 64 << 10

// A Listing is the listing of a tree, in pieces: it grows without being copied.
// Any goroutine may call the methods of one that is finished.
type Listing struct {
	head   []byte   // all in front of the entries
	pieces [][]byte // the entries; all but the last one have pieceLen bytes
	n      int      // bytes in pieces
}

// Size returns the number of bytes.
func (l *Listing) Size() int64 { return int64(len(l.head) + l.n) }

// ReadAt implements [io.ReaderAt].
func (l *Listing) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(l.head)) {
		n = copy(p, l.head[off:])
	}
	n += l.read(p[n:], int(off)+n-len(l.head))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// read copies bytes of the entries.
func (l *Listing) read(p []byte, at int) (n int) {
	for n < len(p) && at+n < l.n {
		n += copy(p[n:], l.pieces[(at+n)/pieceLen][(at+n)%pieceLen:])
	}
	return n
}

// WriteTo implements [io.WriterTo].
func (l *Listing) WriteTo(w io.Writer) (n int64, err error) {
	for i := -1; i < len(l.pieces) && err == nil; i++ {
		b := l.head
		if i >= 0 {
			b = l.pieces[i]
		}
		var written int
		written, err = w.Write(b)
		n += int64(written)
	}
	return n, err
}

// Bytes returns a copy of all bytes.
func (l *Listing) Bytes() []byte {
	b := bytes.NewBuffer(make([]byte, 0, l.Size()))
	_, _ = l.WriteTo(b) // it cannot fail
	return b.Bytes()
}

// add adds bytes of entries.
func (l *Listing) add(b []byte) {
	for len(b) > 0 {
		if l.n%pieceLen == 0 {
			l.pieces = append(l.pieces, nil)
		}
		last := &l.pieces[len(l.pieces)-1]
		n := min(len(b), pieceLen-len(*last))
		*last = append(*last, b[:n]...)
		l.n += n
		b = b[n:]
	}
}

// put writes over bytes of the entries.
func (l *Listing) put(b []byte, at int) {
	for len(b) > 0 {
		n := copy(l.pieces[at/pieceLen][at%pieceLen:], b)
		at += n
		b = b[n:]
	}
}

// between returns some bytes of the entries, which are not to be changed.
func (l *Listing) between(at, end int) []byte {
	if at/pieceLen == (end-1)/pieceLen {
		return l.pieces[at/pieceLen][at%pieceLen:][:end-at]
	}
	b := make([]byte, end-at)
	l.read(b, at)
	return b
}

// forget lets go of the pieces in front of a place.
func (l *Listing) forget(at int) { forget(l.pieces, at/pieceLen) }

// forget lets go of the first n pieces, the last ones first: they end at those
// that are gone already.
func forget[T any](pieces [][]T, n int) {
	for n--; n >= 0 && pieces[n] != nil; n-- {
		pieces[n] = nil
	}
}

// columnLen is the number of values in a piece of a column.
const columnLen = 8192

// A column is values by number, in pieces: it grows without being copied.
type column[T comparable] struct {
	pieces [][]T // all but the last one have columnLen values
	n      int
}

func (c *column[T]) add(v T) {
	if c.n%columnLen == 0 {
		c.pieces = append(c.pieces, nil)
	}
	last := &c.pieces[len(c.pieces)-1]
	*last = append(*last, v)
	c.n++
}

func (c *column[T]) at(i int) *T { return &c.pieces[i/columnLen][i%columnLen] }

// forget lets go of the pieces in front of value i.
func (c *column[T]) forget(i int) { forget(c.pieces, i/columnLen) }

// equal reports whether two columns have the same values.
func (c *column[T]) equal(other *column[T]) bool {
	return c.n == other.n && slices.EqualFunc(c.pieces, other.pieces, slices.Equal)
}

// bits are a set of entries.
type bits []uint64

func (b *bits) set(i int) {
	for len(*b) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

func (b bits) has(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 == 1 }
