package partfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// Options say which part file to open, and how.
type Options struct {
	Name      string // the final name; a plain file name
	Size      int64  // bytes of the finished file; 0 or more
	ChunkSize int64  // bytes, more than 0; the last chunk may be short, a file of 0 bytes has none
	Checksum  [32]byte

	// Action and Replace come from Decide. Action is Fetch, Resume,
	// ResumeOwn or StartOver. All but Fetch create the part file if it has
	// vanished.
	Action  Action
	Replace bool

	// Original is the file that is repaired. With Replace the commit
	// replaces only that one, unchanged, and the finished file gets all of
	// its attributes. Nil: whatever has the name is replaced, and the
	// finished file gets its attributes that say who may do what.
	Original        *Info
	ModTime         *time.Time // modification time of the finished file; nil: when it was last written
	SkipPreallocate bool       // leave the file sparse
	SkipSpaceCheck  bool       // do not ask for free space: for file systems that lie about it

	// Lacks, if not nil, is told what the file system cannot do, by the
	// goroutine that calls Open or Commit.
	Lacks func(Lack)
	// Reserved, if not nil, is told by Open how many bytes are reserved so
	// far.
	Reserved func(done int64)
}

const (
	// maxChunks is the design's limit for a file.
	maxChunks = 1 << 20
	// openTries bounds how often the file may be replaced between the look
	// and the lock.
	openTries = 4
	// allocateStep is the number of bytes reserved in one call. It is small
	// so that file systems that undo an interrupted call make progress.
	allocateStep = 256 << 20
)

// Open takes the part file of o.Name: it creates it (with the umask's mode), or
// locks the existing one. It opens the journal, or makes a new one if there is
// none to continue. It makes the part file o.Size bytes long, and reserves its
// space if the file system can (see Sparse).
//
// Nothing is changed before the lock is held, the journal was found to be of
// the same file, and free space is known to suffice. After an error the part
// file has the same bytes as before, or is gone if it was new or had been
// emptied. What the file system lacks is told to Options.Lacks and is no error.
//
// Errors are *Error; the reasons are Exists (with Fetch), Locked, NotRegular,
// NoSpace, Changed, OtherFile (with Resume), Foreign (with ResumeOwn),
// Internal, System. If ctx ends while Open reserves space or waits for another
// run to end, the error is ctx's cause.
func Open(ctx context.Context, fsys FS, o Options) (*File, error) {
	if err := o.check(fsys); err != nil {
		return nil, err
	}
	header := o.header()
	f := &File{
		extent: extent{size: o.Size, chunkSize: o.ChunkSize},
		old:    predecessor{original: o.Original}, modTime: o.ModTime,
	}
	f.begin(fsys, o.Name, header, o.Replace, o.Lacks, f)
	info, err := f.acquire(ctx, o.Action)
	if err != nil {
		return nil, err
	}
	if err := f.prepare(ctx, info, o); err != nil {
		err = f.lacking(err)
		f.discard() // the first error is the one to report
		f.closeHandles()
		return nil, err
	}
	return f, nil
}

func (o Options) header() Header {
	return Header{Size: o.Size, ChunkSize: o.ChunkSize, Checksum: o.Checksum}
}

func (o Options) check(fsys FS) error {
	if err := checkName(fsys, o.Name); err != nil {
		return err
	}
	var err error
	switch {
	case o.ChunkSize == 0 || !o.header().valid():
		err = fmt.Errorf("size %d in chunks of %d", o.Size, o.ChunkSize)
	case o.Action != Fetch && o.Action != Resume && o.Action != ResumeOwn && o.Action != StartOver:
		err = fmt.Errorf("no action to open with: %d", o.Action)
	default:
		return nil
	}
	return reasoned(fsys, "open", o.Name, Internal, err)
}

// acquire sets f.handle to the locked part file, and f.fresh if it was created.
func (f *File) acquire(ctx context.Context, action Action) (Info, error) {
	for range openTries {
		info, err := f.tryAcquire(ctx, action)
		if !errors.Is(err, errReplaced) {
			return info, err
		}
	}
	return Info{}, reasoned(f.fs, "open", f.part, Changed, errReplaced)
}

