package partfile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"malcolm/transfer/content"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// A Tree is the unfinished output of a tree: the directory NAME.part, open and
// locked, and its journal NAME.part.journal. Any goroutine may call its
// methods; call Close after all others have returned. Its chunks are those of
// the tree's content, see [content.Content].
//
// A file of one chunk stays in memory until it is marked. Then it is written
// with one open, write and close, and has no record in the journal: a later run
// hashes it. A larger file is written in place, chunk by chunk, and its chunks
// have records like those of a [File]. Bytes that several entries share are
// written once, for the first of them; [Tree.Commit] makes the others.
//
// It holds 8 bytes and 1 bit of memory a chunk, 4 bits a file, one chunk of at
// most 256 KiB for each claim on a file of one chunk, and at most 1 MiB more.
// At most 300 files are open at once.
type Tree struct {
	output
	parent TreeFS
	folder Folder // NAME.part
	tree   *tree.Tree
	times  wire.Times // see TreeOptions

	content *content.Content
	folders folders
	large   largeFiles
	state   treeState
}

// treeState is what is known of the content's files.
type treeState struct {
	there   bits // files that have a name in NAME.part
	whole   bits // files of one chunk that an earlier run left, with their size
	resumed bool // NAME.part was not begun by this run
	sparse  atomic.Bool
	stored  atomic.Int64 // bytes that have storage: of marked files and of reserved ones

	// Files of several chunks whose names may not be durable. Under mu.
	mu      sync.Mutex
	unnamed map[int]struct{}

	syncedAll bool   // the file system can be synced as a whole
	replaced  string // path of the directory that was replaced
}

// TreeOptions say which tree to open, and how.
type TreeOptions struct {
	Name    string // the final name; a plain file name
	Tree    *tree.Tree
	Listing [32]byte // the checksum of the tree's listing

	// Action and Replace come from DecideTree. Action is Fetch, Resume or
	// StartOver. All but Fetch make NAME.part if it has vanished.
	Action  Action
	Replace bool // a directory under the final name becomes NAME.replaced

	Times           wire.Times // modification times; without one, and zero: when it was written
	SkipPreallocate bool       // leave large files sparse
	SkipSpaceCheck  bool       // do not ask for free space and files: for file systems that lie about them

	// Lacks, if not nil, is told what the file system cannot do, by the
	// goroutine that calls OpenTree or Commit.
	Lacks func(Lack)
}

// TreeHeader is what the journal says of a tree whose listing has that
// checksum.
func TreeHeader(t *tree.Tree, listing [32]byte) Header {
	return Header{Size: t.Content().Size(), Chunks: t.Content().Chunks(), Checksum: listing}
}

// Size is the number of bytes of all files, those of the same bytes once.
func (t *Tree) Size() int64 { return t.header.Size }

// Sparse reports whether the space of a file that was begun could not be
// reserved, so that a write can still find the disk full.
func (t *Tree) Sparse() bool { return t.state.sparse.Load() }

// Replaced is the path of the directory that had the final name before Commit;
// empty without one.
func (t *Tree) Replaced() string { return t.state.replaced }

// ReadChunk reads from a chunk, from off bytes after its start, like
// io.ReaderAt. The chunk is marked, or [Tree.Found].
func (t *Tree) ReadChunk(chunk int, p []byte, off int64) (int, error) {
	place := t.content.Place(chunk)
	if t.isSmall(place.File) {
		return t.readSmall(place.File, p, off)
	}
	h, err := t.large.use(t, place.File)
	if err != nil {
		return 0, err
	}
	defer t.large.done(h)
	n, err := h.handle.ReadAt(p[:min(int64(len(p)), max(place.Length-off, 0))], place.Offset+off)
	if err != nil {
		err = t.failed("read", place.File, err)
	}
	return n, err
}

// isSmall reports whether a file of the content has only one chunk.
func (t *Tree) isSmall(file int) bool { return t.content.FileChunks(file) == 1 }

// entryOf is the number of the entry for which a file of the content is
// written.
func (t *Tree) entryOf(file int) int {
	for entry := range t.tree.Holders(file) {
		return entry
	}
	panic(fmt.Sprintf("malcolm: internal error: no entry has file %d", file))
}

// pathOf is the path of that entry.
func (t *Tree) pathOf(file int) string { return t.entry(t.entryOf(file)).Path }

func (t *Tree) entry(i int) *wire.Entry { return &t.tree.Entries()[i] }

// failed is the error of an operation on a file of the content.
func (t *Tree) failed(op string, file int, err error) error {
	return t.failedAt(op, t.pathOf(file), err)
}

// failedAt is the error of an operation on a path in the tree.
func (t *Tree) failedAt(op, path string, err error) error {
	return failure(t.fs, op, t.part+"/"+path, err)
}

// The store of a Tree.

func (t *Tree) length(chunk int) int64 { return t.content.Length(chunk, 1) }

func (t *Tree) records(chunk int) bool { return !t.isSmall(t.content.Place(chunk).File) }

