package partfile

import (
	"errors"
	"io"
)

// Claim makes the caller the owner of the chunk. It is false if the chunk is
// marked or has an owner.
func (f *output) Claim(chunk int) (*Claim, bool) {
	return f.claim(chunk, func(owner uint64) bool { return owner < firstOwner })
}

// TakeOver makes the caller the owner of the chunk, even if it has another
// owner, after a write in progress has ended. It is false if the chunk is
// marked. Use it for a copy in memory whose value has matched, and write and
// mark that at once.
func (f *output) TakeOver(chunk int) (*Claim, bool) {
	return f.claim(chunk, func(owner uint64) bool { return owner != marked })
}

func (f *output) claim(chunk int, allowed func(owner uint64) bool) (*Claim, bool) {
	mu := f.stripe(chunk)
	mu.Lock()
	defer mu.Unlock()
	if !allowed(f.owners[chunk]) {
		return nil, false
	}
	id := f.lastOwner.Add(1)
	f.owners[chunk] = id
	return &Claim{out: f, chunk: chunk, id: id}, true
}

// MarkExisting marks a chunk whose bytes on disk were found right. xxh is their
// xxh3-128, for the journal unless it has the chunk. It is true if the chunk is
// marked already. It is false, and marks nothing, if the chunk was claimed in
// this run: its bytes may have changed since they were read.
func (f *output) MarkExisting(chunk int, xxh [16]byte) bool {
	marked, full := f.markExisting(chunk, xxh)
	if full {
		f.Sync() // the next Sync returns its error
	}
	return marked
}

func (f *output) markExisting(chunk int, xxh [16]byte) (isMarked, full bool) {
	mu := f.stripe(chunk)
	mu.Lock()
	defer mu.Unlock()
	if f.owners[chunk] == untouched {
		f.mark(chunk)
		if !f.claimed.has(chunk) && f.bytes.records(chunk) {
			full = f.pending.add(chunk, xxh)
		}
	}
	return f.owners[chunk] == marked, full
}

// Claim is the ownership of one chunk, until it is marked, released or taken
// over. WriteAt and Mark belong to one goroutine. Any goroutine may call
// Release.
type Claim struct {
	out   *output
	chunk int
	id    uint64

	// Of the goroutine that writes, or under the chunk's stripe.
	next int64  // bytes written at the chunk's front by this claim
	held []byte // those bytes, if they stay in memory until the mark; see Tree
}

var (
	errOutside    = errors.New("outside of the chunk")
	errGap        = errors.New("leaves a gap in the chunk")
	errIncomplete = errors.New("marked before all of the chunk was written")
)

// WriteAt writes p at off bytes from the start of the chunk. A chunk is written
// from its front on, so off is at most the number of bytes written so far. It
// returns ErrNotOwner, and writes nothing, if the ownership was lost. It first
// takes back what the journal of an earlier run claims of the chunk.
func (c *Claim) WriteAt(p []byte, off int64) error {
	return c.place(func() error { return c.write(p, off) })
}

// place puts bytes into the chunk once the journal claims nothing of it.
func (c *Claim) place(put func() error) error {
	f := c.out
	if f.claimed.has(c.chunk) {
		if err := f.void(c.chunk); err != nil {
			return err
		}
	}
	err := put()
	if isAny(err, spaceErrors) {
		f.end.Lock()
		defer f.end.Unlock()
		return f.bytes.lacking(err)
	}
	return err
}

func (c *Claim) write(p []byte, off int64) error {
	f, end := c.out, off+int64(len(p))
	mu := f.stripe(c.chunk)
	mu.RLock()
	defer mu.RUnlock()
	if f.owners[c.chunk] != c.id {
		return ErrNotOwner
	}
	switch {
	case off < 0 || end > c.length():
		return reasoned(f.fs, "write", f.part, Internal, errOutside)
	case off > c.next:
		return reasoned(f.fs, "write", f.part, Internal, errGap)
	case len(p) == 0:
		return nil
	}
	if !f.written.Load() {
		f.written.Store(true)
	}
	n, err := f.bytes.put(c, p, off)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		c.next = off
		return failure(f.fs, "write", f.part, err)
	}
	c.next = max(c.next, end)
	return nil
}

// Mark says that the chunk's value has matched, and that all of it was written
// through this claim: its bytes on disk are right. xxh is their xxh3-128,
// computed here and not taken from a peer. The next Sync puts it into the
// journal. The ownership ends. Mark returns ErrNotOwner if the ownership was
// lost, and an internal error if bytes of the chunk are missing. If thousands
// of chunks were marked without a Sync it calls Sync, and returns its errors.
func (c *Claim) Mark(xxh [16]byte) error {
	full, err := c.mark(xxh)
	if err != nil || !full {
		return err
	}
	return c.out.Sync()
}

func (c *Claim) mark(xxh [16]byte) (full bool, err error) {
	f := c.out
	if err := c.complete(); err != nil {
		return false, err
	}
	mu := f.stripe(c.chunk)
	mu.Lock()
	defer mu.Unlock()
	if f.owners[c.chunk] != c.id {
		return false, ErrNotOwner
	}
	f.mark(c.chunk)
	if !f.bytes.records(c.chunk) {
		return false, nil
	}
	return f.pending.add(c.chunk, xxh), nil
}

// complete makes sure that all of the chunk is in its place.
func (c *Claim) complete() error {
	f := c.out
	mu := f.stripe(c.chunk)
	mu.RLock()
	defer mu.RUnlock()
	switch {
	case f.owners[c.chunk] != c.id:
		return ErrNotOwner
	case c.next != c.length():
		return reasoned(f.fs, "mark", f.part, Internal, errIncomplete)
	}
	return f.bytes.complete(c)
}

// Release hands the chunk back, after a write in progress has ended. Another
// caller may claim it. It does nothing if the ownership has ended.
func (c *Claim) Release() {
	f := c.out
	mu := f.stripe(c.chunk)
	mu.Lock()
	defer mu.Unlock()
	f.bytes.leave(c)
	if f.owners[c.chunk] == c.id {
		f.owners[c.chunk] = free
	}
}

// length is the chunk's length in bytes.
func (c *Claim) length() int64 { return c.out.bytes.length(c.chunk) }
