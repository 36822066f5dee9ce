package partfile

import (
	"errors"
	"io"
	"time"
)

// File is the part file, open and locked. Any goroutine may call its methods;
// call Close after all others have returned. It holds 8 bytes and 1 bit of
// memory a chunk, and at most 2 MiB more.
type File struct {
	place
	extent
	comforts
	replace bool
	old     predecessor
	modTime *time.Time // of the finished file; nil: unchanged

	claims
	marks

	// Under end, which is held across syncs. Marks never take it, and only
	// a write into a claimed chunk does.
	end       latch
	journal   journal
	syncErr   error // the first failure of a sync or append; it stays
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

// extent is the length of the file.
type extent struct {
	header          Header
	size, chunkSize int64 // bytes, as header says
	prior           int64 // bytes that were there before this run
	tail            int64 // bytes, see tailLen
	sparse          bool
}

// A latch is a mutex that may be held for long: in virtual time a wait for it
// counts as a wait.
type latch chan struct{}

func newLatch() latch { return make(latch, 1) }

func (l latch) Lock() { l <- struct{}{} }

func (l latch) Unlock() { <-l }

// Size is the size of the finished file in bytes.
func (f *File) Size() int64 { return f.size }

// Chunks is the number of chunks.
func (f *File) Chunks() int { return len(f.owners) }

// Prior is the number of bytes, from the front, that were there before this
// run; 0 after StartOver. What lies behind them reads as zeros.
func (f *File) Prior() int64 { return f.prior }

// Sparse reports whether the file's space is not reserved, so that a write can
// still find the disk full.
func (f *File) Sparse() bool { return f.sparse }

// Path is the path that the finished file will have, for display.
func (f *File) Path() string { return f.fs.Path(f.name) }

// PartPath is the path of the part file, for display.
func (f *File) PartPath() string { return f.fs.Path(f.part) }

// ReadAt reads from the part file, like io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.handle.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = failure(f.fs, "read", f.part, err)
	}
	return n, err
}

// Claim makes the caller the owner of the chunk. It is false if the chunk is
// marked or has an owner.
func (f *File) Claim(chunk int) (*Claim, bool) {
	return f.claim(chunk, func(owner uint64) bool { return owner < firstOwner })
}

// TakeOver makes the caller the owner of the chunk, whoever owned it, after a
// write in progress has ended. It is false if the chunk is marked. Use it for a
// copy in memory whose value has matched, and write and mark that at once.
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

// MarkExisting marks a chunk whose bytes on disk were found right. xxh is their
// xxh3-128, for the journal unless it has the chunk. It is false, and marks
// nothing, if the chunk was claimed in this run: its bytes may have changed
// since they were read. It is true if the chunk is marked already.
func (f *File) MarkExisting(chunk int, xxh [16]byte) bool {
	marked, full := f.markExisting(chunk, xxh)
	if full {
		f.Sync() // the next Sync returns its error
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

// Claim is the ownership of one chunk, until it is marked, released or taken
// over. WriteAt and Mark belong to one goroutine. Any goroutine may call
// Release.
type Claim struct {
	file  *File
	chunk int
	id    uint64
	next  int64 // bytes written at the chunk's front by this claim; of the writing goroutine
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

// Release hands the chunk back, after a write in progress has ended. Another
// caller may claim it. It does nothing if the ownership has ended.
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
