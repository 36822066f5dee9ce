package partfile

import (
	"errors"
	"io"
	"io/fs"
	mathbits "math/bits"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"malcolm/wire"
)

// syncsAtOnce is the number of files that are made durable at once.
const syncsAtOnce = 16

// smallest is the size of the smallest buffer, as a power of two: 4 KiB.
const smallest = 12

// buffers are those that no claim holds, by their size: 4 KiB, 8 KiB, ...
var buffers [8]sync.Pool

// takeBuffer returns a buffer of n bytes, at most 256 KiB.
func takeBuffer(n int64) []byte {
	class := max(mathbits.Len64(uint64(n-1)), smallest) - smallest
	if b, ok := buffers[class].Get().(*[]byte); ok {
		return (*b)[:n]
	}
	return make([]byte, n, 1<<(class+smallest))
}

func giveBuffer(b []byte) {
	class := mathbits.Len64(uint64(cap(b))) - 1 - smallest
	buffers[class].Put(&b)
}

// create makes the file of an entry, which must not be there. If an earlier run
// may have left it, that one goes.
func (t *Tree) create(d Folder, name string, kind wire.EntryKind, left bool) (Handle, error) {
	open := d.Create
	if kind == wire.EntryExecutable {
		open = d.CreateExecutable
	}
	h, err := open(name)
	if !left || !errors.Is(err, fs.ErrExist) {
		return h, err
	}
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return open(name)
}

// writeSmall writes a whole file.
func (t *Tree) writeSmall(file int, b []byte) error {
	e := t.entry(t.entryOf(file))
	dir, name := split(e.Path)
	d, err := t.folders.use(dir)
	if err != nil {
		return t.failedAt("create", e.Path, err)
	}
	defer t.folders.done(d)
	h, err := t.create(d, name, e.Kind, t.state.there.has(file))
	if err != nil {
		return t.failedAt("create", e.Path, err)
	}
	t.state.there.set(file)
	if err := writeAndClose(h, b); err != nil {
		return t.failedAt("write", e.Path, err)
	}
	t.state.stored.Add(int64(len(b)))
	return nil
}

func writeAndClose(h Handle, b []byte) error {
	n, err := h.WriteAt(b, 0)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if closed := h.Close(); err == nil {
		err = closed
	}
	return err
}

// openExisting opens a regular file that has no other name.
func openExisting(d Folder, name string, write bool) (Handle, Info, error) {
	named, err := d.Lstat(name)
	switch {
	case err != nil:
		return nil, Info{}, err
	case named.Kind != Regular:
		return nil, Info{}, errNotRegular
	case named.Links > 1:
		return nil, Info{}, errLinks
	}
	open := d.Open
	if write {
		open = d.OpenWrite
	}
	h, err := open(name)
	if err != nil {
		return nil, Info{}, err
	}
	info, err := h.Stat()
	if err == nil && (info.Kind != Regular || info.ID != named.ID) {
		if again, lstat := d.Lstat(name); lstat != nil || again.Kind != Regular || again.ID == named.ID {
			err = errReplaced // else identities change at every look
		}
	}
	if err != nil {
		h.Close()
		return nil, Info{}, err
	}
	return h, info, nil
}

// openLarge opens a file of several chunks. It makes it, with its size and its
// space, if it is not there.
func (t *Tree) openLarge(file int) (h Handle, err error) {
	e := t.entry(t.entryOf(file))
	dir, name := split(e.Path)
	d, err := t.folders.use(dir)
	if err != nil {
		return nil, t.failedAt("open", e.Path, err)
	}
	defer t.folders.done(d)
	var info Info
	if t.state.there.has(file) {
		h, info, err = openExisting(d, name, true)
	} else if h, err = t.create(d, name, e.Kind, false); err == nil {
		t.named(file)
	}
	if err != nil {
		return nil, t.failedAt("open", e.Path, err)
	}
	if info.Size != e.Size {
		if err := t.reserve(h, e.Size); err != nil {
			h.Close()
			return nil, t.failedAt("reserve", e.Path, err)
		}
		t.state.stored.Add(e.Size)
	}
	return h, nil
}

// named notes a file that this run made or found.
func (t *Tree) named(file int) {
	t.state.there.set(file)
	if t.isSmall(file) {
		return
	}
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	t.state.unnamed[file] = struct{}{}
}

// reserve gives a file its size, and its space if the file system can.
func (t *Tree) reserve(h Handle, size int64) error {
	interrupted := 0
	for off := int64(0); off < size && !t.large.sparse; {
		err := h.Allocate(off, min(allocateStep, size-off))
		interrupted++
		switch {
		case err == nil:
			off, interrupted = off+allocateStep, 0
		case errors.Is(err, syscall.EINTR) && interrupted < mostInterrupted:
		case !lacksReservation(err):
			return err
		default:
			t.state.sparse.Store(true)
			return h.Truncate(size)
		}
	}
	return h.Truncate(size)
}

// persist makes the files of the marks' chunks durable, and their names.
func (t *Tree) persist(marks []record) error {
	files := make(map[int]struct{})
	for _, m := range marks {
		if m.kind == recordGood {
			files[t.content.Place(int(m.chunk)).File] = struct{}{}
		}
	}
	var g errgroup.Group
	g.SetLimit(syncsAtOnce)
	folders := make(map[string]struct{})
	for file := range files {
		g.Go(func() error { return t.syncLarge(file) })
		t.foldersOf(file, folders)
	}
	err := g.Wait()
	for dir := range folders {
		if err == nil {
			err = t.syncFolder(dir)
		}
	}
	if err != nil {
		return err
	}
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	for file := range files {
		delete(t.state.unnamed, file)
	}
	return nil
}

func (t *Tree) syncLarge(file int) error {
	h, err := t.large.use(t, file)
	if err != nil {
		return err
	}
	defer t.large.done(h)
	if err := h.handle.Datasync(); err != nil {
		return t.failed("sync", file, err)
	}
	return nil
}

// foldersOf adds the directories on the way to a file, if its name may not be
// durable.
func (t *Tree) foldersOf(file int, folders map[string]struct{}) {
	t.state.mu.Lock()
	_, ok := t.state.unnamed[file]
	t.state.mu.Unlock()
	if !ok {
		return
	}
	for dir := t.pathOf(file); dir != ""; {
		dir, _ = split(dir)
		folders[dir] = struct{}{}
	}
}

// syncFolder makes the names in a directory durable.
func (t *Tree) syncFolder(dir string) error {
	d, err := t.folders.use(dir)
	if err != nil {
		return t.failedAt("sync directory", dir, err)
	}
	defer t.folders.done(d)
	if err := d.SyncDir(); err != nil && !lacksDirectorySync(err) {
		return t.failedAt("sync directory", dir, err)
	}
	return nil
}
