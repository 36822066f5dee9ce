package fetch

import "malcolm/transfer/partfile"

// A chunkStore is where fetches put the chunks of a file: the part file, or the
// window of a stream. A chunk has one owner at a time, and only the owner
// writes to its place. Any goroutine may call its methods.
type chunkStore interface {
	// Claim makes the caller the owner of a chunk without an owner or a
	// mark.
	Claim(chunk int) (chunkClaim, bool)
	// TakeOver makes the caller the owner of a chunk without a mark, even
	// if it has one: for a copy whose value has matched.
	TakeOver(chunk int) (chunkClaim, bool)
	// Marked reports whether a chunk is known to be right.
	Marked(chunk int) bool
	// Records reports whether marks are kept for a later run, with the
	// xxh3-128 of each chunk. Else that is not computed.
	Records() bool
}

// A chunkClaim is the ownership of a chunk until it is marked, released or
// taken over. WriteAt and Mark belong to one goroutine; any may call Release.
// Once the ownership is lost, errors are partfile.ErrNotOwner.
type chunkClaim interface {
	// WriteAt writes p at off bytes from the start of the chunk. off is at
	// most the number of bytes written so far.
	WriteAt(p []byte, off int64) error
	// Mark says that the chunk is complete and right, and has this
	// xxh3-128: zeros if the store does not record it.
	Mark(xxh [16]byte) error
	Release()
}

// A partStore is the chunkStore in a part file.
type partStore struct{ *partfile.File }

func (s partStore) Claim(chunk int) (chunkClaim, bool) { return claimOf(s.File.Claim(chunk)) }

func (s partStore) TakeOver(chunk int) (chunkClaim, bool) { return claimOf(s.File.TakeOver(chunk)) }

func (partStore) Records() bool { return true }

func claimOf(c *partfile.Claim, ok bool) (chunkClaim, bool) {
	if !ok {
		return nil, false
	}
	return c, true
}
