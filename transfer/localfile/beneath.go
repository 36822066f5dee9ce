package localfile

import (
	"container/list"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// maxHandles bounds the directories that a [Beneath] keeps open.
const maxHandles = 32

// A Beneath is an open directory and what lies beneath it. Paths are parts that
// are joined by "/"; "" is the directory itself. No link is followed: neither
// at the end of a path nor on the way, whatever is replaced meanwhile. It keeps
// at most 32 directories open, beside those in use. Any goroutine may call its
// methods. Close must come last.
type Beneath struct {
	top handle

	mu      sync.Mutex
	handles map[string]*list.Element // of *handle
	order   list.List                // the one used last in front
}

// A handle is an open directory.
type handle struct {
	path string
	root *os.Root

	// under Beneath.mu
	users int
	left  bool // closed when nobody uses it
}

func newBeneath(root *os.Root) *Beneath {
	return &Beneath{top: handle{root: root}, handles: make(map[string]*list.Element)}
}

// Close closes all directories that are open.
func (b *Beneath) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.handles {
		e.Value.(*handle).root.Close()
	}
	clear(b.handles)
	b.order.Init()
	return b.top.root.Close()
}

// Stat describes the directory itself.
func (b *Beneath) Stat() (fs.FileInfo, error) { return b.top.root.Stat(".") }

// List calls each for all that lies in a directory, in no order. What vanishes
// meanwhile is left out.
func (b *Beneath) List(dir string, each func(fs.FileInfo)) error {
	h, err := b.acquire(dir)
	if err != nil {
		return err
	}
	defer b.release(h)
	f, err := h.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				each(info)
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// Open opens a regular file. It waits for nothing: neither for the writer of a
// FIFO nor for a device. [ErrNotRegular], [ErrChanged] or the system's errors.
func (b *Beneath) Open(path string) (File, error) {
	dir, name := cutPath(path)
	h, err := b.acquire(dir)
	if err != nil {
		return nil, err
	}
	defer b.release(h)
	// Root.OpenFile follows links within the root, so Lstat decides what is
	// opened and Stat confirms that it was.
	seen, err := h.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !seen.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	f, err := h.root.OpenFile(name, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(seen, info) {
		err = ErrChanged
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &systemFile{f, raw}, nil
}

// Readlink returns the target of a link, in the parts and with the separators
// that it has in a tree.
func (b *Beneath) Readlink(path string) (string, error) {
	dir, name := cutPath(path)
	h, err := b.acquire(dir)
	if err != nil {
		return "", err
	}
	defer b.release(h)
	target, err := h.root.Readlink(name)
	return filepath.ToSlash(target), err
}

// acquire returns an open directory, to be released.
func (b *Beneath) acquire(path string) (*handle, error) {
	if path == "" {
		return &b.top, nil
	}
	b.mu.Lock()
	if e := b.handles[path]; e != nil {
		b.order.MoveToFront(e)
		h := e.Value.(*handle)
		h.users++
		b.mu.Unlock()
		return h, nil
	}
	b.mu.Unlock()
	dir, name := cutPath(path)
	parent, err := b.acquire(dir)
	if err != nil {
		return nil, err
	}
	defer b.release(parent)
	root, err := openDirectory(parent.root, name)
	if err != nil {
		return nil, err
	}
	return b.keep(&handle{path: path, root: root, users: 1}), nil
}

// openDirectory opens a directory in another one, and no link to one.
func openDirectory(in *os.Root, name string) (*os.Root, error) {
	seen, err := in.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !seen.IsDir() {
		return nil, ErrNotDirectory
	}
	root, err := in.OpenRoot(name + "/.") // which waits for no FIFO that took its place
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil && !os.SameFile(seen, info) {
		err = ErrChanged
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// keep adds an opened directory to those that stay open. If another goroutine
// was quicker, it returns that one's.
func (b *Beneath) keep(h *handle) *handle {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.handles[h.path]; e != nil {
		h.root.Close()
		other := e.Value.(*handle)
		other.users++
		return other
	}
	b.handles[h.path] = b.order.PushFront(h)
	if b.order.Len() > maxHandles {
		last := b.order.Remove(b.order.Back()).(*handle)
		delete(b.handles, last.path)
		if last.left = true; last.users == 0 {
			last.root.Close()
		}
	}
	return h
}

func (b *Beneath) release(h *handle) {
	if h == &b.top {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.users--; h.left && h.users == 0 {
		h.root.Close()
	}
}

// cutPath cuts a path before its last part.
func cutPath(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