// tryAcquire fails with errReplaced if what has the name changed meanwhile.
func (f *File) tryAcquire(ctx context.Context, action Action) (Info, error) {
	before, err := lstat(f.fs, f.part)
	if err != nil {
		return Info{}, err
	}
	if before.Kind == Regular && before.Links == 2 {
		removed, err := f.clearLeftover(before)
		if err == nil && removed {
			err = errReplaced
		}
		if err != nil {
			return Info{}, err
		}
	}
	var h Handle
	switch {
	case before.Kind == None:
		h, err = f.fs.Create(f.part)
		if errors.Is(err, fs.ErrExist) && action != Fetch {
			return Info{}, errReplaced
		}
		if err != nil {
			return Info{}, failure(f.fs, "create", f.part, err)
		}
	case action == Fetch:
		return Info{}, reasoned(f.fs, "create", f.part, Exists, fs.ErrExist)
	default:
		if err := plain(f.fs, f.part, before); err != nil {
			return Info{}, err
		}
		h, err = f.fs.OpenWrite(f.part)
		if errors.Is(err, fs.ErrNotExist) {
			return Info{}, errReplaced
		}
		if err != nil {
			return Info{}, failure(f.fs, "open", f.part, err)
		}
	}
	info, err := f.lockAndCompare(ctx, h, before.Kind == None)
	if err != nil {
		if before.Kind == None && ReasonOf(err) == System && !errors.Is(err, errReplaced) {
			f.fs.Remove(f.part)
		}
		h.Close()
		return Info{}, err
	}
	f.handle, f.fresh = h, before.Kind == None
	return info, nil
}

// clearLeftover removes the part file's name if it is only a second one of the
// final file: a write there would change the final file.
func (f *File) clearLeftover(part Info) (removed bool, err error) {
	final, err := lstat(f.fs, f.name)
	if err != nil || !leftover(final, part) {
		return false, err
	}
	err = unlinkLeftover(f.fs, f.name)
	return err == nil, err
}

// lockAndCompare takes h's lock and then checks that h still has the part
// file's name: the last holder of the lock may have renamed or removed it. made
// says that this run has created it.
func (f *File) lockAndCompare(ctx context.Context, h Handle, made bool) (Info, error) {
	free, err := f.lock(ctx, h, made)
	if ended := context.Cause(ctx); err != nil && ended != nil {
		return Info{}, ended
	}
	if err != nil {
		return Info{}, failure(f.fs, "lock", f.part, err)
	}
	if !free {
		return Info{}, locked(f.fs, f.name)
	}
	opened, err := h.Stat()
	if err != nil {
		return Info{}, failure(f.fs, "stat", f.part, err)
	}
	named, err := lstat(f.fs, f.part)
	if err != nil {
		return Info{}, err
	}
	if named.Kind == None {
		return Info{}, errReplaced
	}
	if named.ID != opened.ID {
		if same, err := f.proveSame(h, opened, named); err != nil {
			return Info{}, err
		} else if !same {
			return Info{}, errReplaced
		}
	}
	return opened, plain(f.fs, f.part, opened)
}

// prepare makes the file o.Size bytes long, with a journal. All refusals come
// before the part file's first change.
func (f *File) prepare(ctx context.Context, info Info, o Options) error {
	if err := f.checkOriginal(); err != nil {
		return err
	}
	if f.replace {
		if err := CheckReplaceable(f.fs, f.name); err != nil {
			return err
		}
	}
	if err := f.openJournal(info, o.Action); err != nil {
		return err
	}
	if err := f.checkSpace(info, o); err != nil {
		return err
	}
	f.prior = min(info.Size, f.size)
	if o.Action == StartOver {
		f.prior = 0
	}
	if err := f.beginAttributes(); err != nil {
		return err
	}
	if err := f.beginJournal(f.prior == 0); err != nil {
		return err
	}
	if err := f.distrustUnknown(); err != nil {
		return err
	}
	f.holds = true
	if err := f.settleLease(ctx); err != nil {
		return err
	}
	if err := f.probe(!f.replace); err != nil {
		return err
	}
	if info.Size > f.prior {
		if err := f.handle.Truncate(f.prior); err != nil {
			return failure(f.fs, "truncate", f.part, err)
		}
	}
	f.fresh = f.fresh || o.Action == StartOver
	if err := f.grow(ctx, o); err != nil {
		f.handle.Truncate(f.prior) // gives back the reserved space; the first error is the one to report
		return err
	}
	f.growTail()
	return nil
}

