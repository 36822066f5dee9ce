package partfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"malcolm/wire"
)

// ReplacedSuffix is added to the final name to make that of the directory that
// was replaced.
const ReplacedSuffix = ".replaced"

// Commit makes the entries that are still missing, makes all of the tree
// durable, gives it its final name and returns its path. All chunks must be
// marked. Without TreeOptions.Replace whatever has the final name stays, and
// the error is Exists. With it a directory of that name becomes NAME.replaced;
// if that name is taken, the error is Exists too.
//
// After an error NAME.part is kept, as after an error of [File.Commit]. A crash
// between the two renames of a replacement leaves NAME.replaced, a finished
// NAME.part and no NAME. [TreeFound.CutOff] tells that, and a run that resumes
// gives it its name. If ctx ends before the rename, the error is ctx's cause.
// path is as with [File.Commit].
func (t *Tree) Commit(ctx context.Context) (path string, err error) {
	t.end.Lock()
	defer t.end.Unlock()
	if t.closed || t.committed || t.MarkedCount() != t.Chunks() {
		err := fmt.Errorf("%d of %d chunks marked, closed: %t, committed: %t", t.MarkedCount(), t.Chunks(), t.closed, t.committed)
		return "", reasoned(t.fs, "commit", t.name, Internal, err)
	}
	if t.syncErr != nil {
		return "", t.syncErr
	}
	times, err := t.finish(ctx)
	if err != nil {
		return "", t.lacking(err)
	}
	if err := t.sync(func() error { return t.syncTree(ctx) }); err != nil {
		return "", err
	}
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	if err := t.recordDone(); err != nil {
		return "", err
	}
	if err := t.rename(); err != nil {
		return "", err
	}
	if err := syncDir(t.fs); err != nil {
		return "", err
	}
	if times != nil {
		t.lack(Times, times)
	}
	if path, err = PathNow(t.fs, t.name); err != nil {
		return "", errors.Join(err, t.removeJournal())
	}
	return path, t.removeJournal()
}

// finish makes all that is not a chunk: copies of files, empty files and
// directories, links, and last the times. times is why one could not be set.
func (t *Tree) finish(ctx context.Context) (times error, err error) {
	t.written.Store(true)
	for i := range t.tree.Entries() {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if t.entry(i).Kind != wire.EntryLink {
			if err := t.finishEntry(i); err != nil {
				return nil, err
			}
		}
	}
	for i := range t.tree.Entries() { // nothing is written through them
		if t.entry(i).Kind == wire.EntryLink {
			if err := t.makeLink(t.entry(i)); err != nil {
				return nil, err
			}
		}
	}
	return t.setTimes(ctx)
}

// setTimes sets the times of the entries, then those of the directories, in
// which nothing is made any more. times is why one could not be set.
func (t *Tree) setTimes(ctx context.Context) (times error, err error) {
	set := func(path string, at time.Time) {
		if at.IsZero() {
			return
		}
		dir, name := split(path)
		if path == "" {
			name = "."
		}
		err := t.in(dir, "set time", path, func(d Folder) error { return d.SetTime(name, at) })
		if err != nil && times == nil {
			times = err
		}
	}
	for i, at := range t.times.Entries {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		set(t.entry(i).Path, at)
	}
	left := t.times.Directories
	for path := range wire.Directories(len(t.tree.Entries()), t.entry) {
		if len(left) == 0 {
			break
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		set(path, left[0])
		left = left[1:]
	}
	return times, nil
}

// finishEntry makes a file or an empty directory, unless it is there.
func (t *Tree) finishEntry(i int) error {
	e := t.entry(i)
	dir, name := split(e.Path)
	file, has := t.tree.FileOf(i)
	switch {
	case has && t.entryOf(file) == i:
		return t.checkEntry(e)
	case has:
		return t.copyEntry(e, file)
	case e.Kind == wire.EntryDirectory:
		return t.in(e.Path, "create", e.Path, func(Folder) error { return nil }) // makes it
	}
	return t.in(dir, "create", e.Path, func(d Folder) error {
		h, err := t.create(d, name, e.Kind, t.state.resumed)
		if err != nil {
			return err
		}
		return h.Close()
	})
}

// checkEntry fails with Changed unless a written file is still there, with its
// size.
func (t *Tree) checkEntry(e *wire.Entry) error {
	dir, name := split(e.Path)
	return t.in(dir, "keep", e.Path, func(d Folder) error {
		info, err := d.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = errRemoved
		case err != nil:
			return err
		case info.Kind != Regular:
			err = errReplaced
		case info.Size != e.Size:
			err = fmt.Errorf("another program has changed its size to %d bytes", info.Size)
		default:
			return nil
		}
		return reasoned(t.fs, "keep", t.part+"/"+e.Path, Changed, err)
	})
}

// makeLink makes a link.
func (t *Tree) makeLink(e *wire.Entry) error {
	dir, name := split(e.Path)
	return t.in(dir, "link", e.Path, func(d Folder) error {
		err := d.Symlink(e.Target, name)
		if !t.state.resumed || !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := d.Remove(name); err != nil {
			return err
		}
		return d.Symlink(e.Target, name)
	})
}

// copyBuffer is the number of bytes that are copied at once.
const copyBuffer = 256 << 10

// copyEntry makes a file of the bytes that another entry has.
func (t *Tree) copyEntry(e *wire.Entry, file int) error {
	from := t.pathOf(file)
	fromDir, fromName := split(from)
	var src Handle
	err := t.in(fromDir, "open", from, func(d Folder) (err error) {
		src, _, err = openExisting(d, fromName, false)
		return err
	})
	if err != nil {
		return err
	}
	defer src.Close()
	dir, name := split(e.Path)
	return t.in(dir, "copy", e.Path, func(d Folder) error {
		h, err := t.create(d, name, e.Kind, t.state.resumed)
		if err != nil {
			return err
		}
		if err = copyBytes(h, src, e.Size); err == nil {
			t.state.stored.Add(e.Size)
		}
		if closed := h.Close(); err == nil {
			err = closed
		}
		return err
	})
}

