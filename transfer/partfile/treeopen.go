package partfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"malcolm/transfer/tree"
	"malcolm/wire"
)

// acquire sets t.folder to the locked directory, and t.fresh if it was made.
func (t *Tree) acquire(ctx context.Context, action Action) error {
	for range openTries {
		err := t.tryAcquire(ctx, action)
		if !errors.Is(err, errReplaced) {
			return err
		}
	}
	return reasoned(t.fs, "open", t.part, Changed, errReplaced)
}

// tryAcquire fails with errReplaced if what has the name changed meanwhile.
func (t *Tree) tryAcquire(ctx context.Context, action Action) error {
	before, err := lstat(t.fs, t.part)
	if err != nil {
		return err
	}
	made := before.Kind == None
	switch {
	case made:
		err = t.parent.Mkdir(t.part)
		if errors.Is(err, fs.ErrExist) && action != Fetch {
			return errReplaced
		}
		if err != nil {
			return failure(t.fs, "create", t.part, err)
		}
	case action == Fetch:
		return reasoned(t.fs, "create", t.part, Exists, fs.ErrExist)
	case before.Kind != Directory:
		return reasoned(t.fs, "open", t.part, NotDirectory, errNotDirectory)
	}
	d, err := t.parent.OpenDir(t.part)
	if errors.Is(err, fs.ErrNotExist) {
		return errReplaced
	}
	if err != nil {
		return failure(t.fs, "open", t.part, err)
	}
	if err := t.lockFolder(ctx, d, made); err != nil {
		if made && ReasonOf(err) == System && !errors.Is(err, errReplaced) {
			t.fs.Remove(t.part)
		}
		d.Close()
		return err
	}
	t.folder, t.folders.root, t.fresh = d, d, made
	return nil
}

// lockFolder takes the directory's lock and then checks that it still has its
// name.
func (t *Tree) lockFolder(ctx context.Context, d Folder, made bool) error {
	free, err := t.lock(ctx, d, made)
	if ended := context.Cause(ctx); err != nil && ended != nil {
		return ended
	}
	if err != nil {
		return failure(t.fs, "lock", t.part, err)
	}
	if !free {
		return locked(t.fs, t.name)
	}
	opened, err := d.Stat()
	if err != nil {
		return failure(t.fs, "stat", t.part, err)
	}
	named, err := lstat(t.fs, t.part)
	if err != nil {
		return err
	}
	if named.Kind != Directory || named.ID != opened.ID && !t.unsteadyFolder(named) {
		return errReplaced
	}
	return nil
}

// prepare makes the directory ready to be written to, with a journal. All
// refusals come before its first change.
func (t *Tree) prepare(ctx context.Context, o TreeOptions) error {
	if t.replace {
		if err := t.checkReplace(); err != nil {
			return err
		}
	}
	empty, err := t.isEmpty()
	if err != nil {
		return err
	}
	if err := t.takeJournal(empty, o.Action); err != nil {
		return err
	}
	t.state.resumed = t.journal.handle != nil
	if t.state.resumed {
		if err := t.scan(ctx); err != nil {
			return err
		}
	}
	if err := t.checkRoom(o); err != nil {
		return err
	}
	if !empty && !t.state.resumed {
		if err := t.clear(ctx, ""); err != nil {
			return err
		}
		if err := t.syncFolder(""); err != nil {
			return err
		}
	}
	if err := t.beginJournal(!t.state.resumed); err != nil {
		return err
	}
	t.holds = true
	if err := t.settleLease(ctx); err != nil {
		return err
	}
	t.fresh = t.fresh || o.Action == StartOver
	if err := t.probeTree(); err != nil {
		return err
	}
	return t.distrustFiles()
}

// takeJournal opens the existing journal if it is continued. It fails unless a
// journal says that malcolm made the directory, or the directory is empty.
func (t *Tree) takeJournal(empty bool, action Action) error {
	state, header, _, err := peekJournal(t.fs, t.name)
	switch {
	case err != nil:
		return err
	case empty && (state != JournalForeign || action == StartOver):
		return nil
	case state == JournalForeign:
		return reasoned(t.fs, "open", t.name+JournalSuffix, Foreign, errNoJournal)
	case state != JournalUsable || !header.IsTree():
		return reasoned(t.fs, "open", t.part, Foreign, errForeign)
	case action == StartOver:
		return nil
	}
	keep, err := t.resumeJournal(Info{Size: 1}, Resume)
	if err == nil && !keep {
		err = reasoned(t.fs, "open", t.part, Foreign, errForeign)
	}
	return err
}

func (t *Tree) isEmpty() (empty bool, err error) {
	empty = true
	err = t.folder.EachName(func(string) bool {
		empty = false
		return false
	})
	if err != nil {
		err = failure(t.fs, "read", t.part, err)
	}
	return empty, err
}

// checkRoom asks for the space and the files that the tree does not occupy yet.
// A directory that does not know them passes.
func (t *Tree) checkRoom(o TreeOptions) error {
	if o.SkipSpaceCheck {
		return nil
	}
	totals := t.tree.Totals()
	need := totals.Bytes - t.state.stored.Load()
	if have, err := t.fs.Free(); err == nil && have < need {
		return &Error{
			Op: "reserve", Name: t.fs.Path(t.part), Reason: NoSpace, Need: need, Have: have,
			Err: fmt.Errorf("needs %d bytes, %d are free", need, have),
		}
	}
	if t.state.resumed {
		return nil
	}
	files := int64(len(t.tree.Entries()) + directories(t.tree))
	if have, err := t.parent.FreeFiles(); err == nil && have < files {
		return &Error{
			Op: "reserve", Name: t.fs.Path(t.part), Reason: NoFiles, Need: files, Have: have,
			Err: fmt.Errorf("needs %d files and directories, the file system has room for %d", files, have),
		}
	}
	return nil
}

