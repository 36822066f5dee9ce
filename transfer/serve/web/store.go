package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"malcolm/wire"
)

// A Store has what a server offers. Any goroutine may call its methods.
type Store interface {
	// Open returns what is offered now. A [*HashingError] says that it is
	// being hashed; any other error that it cannot be read.
	Open(ctx context.Context) (Shelf, error)
	// Copy writes the bytes of a span to w, and no others. [ErrGone] says
	// that its file is not there any more.
	Copy(ctx context.Context, w io.Writer, span wire.Span) error
}

// ErrGone says that the bytes asked for are not there any more.
var ErrGone = errors.New("the file has changed")

// A HashingError says that what is offered is being hashed.
type HashingError struct{ Done, Total int64 } // in bytes

func (e *HashingError) Error() string { return fmt.Sprintf("hashed %d of %d bytes", e.Done, e.Total) }

// progress says how far hashing is, if that is known.
func progress(e *HashingError) string {
	if e.Total <= 0 {
		return ""
	}
	return fmt.Sprintf(" (%d %%)", min(e.Done, e.Total)*100/e.Total)
}

// A Shelf is what is offered at one moment: a file, or a tree. It is used by
// one goroutine.
type Shelf interface {
	// Name is that of the file or tree, any bytes.
	Name() string
	// Offer is what a client of malcolm is told of it.
	Offer() wire.Offer
	// Listing is that of a tree, whose size is that of the offer; nil: a
	// file.
	Listing() io.WriterTo
	// Totals are the files of a tree and their bytes.
	Totals() (files int, bytes int64)
	// Len is the number of a tree's entries.
	Len() int
	// Entry returns an entry, and its modification time. They are in the
	// order of the listing.
	Entry(i int) (wire.Entry, time.Time)
	// IsFirst reports whether an entry is the first file with its checksum.
	IsFirst(i int) bool
	// SHA256 returns that of a tree's entry, or of the file (i is 0), if it
	// is known.
	SHA256(i int) (sum [32]byte, ok bool)
	// WriteValues writes the values of a file, as SHA256 names it, of more
	// than one chunk.
	WriteValues(w io.Writer, i int) error
	// Close ends its use.
	Close()
}