// beginJournal writes this run into the journal, which is new unless
// openJournal found one. whole is as in makeJournal.
func (f *output) beginJournal(whole bool) error {
	if f.journal.handle == nil {
		return f.makeJournal(f.holder, whole)
	}
	return f.holdJournal(f.holder)
}

// distrustUnknown is distrustCache unless the journal knows of every chunk.
func (f *File) distrustUnknown() error {
	if f.surveyed { // a chunk with a record was durable before it
		return nil
	}
	return f.distrustCache(f.handle, f.part)
}

// distrustCache makes sure that what an earlier run wrote is read from the
// disk. After a failed fsync the cache can show bytes that are not on disk, and
// never will be.
func (f *output) distrustCache(h Handle, name string) error {
	if err := f.synced(h.Sync()); err != nil {
		return failure(f.fs, "sync", name, err)
	}
	if err := h.Forget(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return failure(f.fs, "read", name, err)
	}
	return nil
}

// grow brings the file from f.prior bytes to its full size, with its space
// reserved if possible.
func (f *File) grow(ctx context.Context, o Options) error {
	if !o.SkipPreallocate {
		err := f.reserve(ctx, o.Reserved)
		if err == nil || context.Cause(ctx) != nil || !lacksReservation(err) {
			return err
		}
	}
	f.sparse = true
	if f.prior == f.size {
		return nil
	}
	if err := f.handle.Truncate(f.size); err != nil {
		return failure(f.fs, "truncate", f.part, err)
	}
	return nil
}

// mostInterrupted bounds how often in a row a signal may end a call. A file
// system that always answers so would keep this process busy for ever.
const mostInterrupted = 1000

// reserve checks ctx between its steps, and between the tries of one step.
func (f *File) reserve(ctx context.Context, reserved func(done int64)) error {
	interrupted := 0
	for off := int64(0); off < f.size; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if reserved != nil {
			reserved(off)
		}
		err := f.handle.Allocate(off, min(allocateStep, f.size-off))
		if interrupted++; errors.Is(err, syscall.EINTR) && interrupted < mostInterrupted {
			continue
		}
		if err != nil {
			return failure(f.fs, "reserve", f.part, err)
		}
		if err := f.renewLease(); err != nil {
			return err
		}
		off, interrupted = off+allocateStep, 0
	}
	return context.Cause(ctx)
}

// checkSpace asks for the space that the file does not occupy yet. A directory
// that does not know its free space passes.
func (f *File) checkSpace(info Info, o Options) error {
	need := f.size - info.Allocated
	if o.SkipSpaceCheck || need <= 0 {
		return nil
	}
	need += recordsAt + int64(f.Chunks())*recordLen // the journal, at most
	if have, err := f.fs.Free(); err == nil && have < need {
		return &Error{
			Op: "reserve", Name: f.fs.Path(f.part), Reason: NoSpace, Need: need, Have: have,
			Err: fmt.Errorf("needs %d bytes, %d are free", need, have),
		}
	}
	return nil
}

// removePart removes the part file if it still has its name.
func (f *File) removePart() error {
	if err := f.stillNamed("remove"); err != nil {
		return err
	}
	if err := f.fs.Remove(f.part); err != nil {
		return failure(f.fs, "remove", f.part, err)
	}
	return nil
}
