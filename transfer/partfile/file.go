package partfile

import (
	"errors"
	"io"
	"time"
)

// File is the part file, open and locked. Its methods may be called from any goroutine, Close after all others have
// returned. It holds 8 bytes and 1 bit of memory a chunk, and at most 2 MiB besides.
type File struct {
	place
	extent
	comforts
	replace bool
	old     predecessor
	modTime *time.Time // of the finished file; nil: as it is

	claims
	marks

	// Under end, which is held across syncs: no write and no mark takes it, but for a write into a claimed chunk.
	end       latch
	journal   journal
	syncErr   error // the first sync or append that failed, for ever
	committed bool
	closed    bool
}

// place is where the part file is.
type place struct {
	fs         FS
	handle     Handle
	name, part string
	fresh      bool // created or emptied by this run
}

// extent is how long the file is.
type extent struct {
	header          Header
	size, chunkSize int64 // bytes, as header says
	prior           int64 // bytes that were there before this run
	tail            int64 // bytes, see tailLen
	sparse          bool
}

// A latch is a mutex for whoever may be held up for long: in virtual time a wait for it is a wait.
type latch chan struct{}

func newLatch() latch { return make(latch, 1) }

func (l latch) Lock() { l <- struct{}{} }

func (l latch) Unlock() { <-l }

// Size is the size of the finished file in bytes.
func (f *File) Size() int64 { return f.size }

// Chunks is the number of chunks.
func (f *File) Chunks() int { return len(f.owners) }

// Prior is how many bytes, counted from the front, were there before this run; 0 after StartOver. What lies behind
// them reads as zeros.
func (f *File) Prior() int64 { return f.prior }

// Sparse reports whether the space of the file is not reserved, so that a write can still find the disk full.
func (f *File) Sparse() bool { return f.sparse }

// Path is the path that the finished file will have, to be shown.
func (f *File) Path() string { return f.fs.Path(f.name) }

// PartPath is the path of the part file, to be shown.
func (f *File) PartPath() string { return f.fs.Path(f.part) }

// ReadAt reads from the part file as io.ReaderAt says.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.handle.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = failure(f.fs, "read", f.part, err)
	}
	return n, err
}

// Claim makes the caller the owner of the chunk. It is false if the chunk is marked or has an owner.
func (f *File) Claim(chunk int) (*Claim, bool) {
	return f.claim(chunk, func(owner uint64) bool { return owner < firstOwner })
}

// TakeOver makes the caller the owner of the chunk, whoever owned it, after a write in progress has ended. It is false
// if the chunk is marked. It is for a copy in memory whose value has matched: its bytes are to be written and marked
// at once.
func (f *File) TakeOver(chunk int) (*Claim, bool) {
	return f.claim(chunk, func(owner uint64) bool { return owner != marked })
}

func (f *File) claim(chunk int, allowed func(owner uint64) bool) (*Claim, bool) {
	mu := f.stripe(chunk)
	mu.Lock()
	defer mu.Unlock()
	if !allowed(f.owners[chunk]) {
		return nil, false
	}
	id := f.lastOwner.Add(1)
	f.owners[chunk] = id
	return &Claim{file: f, chunk: chunk, id: id}, true
}

// MarkExisting marks a chunk whose bytes were found right on disk; xxh is the xxh3-128 of these bytes, for the journal
// unless it has the chunk. It is false, and marks nothing, if somebody claimed the chunk in this run: its bytes may
// have changed since they were read. A chunk that is marked already is true.
func (f *File) MarkExisting(chunk int, xxh [16]byte) bool {
	marked, full := f.markExisting(chunk, xxh)
	if full {
		f.Sync() // whoever syncs next hears of its error
	}
	return marked
}

func (f *File) markExisting(chunk int, xxh [16]byte) (isMarked, full bool) {
	mu := f.stripe(chunk)
	mu.Lock()
	defer mu.Unlock()
	if f.owners[chunk] == untouched {
		f.mark(chunk)
		if !f.claimed.has(chunk) {
			full = f.pending.add(chunk, xxh)
		}
	}
	return f.owners[chunk] == marked, full
}

// Claim is the ownership of one chunk, until it is marked, released or taken over. WriteAt and Mark belong to one
// goroutine, Release may be called from any.
type Claim struct {
	file  *File
	chunk int
	id    uint64
	next  int64 // bytes at the front of the chunk that this claim has written; the writing goroutine's
}

var (
	errOutside    = errors.New("outside of the chunk")
	errGap        = errors.New("leaves a gap in the chunk")
	errIncomplete = errors.New("marked before all of the chunk was written")
)

// WriteAt writes p at off bytes from the start of the chunk. A chunk is written from its front on, so off is at most
// what was written so far. It is ErrNotOwner, and nothing is written, when the ownership was lost. What the journal of
// an earlier run claims of the chunk is taken back first.
func (c *Claim) WriteAt(p []byte, off int64) error {
	return c.place(func() error { return c.write(p, off) })
}

// place puts bytes into the chunk, of which the journal claims nothing any more.
func (c *Claim) place(put func() error) error {
	f := c.file
	if f.claimed.has(c.chunk) {
		if err := f.void(c.chunk); err != nil {
			return err
		}
	}
	err := put()
	if isAny(err, spaceErrors) {
		f.end.Lock()
		defer f.end.Unlock()
		return f.lacking(err)
	}
	return err
}

func (c *Claim) write(p []byte, off int64) error {
	f, end := c.file, off+int64(len(p))
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
	n, err := f.handle.WriteAt(p, int64(c.chunk)*f.chunkSize+off)
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

// Mark says that the value of the chunk, all of it written through this claim, has matched: its bytes on disk are the
// right ones, and xxh is their xxh3-128, computed here and not taken from a peer: the next Sync notes it in the
// journal. The ownership ends. It is ErrNotOwner when it had been lost, and an internal error when bytes of the
// chunk are missing. When thousands of chunks were marked without a Sync it is one, with its errors.
func (c *Claim) Mark(xxh [16]byte) error {
	full, err := c.mark(xxh)
	if err != nil || !full {
		return err
	}
	return c.file.Sync()
}

func (c *Claim) mark(xxh [16]byte) (full bool, err error) {
	f := c.file
	mu := f.stripe(c.chunk)
	mu.Lock()
	defer mu.Unlock()
	if f.owners[c.chunk] != c.id {
		return false, ErrNotOwner
	}
	if c.next != c.length() {
		return false, reasoned(f.fs, "mark", f.part, Internal, errIncomplete)
	}
	f.mark(c.chunk)
	return f.pending.add(c.chunk, xxh), nil
}

// Release hands the chunk back, after a write in progress has ended; another may claim it. It does nothing when the
// ownership has ended before.
func (c *Claim) Release() {
	f := c.file
	mu := f.stripe(c.chunk)
	mu.Lock()
	defer mu.Unlock()
	if f.owners[c.chunk] == c.id {
		f.owners[c.chunk] = free
	}
}

// length is the chunk's length in bytes.
func (c *Claim) length() int64 {
	return min(c.file.chunkSize, c.file.size-int64(c.chunk)*c.file.chunkSize)
}
