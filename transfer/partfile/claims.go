package partfile

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// The values of an entry of claims.owners.
const (
	untouched  uint64 = 0              // not claimed in this run: the disk has what was there before
	free       uint64 = 1              // claimed and handed back: its bytes on disk are unknown
	firstOwner uint64 = 2              // from here up to marked: the number of the claim that owns the chunk
	marked     uint64 = math.MaxUint64 // its bytes on disk are right
)

// stripeCount is the number of locks that all chunks share. Writes hold a lock
// for reading, so chunks of one lock are still written at the same time.
// Neighbouring chunks, which are worked on together, have different locks.
const stripeCount = 256

// claims says who may write which chunk. Hold a chunk's stripe for reading to
// read its entry of owners, for writing to change it.
type claims struct {
	stripes     [stripeCount]sync.RWMutex
	owners      []uint64
	lastOwner   atomic.Uint64
	markedCount atomic.Int64
	written     atomic.Bool // a write was tried
}

// Marked reports whether the chunk's bytes on disk are known to be right.
func (o *claims) Marked(chunk int) bool {
	mu := o.stripe(chunk)
	mu.RLock()
	defer mu.RUnlock()
	return o.owners[chunk] == marked
}

// MarkedCount is the number of marked chunks.
func (o *claims) MarkedCount() int { return int(o.markedCount.Load()) }

// mark marks a chunk. The caller holds its stripe for writing.
func (o *claims) mark(chunk int) {
	o.owners[chunk] = marked
	o.markedCount.Add(1)
}

// stripe returns the lock of the chunk. It panics if there is no such chunk.
func (o *claims) stripe(chunk int) *sync.RWMutex {
	if chunk < 0 || chunk >= len(o.owners) {
		panic(fmt.Sprintf("malcolm: internal error: chunk %d of %d", chunk, len(o.owners)))
	}
	return &o.stripes[chunk%stripeCount]
}