func (t *Tree) put(c *Claim, p []byte, off int64) (int, error) {
	place := t.content.Place(c.chunk)
	if t.isSmall(place.File) {
		if c.held == nil {
			c.held = takeBuffer(place.Length)
		}
		return copy(c.held[off:], p), nil
	}
	h, err := t.large.use(t, place.File)
	if err != nil {
		return 0, err
	}
	defer t.large.done(h)
	n, err := h.handle.WriteAt(p, place.Offset+off)
	if err != nil {
		err = t.failed("write", place.File, err)
	}
	return n, err
}

func (t *Tree) complete(c *Claim) error {
	if c.held == nil {
		return nil
	}
	return t.writeSmall(t.content.Place(c.chunk).File, c.held)
}

func (t *Tree) leave(c *Claim) {
	if c.held != nil {
		giveBuffer(c.held)
		c.held, c.next = nil, 0
	}
}

func (t *Tree) stillNamed(op string) error {
	opened, err := t.folder.Stat()
	if err != nil {
		return failure(t.fs, "stat", t.part, err)
	}
	named, err := lstat(t.fs, t.part)
	switch {
	case err != nil:
		return err
	case named.Kind == Directory && named.ID == opened.ID:
		return nil
	case named.Kind == Directory && t.unsteadyFolder(named):
		return nil
	case named.Kind == None:
		err = errRemoved
	default:
		err = errReplaced
	}
	return reasoned(t.fs, op, t.part, Changed, err)
}

// unsteadyFolder reports whether identities change at every look, so that one
// that differs proves nothing.
func (t *Tree) unsteadyFolder(before Info) bool {
	now, err := lstat(t.fs, t.part)
	t.unsteady = t.unsteady || err == nil && now.Kind == Directory && now.ID != before.ID
	return t.unsteady
}

func (t *Tree) intact() error { return t.stillNamed("keep") }

func (t *Tree) removePart() error {
	if err := t.stillNamed("remove"); err != nil {
		return err
	}
	t.folders.close()
	if err := t.fs.Remove(t.part); err != nil {
		return failure(t.fs, "remove", t.part, err)
	}
	return nil
}

func (t *Tree) closePart() error {
	t.large.close()
	t.folders.close()
	return t.folder.Close()
}

func (t *Tree) lacking(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || !isAny(e.Err, spaceErrors) || e.Reason != System {
		return err
	}
	if free, unknown := t.parent.FreeFiles(); unknown == nil && free == 0 {
		e.Reason, e.Need = NoFiles, 1
		return e
	}
	return lackingSpace(t.parent, err, max(t.allBytes()-t.state.stored.Load(), 0))
}

// allBytes counts the bytes of entries with the same content each time.
func (t *Tree) allBytes() int64 { return t.tree.Totals().Bytes }

// OpenTree takes NAME.part: it makes that directory (with the umask's mode), or
// locks the one that is there. It opens the journal, or makes a new one.
//
// NAME.part is taken only if its journal says that malcolm made it, or if it is
// empty. Nothing is changed before the lock is held, the journal was found to
// be of the same listing, and free space and files are known to suffice. After
// an error NAME.part is as before, or gone if it was new or had been emptied.
// What the file system lacks is told to TreeOptions.Lacks and is no error.
//
// fsys must be a [TreeFS]. Errors are *Error; the reasons are Exists (with
// Fetch), Locked, NotDirectory, NoSpace, NoFiles, Changed, OtherFile (with
// Resume), Foreign, Unfit, Internal, System. If ctx ends while OpenTree waits
// for another run to end, or looks at what is there, the error is ctx's cause.
func OpenTree(ctx context.Context, fsys FS, o TreeOptions) (*Tree, error) {
	t, err := newTree(fsys, o)
	if err != nil {
		return nil, err
	}
	if err := t.acquire(ctx, o.Action); err != nil {
		return nil, err
	}
	if err := t.prepare(ctx, o); err != nil {
		err = t.lacking(err)
		t.discard() // the first error is the one to report
		t.closeHandles()
		return nil, err
	}
	return t, nil
}

func newTree(fsys FS, o TreeOptions) (*Tree, error) {
	if err := checkName(fsys, o.Name); err != nil {
		return nil, err
	}
	var err error
	parent, ok := fsys.(TreeFS)
	switch {
	case !ok:
		err = fmt.Errorf("%T is no TreeFS", fsys)
	case o.Action != Fetch && o.Action != Resume && o.Action != StartOver:
		err = fmt.Errorf("no action to open a tree with: %d", o.Action)
	case o.Times.Entries != nil && len(o.Times.Entries) != len(o.Tree.Entries()):
		err = fmt.Errorf("%d times for %d entries", len(o.Times.Entries), len(o.Tree.Entries()))
	}
	if err != nil {
		return nil, reasoned(fsys, "open", o.Name, Internal, err)
	}
	t := &Tree{parent: parent, tree: o.Tree, times: o.Times, content: o.Tree.Content()}
	t.begin(fsys, o.Name, TreeHeader(o.Tree, o.Listing), o.Replace, o.Lacks, t)
	files := t.content.Files()
	t.state.there, t.state.whole = newBits(files), newBits(files)
	t.state.unnamed = make(map[int]struct{})
	t.folders.begin()
	t.large.begin(o.SkipPreallocate)
	return t, nil
}
