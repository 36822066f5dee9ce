package partfile

// An output is what a [File] and a [Tree] have in common: the names, the lock,
// the journal, and who may write which chunk. Any goroutine may call its
// methods.
type output struct {
	place
	comforts
	header  Header
	replace bool
	bytes   store

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
	name, part string
	fresh      bool // created or emptied by this run
}

// A store is where the bytes of an output lie: one file, or a directory of
// files. Its methods are called with the chunk's stripe held for reading, or
// with output.end held.
type store interface {
	// length is a chunk's length in bytes.
	length(chunk int) int64
	// put stores p at off bytes from the start of the claim's chunk.
	put(c *Claim, p []byte, off int64) (int, error)
	// complete brings what put has stored to its place on the disk.
	complete(c *Claim) error
	// leave gives back what a claim that ends holds. The stripe is held for
	// writing.
	leave(c *Claim)
	// records reports whether a chunk has a record in the journal.
	records(chunk int) bool
	// persist makes the bytes of the marks' chunks durable.
	persist(marks []record) error
	// lacking adds to the error of a full disk what is missing.
	lacking(err error) error
	// stillNamed fails with Changed unless the open part has its name.
	stillNamed(op string) error
	// removePart removes the part if it still has its name, and closePart
	// ends its use.
	removePart() error
	closePart() error
	// intact fails with Changed if another program has changed the part.
	intact() error
}

// begin makes an output ready to be opened.
func (f *output) begin(fsys FS, name string, header Header, replace bool, lacks func(Lack), bytes store) {
	f.place = place{fs: fsys, name: name, part: name + PartSuffix}
	f.comforts = comforts{lacks: lacks, holder: thisRun()}
	f.header, f.replace, f.bytes = header, replace, bytes
	f.claimed, f.end = newBits(header.chunks()), newLatch()
	f.owners = make([]uint64, header.chunks())
	f.lastOwner.Store(firstOwner - 1)
}

// A latch is a mutex that may be held for long: in virtual time a wait for it
// counts as a wait.
type latch chan struct{}

func newLatch() latch { return make(latch, 1) }

func (l latch) Lock() { l <- struct{}{} }

func (l latch) Unlock() { <-l }

// Chunks is the number of chunks.
func (f *output) Chunks() int { return len(f.owners) }

// Path is the path that the finished file will have, for display.
func (f *output) Path() string { return f.fs.Path(f.name) }

// PartPath is the path of the part file, for display.
func (f *output) PartPath() string { return f.fs.Path(f.part) }

// locker is what can be locked: a file, or a directory.
type locker interface {
	Lock() (bool, error)
}
