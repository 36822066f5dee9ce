package partfile

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// What an entry of claims.owners says.
const (
	untouched  uint64 = 0              // nobody claimed the chunk in this run: on disk is what was there before
	free       uint64 = 1              // claimed and handed back: its bytes on disk are unknown
	firstOwner uint64 = 2              // this and all up to marked: the number of the claim that owns the chunk
	marked     uint64 = math.MaxUint64 // its bytes on disk are the right ones
)

// stripeCount is how many locks all chunks share. Writes hold them for reading, so chunks of one lock are still
// written side by side; chunk i's neighbours, which are in work together, have other locks.
const stripeCount = 256

// claims are who may write which chunk. An entry of owners is read with its stripe held for reading, and changed with
// it held for writing.
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

// mark is called with the chunk's stripe held for writing.
func (o *claims) mark(chunk int) {
	o.owners[chunk] = marked
	o.markedCount.Add(1)
}

// stripe is the lock of the chunk, and the check that there is such a chunk.
func (o *claims) stripe(chunk int) *sync.RWMutex {
	if chunk < 0 || chunk >= len(o.owners) {
		panic(fmt.Sprintf("malcolm: internal error: chunk %d of %d", chunk, len(o.owners)))
	}
	return &o.stripes[chunk%stripeCount]
}
