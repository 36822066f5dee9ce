package partfile

import (
	"container/list"
	"errors"
	"io/fs"
	"strings"
)

// openFolders and openLarge bound how many directories of a tree, and how many
// of its files of several chunks, are kept open.
const (
	openFolders = 64
	openLarge   = 96
)

// folders are the open directories of a tree: those that were used last. A
// directory that is not there is made.
type folders struct {
	mu   latch // also held while one is opened
	root Folder
	open map[string]*folder
	used *list.List // of *folder, the last used first
	look bool       // nothing is made
}

// A folder is an open directory. It stays open while it has users.
type folder struct {
	Folder
	path  string
	users int
	place *list.Element
}

func (d *folders) begin() {
	d.mu, d.open, d.used = newLatch(), make(map[string]*folder), list.New()
}

// split cuts the last part off a path.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// use returns the directory with that path in the tree; "": the tree itself.
// It makes the directories that are not there. Call done with it.
func (d *folders) use(path string) (*folder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.find(path)
}

// find is use with d.mu held.
func (d *folders) find(path string) (*folder, error) {
	if path == "" {
		return &folder{Folder: d.root, users: 1}, nil
	}
	if f := d.open[path]; f != nil {
		f.users++
		d.used.MoveToFront(f.place)
		return f, nil
	}
	above, name := split(path)
	parent, err := d.find(above)
	if err != nil {
		return nil, err
	}
	defer d.release(parent)
	opened, err := parent.OpenDir(name)
	if errors.Is(err, fs.ErrNotExist) && !d.look {
		if err = parent.Mkdir(name); err == nil || errors.Is(err, fs.ErrExist) {
			opened, err = parent.OpenDir(name)
		}
	}
	if err != nil {
		return nil, err
	}
	f := &folder{Folder: opened, path: path, users: 1}
	f.place = d.used.PushFront(f)
	d.open[path] = f
	d.shrink(openFolders)
	return f, nil
}

// done ends a use.
func (d *folders) done(f *folder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release(f)
}

func (d *folders) release(f *folder) { f.users-- }

// shrink closes what was used longest ago and has no user, down to a number of
// directories.
func (d *folders) shrink(most int) {
	for place := d.used.Back(); place != nil && d.used.Len() > most; {
		f := place.Value.(*folder)
		place = place.Prev()
		if f.users == 0 {
			d.used.Remove(f.place)
			delete(d.open, f.path)
			f.Close()
		}
	}
}

// close closes all.
func (d *folders) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shrink(0)
}

// largeFiles are the open files of several chunks: those that were used last.
type largeFiles struct {
	mu     latch
	open   map[int]*largeFile
	used   *list.List // of *largeFile, the last used first
	sparse bool       // their space is not to be reserved
}

// A largeFile is an open file. It stays open while it has users.
type largeFile struct {
	opening latch // held while it is opened
	handle  Handle
	file    int // its number in the content

	users int           // under largeFiles.mu
	place *list.Element // likewise
}

func (l *largeFiles) begin(sparse bool) {
	l.mu, l.open, l.used, l.sparse = newLatch(), make(map[int]*largeFile), list.New(), sparse
}

// use returns a file of the content, opened. It makes one that is not there.
// Call done with it.
func (l *largeFiles) use(t *Tree, file int) (*largeFile, error) {
	f := l.take(file)
	f.opening.Lock()
	defer f.opening.Unlock()
	if f.handle != nil {
		return f, nil
	}
	h, err := t.openLarge(file)
	if err != nil {
		l.forget(f)
		return nil, err
	}
	f.handle = h
	return f, nil
}

// take returns the file, perhaps not opened.
func (l *largeFiles) take(file int) *largeFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.open[file]
	if f == nil {
		f = &largeFile{opening: newLatch(), file: file}
		f.place = l.used.PushFront(f)
		l.open[file] = f
	} else {
		l.used.MoveToFront(f.place)
	}
	f.users++
	l.shrink(openLarge)
	return f
}

// forget ends the use of a file that could not be opened.
func (l *largeFiles) forget(f *largeFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.users--
	if f.users == 0 {
		l.used.Remove(f.place)
		delete(l.open, f.file)
	}
}

// done ends a use.
func (l *largeFiles) done(f *largeFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.users--
}

// shrink closes what was used longest ago and has no user, down to a number of
// files.
func (l *largeFiles) shrink(most int) {
	for place := l.used.Back(); place != nil && l.used.Len() > most; {
		f := place.Value.(*largeFile)
		place = place.Prev()
		if f.users == 0 {
			l.used.Remove(f.place)
			delete(l.open, f.file)
			f.handle.Close()
		}
	}
}

// close closes all.
func (l *largeFiles) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shrink(0)
}

// forget closes a directory that is about to be removed.
func (d *folders) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.open[path]; f != nil && f.users == 0 {
		d.used.Remove(f.place)
		delete(d.open, path)
		f.Close()
	}
}