// copyBytes copies n bytes, through the system if it can.
func copyBytes(to, from Handle, n int64) error {
	done := int64(0)
	if c, ok := to.(copier); ok {
		if f, ok := from.(file); ok {
			var err error
			if done, err = copyInside(c, f.File, n); err != nil {
				return err
			}
		}
	}
	buf := make([]byte, min(copyBuffer, n-done))
	for done < n {
		k, err := from.ReadAt(buf[:min(int64(len(buf)), n-done)], done)
		if k == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if _, err := to.WriteAt(buf[:k], done); err != nil {
			return err
		}
		done += int64(k)
	}
	return nil
}

// copyInside copies by the system, as far as it can.
func copyInside(to copier, from *os.File, n int64) (done int64, err error) {
	for done < n {
		k, err := to.CopyFrom(from, done, done, n-done)
		if errors.Is(err, errors.ErrUnsupported) || err == nil && k == 0 {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		done += k
	}
	return done, nil
}

// syncTree makes all of the tree durable.
func (t *Tree) syncTree(ctx context.Context) error {
	t.large.close()
	err := t.folder.SyncAll()
	if !errors.Is(err, errors.ErrUnsupported) {
		if err != nil {
			err = failure(t.fs, "sync", t.part, err)
		}
		return err
	}
	var g errgroup.Group
	g.SetLimit(syncsAtOnce)
	for i := range t.tree.Entries() {
		if e := t.entry(i); e.IsFile() {
			g.Go(func() error { return t.syncEntry(ctx, e) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return t.eachFolder(t.syncFolder)
}

func (t *Tree) syncEntry(ctx context.Context, e *wire.Entry) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	dir, name := split(e.Path)
	return t.in(dir, "sync", e.Path, func(d Folder) error {
		h, _, err := openExisting(d, name, true)
		if err != nil {
			return err
		}
		err = h.Sync()
		if closed := h.Close(); err == nil {
			err = closed
		}
		return err
	})
}

// eachFolder calls do for each directory of the tree once, the deepest first on
// each way, and last for the tree itself.
func (t *Tree) eachFolder(do func(dir string) error) error {
	before := ""
	for i := range t.tree.Entries() {
		path := t.entry(i).Path
		if t.entry(i).Kind == wire.EntryDirectory {
			path += "/" // it is a directory itself
		}
		if err := leave(before, common(before, path), do); err != nil {
			return err
		}
		before = path
	}
	if err := leave(before, 0, do); err != nil {
		return err
	}
	return do("")
}

// leave calls do for the directories of a path, down to its first n bytes.
func leave(path string, n int, do func(dir string) error) error {
	for {
		path, _ = split(path)
		if len(path) < n || path == "" {
			return nil
		}
		if err := do(path); err != nil {
			return err
		}
	}
}

// recordDone notes, durably, that the directory is complete, and which one it
// is.
func (t *Tree) recordDone() error {
	info, err := t.folder.Stat()
	if err != nil {
		return failure(t.fs, "stat", t.part, err)
	}
	return t.record([]record{{kind: recordDone, xxh: doneSum(info)}})
}

// doneSum is what the journal says of a finished directory, in place of an
// xxh3. A file number alone may be given to a new directory.
func doneSum(info Info) (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], info.ID.File)
	binary.BigEndian.PutUint64(b[8:], uint64(info.ModTime))
	return b
}

// rename gives the tree its final name.
func (t *Tree) rename() error {
	if err := t.stillNamed("rename"); err != nil {
		return err
	}
	if err := t.holdsLease(); err != nil {
		return err
	}
	final, err := lstat(t.fs, t.name)
	if err != nil {
		return err
	}
	if !t.replace || final.Kind == None {
		return t.give(t.part, t.name)
	}
	if final.Kind != Directory {
		return reasoned(t.fs, "replace", t.name, NotDirectory, errNotDirectory)
	}
	aside := t.name + ReplacedSuffix
	if err := t.give(t.name, aside); err != nil {
		return err
	}
	err = syncDir(t.fs) // else a crash could keep only the second rename
	if err == nil {
		err = t.give(t.part, t.name)
	}
	if err != nil {
		return errors.Join(err, t.give(aside, t.name))
	}
	t.state.replaced = t.fs.Path(aside)
	return nil
}

// give gives a directory a name that nothing has. The tree is committed once it
// has its final name.
func (t *Tree) give(from, to string) error {
	for {
		err := t.naming.give(t.fs, from, to)
		if err == nil {
			t.committed = t.committed || from == t.part
			return nil
		}
		if t.naming == byLook || !lacksNaming(err) {
			return failure(t.fs, "rename", to, err)
		}
		t.naming = byLook
	}
}

// checkReplace fails, before anything is fetched, if the commit could not
// replace what has the final name.
func (t *Tree) checkReplace() error {
	final, err := lstat(t.fs, t.name)
	if err != nil || final.Kind == None {
		return err
	}
	if final.Kind != Directory {
		return reasoned(t.fs, "replace", t.name, NotDirectory, errNotDirectory)
	}
	aside := t.name + ReplacedSuffix
	if there, err := lstat(t.fs, aside); err != nil {
		return err
	} else if there.Kind != None {
		return reasoned(t.fs, "replace", aside, Exists, fs.ErrExist)
	}
	return CheckReplaceable(t.fs, t.name)
}