// directories counts the directories that are no entries of their own, because
// they hold some.
func directories(t *tree.Tree) (n int) {
	before := ""
	for i := range t.Entries() {
		path := t.Entries()[i].Path
		n += strings.Count(path, "/") - strings.Count(path[:common(before, path)], "/")
		before = path
	}
	return n
}

// common is the length of what two paths have in common at their fronts, up to
// and with a "/".
func common(a, b string) (n int) {
	for i := 0; i < min(len(a), len(b)) && a[i] == b[i]; i++ {
		if a[i] == '/' {
			n = i + 1
		}
	}
	return n
}

// clear removes everything in a directory that an earlier run left.
func (t *Tree) clear(ctx context.Context, dir string) error {
	names, err := t.namesIn(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := t.clearName(ctx, dir, name); err != nil {
			return err
		}
	}
	return nil
}

// clearName removes what has a name in a directory.
func (t *Tree) clearName(ctx context.Context, dir, name string) error {
	path := join(dir, name)
	var info Info
	lstat := func(d Folder) (err error) {
		info, err = d.Lstat(name)
		return err
	}
	if err := t.in(dir, "lstat", path, lstat); err != nil {
		return err
	}
	if info.Kind == Directory {
		if err := t.clear(ctx, path); err != nil {
			return err
		}
		t.folders.forget(path)
	}
	return t.in(dir, "remove", path, func(d Folder) error { return d.Remove(name) })
}

// in does something in a directory. The error is that of op on path.
func (t *Tree) in(dir, op, path string, do func(d Folder) error) error {
	d, err := t.folders.use(dir)
	if err == nil {
		err = do(d)
		t.folders.done(d)
	}
	if err != nil {
		return t.failedAt(op, path, err)
	}
	return nil
}

// namesIn returns all names in a directory.
func (t *Tree) namesIn(dir string) (names []string, err error) {
	err = t.in(dir, "read", dir, func(d Folder) error {
		return d.EachName(func(name string) bool {
			names = append(names, name)
			return true
		})
	})
	return names, err
}

// distrustFiles makes durable what an earlier run wrote, if the system can do
// that at once. What it hashes is then read from the disk, see Survey.
func (t *Tree) distrustFiles() error {
	if !t.state.resumed {
		return nil
	}
	err := t.folder.SyncAll()
	t.state.syncedAll = err == nil
	switch {
	case err == nil:
		clear(t.state.unnamed)
		return nil
	case errors.Is(err, errors.ErrUnsupported):
		return nil
	}
	return failure(t.fs, "sync", t.part, err)
}

// scan looks at what an earlier run left. It fails with Foreign if there is
// anything that the tree has not. It changes nothing.
func (t *Tree) scan(ctx context.Context) error {
	return t.scanFolder(ctx, "", 0, len(t.tree.Entries()))
}

// A child is what a directory has under a name: an entry, or a directory with
// entries.
type child struct{ first, end int } // entries; those of a directory lie beneath it

// scanFolder looks at a directory with the entries from first up to end.
func (t *Tree) scanFolder(ctx context.Context, dir string, first, end int) error {
	names, err := t.namesIn(dir)
	if err != nil {
		return err
	}
	children := t.children(dir, first, end)
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		c, ok := children[name]
		isFolder, err := t.scanName(dir, name, c, ok)
		if err != nil {
			return err
		}
		if !isFolder {
			continue
		}
		if c.end-c.first == 1 && t.entry(c.first).Kind == wire.EntryDirectory && t.entry(c.first).Path == join(dir, name) {
			c.end = c.first // an empty one
		}
		if err := t.scanFolder(ctx, join(dir, name), c.first, c.end); err != nil {
			return err
		}
	}
	return nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// children are the names that a directory is to have.
func (t *Tree) children(dir string, first, end int) map[string]child {
	skip := len(dir)
	if dir != "" {
		skip++
	}
	all := make(map[string]child)
	for i := first; i < end; i++ {
		name, _, _ := strings.Cut(t.entry(i).Path[skip:], "/")
		c, ok := all[name]
		if !ok {
			c.first = i
		}
		c.end = i + 1
		all[name] = c
	}
	return all
}

var errNotOfTree = errors.New("is not of this tree: another program has put it there")

// scanName looks at one name in a directory, which the tree has as c if ok is
// set.
func (t *Tree) scanName(dir, name string, c child, ok bool) (isFolder bool, err error) {
	path := join(dir, name)
	var info Info
	err = t.in(dir, "lstat", path, func(d Folder) (err error) {
		info, err = d.Lstat(name)
		return err
	})
	if err != nil {
		return false, err
	}
	want := Directory
	isEntry := ok && t.entry(c.first).Path == path
	if isEntry {
		want = kindOfEntry(t.entry(c.first))
	}
	if !ok || info.Kind != want {
		return false, reasoned(t.fs, "resume", t.part+"/"+path, Foreign, errNotOfTree)
	}
	if isEntry {
		t.found(c.first, info)
	}
	return want == Directory, nil
}

// found notes what an earlier run left of an entry.
func (t *Tree) found(entry int, info Info) {
	file, ok := t.tree.FileOf(entry)
	if !ok || t.entryOf(file) != entry {
		return
	}
	t.named(file)
	if info.Size == t.entry(entry).Size {
		t.state.stored.Add(info.Allocated)
		if t.isSmall(file) {
			t.state.whole.set(file)
		}
	}
}

// kindOfEntry is the kind that an entry's name has on the disk.
func kindOfEntry(e *wire.Entry) Kind {
	switch e.Kind {
	case wire.EntryDirectory:
		return Directory
	case wire.EntryLink:
		return Link
	}
	return Regular
}
