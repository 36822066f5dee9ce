package crashfs

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"slices"
	"syscall"
	"time"
)

// Dir is an open directory of a Disk. Any goroutine may call its methods.
type Dir struct {
	disk  *Disk
	inode *inode
	path  string // with a "/" at its end; "" for the Disk itself
	boot  int
}

// Root is the Disk itself.
func (d *Disk) Root() *Dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Dir{disk: d, inode: d.root, boot: d.boots}
}

// step begins every operation in the directory, with the lock held.
func (d *Dir) step(op, name string) (doubtful bool, err error) {
	if d.boot != d.disk.boots {
		return false, ErrPower
	}
	return d.disk.step(op, d.path+name)
}

// query is a step that changes nothing.
func (d *Dir) query(op, name string, do func() error) error {
	err := func() error {
		d.disk.mu.Lock()
		defer d.disk.mu.Unlock()
		if _, err := d.step(op, name); err != nil {
			return err
		}
		return do()
	}()
	d.disk.tell(Operation{Op: op, Name: d.path + name, Err: err})
	return err
}

// change is a step that changes the directory if do allows it.
func (d *Dir) change(op, name string, do func() (entry, error)) error {
	err := func() error {
		d.disk.mu.Lock()
		defer d.disk.mu.Unlock()
		doubtful, stepErr := d.step(op, name)
		if stepErr != nil && !doubtful {
			return stepErr
		}
		e, err := do()
		if err != nil {
			return err
		}
		e.apply(d.inode.names.visible)
		d.inode.names.entries = append(d.inode.names.entries, e)
		return stepErr
	}()
	d.disk.tell(Operation{Op: op, Name: d.path + name, Err: err})
	return err
}

func (e entry) apply(m map[string]*inode) {
	if e.from != "" && m[e.from] == e.inode {
		delete(m, e.from)
	}
	if e.to != "" {
		m[e.to] = e.inode
	}
}

// settleNames makes some of the changes durable, and drops the rest.
func (n *inode) settleNames(choose func(int) int) {
	for _, e := range n.names.entries {
		if choose(2) == 0 {
			e.apply(n.names.durable)
		}
	}
	n.names.entries, n.names.visible = nil, maps.Clone(n.names.durable)
}

// sync makes the names durable.
func (n *names) sync() { n.durable, n.entries = maps.Clone(n.visible), nil }

// Path is name as shown to people.
func (d *Dir) Path(name string) string { return "/simulated/" + d.path + name }

// Lstat returns what is known of name.
func (d *Dir) Lstat(name string) (info Info, err error) {
	err = d.query("lstat", name, func() error {
		n := d.inode.names.visible[name]
		if n == nil {
			return fs.ErrNotExist
		}
		info = d.disk.info(n)
		return nil
	})
	return info, err
}

func (d *Disk) info(n *inode) Info {
	info := Info{Kind: n.kind, Size: int64(len(n.visible)), Allocated: int64(len(n.blocks)) * blockSize, ID: n.id}
	var count func(dir *inode)
	count = func(dir *inode) {
		for _, other := range dir.names.visible {
			if other == n {
				info.Links++
			}
			if other.names != nil {
				count(other)
			}
		}
	}
	count(d.root)
	return info
}

// make makes something new.
func (d *Dir) make(op, name string, n *inode) error {
	return d.change(op, name, func() (entry, error) {
		switch {
		case d.inode.names.visible[name] != nil:
			return entry{}, fs.ErrExist
		case d.disk.Files > 0 && len(d.disk.inodes()) > d.disk.Files:
			return entry{}, syscall.ENOSPC
		}
		d.disk.lastID++
		n.id = d.disk.lastID
		return entry{to: name, inode: n}, nil
	})
}

// Create makes a new file, and opens it.
func (d *Dir) Create(name string) (*File, error) { return d.create(name, false) }

// CreateExecutable is Create, of a file that may be executed.
func (d *Dir) CreateExecutable(name string) (*File, error) { return d.create(name, true) }

func (d *Dir) create(name string, executable bool) (*File, error) {
	n := &inode{blocks: map[int64]bool{}, executable: executable}
	if err := d.make("create", name, n); err != nil {
		return nil, err
	}
	return &File{disk: d.disk, inode: n, name: d.path + name, boot: d.boot}, nil
}

// Mkdir makes a directory.
func (d *Dir) Mkdir(name string) error {
	return d.make("mkdir", name, &inode{kind: Directory, names: newNames()})
}

// Symlink makes a link.
func (d *Dir) Symlink(target, name string) error {
	return d.make("symlink", name, &inode{kind: Link, target: target})
}

// Readlink returns a link's target.
func (d *Dir) Readlink(name string) (target string, err error) {
	err = d.query("readlink", name, func() error {
		n := d.inode.names.visible[name]
		if n == nil {
			return fs.ErrNotExist
		}
		target = n.target
		return nil
	})
	return target, err
}

// SetTime sets the modification time, durably.
func (d *Dir) SetTime(name string, t time.Time) error {
	return d.query("settime", name, func() error {
		n := d.inode.names.visible[name]
		if n == nil {
			return fs.ErrNotExist
		}
		n.time = t
		return nil
	})
}

// Open opens an existing file.
func (d *Dir) Open(name string) (*File, error) { return d.open("open", name) }

// OpenWrite opens an existing file.
func (d *Dir) OpenWrite(name string) (*File, error) { return d.open("openwrite", name) }

func (d *Dir) open(op, name string) (f *File, err error) {
	err = d.query(op, name, func() error {
		n := d.inode.names.visible[name]
		switch {
		case n == nil:
			return fs.ErrNotExist
		case n.kind != Regular:
			return fs.ErrInvalid
		}
		f = &File{disk: d.disk, inode: n, name: d.path + name, boot: d.boot}
		return nil
	})
	return f, err
}

// OpenDir opens a directory.
func (d *Dir) OpenDir(name string) (opened *Dir, err error) {
	err = d.query("opendir", name, func() error {
		n := d.inode.names.visible[name]
		switch {
		case n == nil:
			return fs.ErrNotExist
		case n.kind != Directory:
			return fs.ErrInvalid
		}
		opened = &Dir{disk: d.disk, inode: n, path: d.path + name + "/", boot: d.boot}
		return nil
	})
	return opened, err
}

// EachName yields the names in order.
func (d *Dir) EachName(yield func(name string) bool) error {
	var list []string
	err := d.query("readdir", ".", func() error {
		list = slices.Sorted(maps.Keys(d.inode.names.visible))
		return nil
	})
	for _, name := range list {
		if !yield(name) {
			break
		}
	}
	return err
}

// RenameNoReplace renames, and never replaces.
func (d *Dir) RenameNoReplace(from, to string) error {
	return d.change("renamenoreplace", to, func() (entry, error) { return d.entry(from, from, to, false) })
}

// Rename replaces what has the new name.
func (d *Dir) Rename(from, to string) error {
	return d.change("rename", to, func() (entry, error) { return d.entry(from, from, to, true) })
}

// Link gives a file a second name.
func (d *Dir) Link(from, to string) error {
	return d.change("link", to, func() (entry, error) {
		if n := d.inode.names.visible[from]; n != nil && n.kind == Directory {
			return entry{}, syscall.EPERM
		}
		return d.entry(from, "", to, false)
	})
}

// Remove takes a file's name, or that of an empty directory.
func (d *Dir) Remove(name string) error {
	return d.change("remove", name, func() (entry, error) {
		if n := d.inode.names.visible[name]; n != nil && n.names != nil && len(n.names.visible) > 0 {
			return entry{}, syscall.ENOTEMPTY
		}
		return d.entry(name, name, "", true)
	})
}

// entry takes the name from from the file called source, and gives it the name
// to.
func (d *Dir) entry(source, from, to string, replace bool) (entry, error) {
	n, there := d.inode.names.visible[source], d.inode.names.visible[to]
	switch {
	case n == nil:
		return entry{}, fs.ErrNotExist
	case !replace && there != nil:
		return entry{}, fs.ErrExist
	case there != nil && there.names != nil && len(there.names.visible) > 0:
		return entry{}, syscall.ENOTEMPTY
	default:
		return entry{from: from, to: to, inode: n}, nil
	}
}

// SyncDir makes the names durable.
func (d *Dir) SyncDir() error {
	return d.query("syncdir", ".", func() error {
		d.inode.names.sync()
		return nil
	})
}

// SyncAll makes everything on the Disk durable. If it fails, some of it is.
func (d *Dir) SyncAll() error {
	err := func() error {
		d.disk.mu.Lock()
		defer d.disk.mu.Unlock()
		doubtful, err := d.step("syncall", ".")
		switch {
		case err == nil:
			for _, n := range d.disk.inodes() {
				n.syncAll()
			}
		case !doubtful && !errors.Is(err, ErrPower) && !errors.Is(err, errors.ErrUnsupported):
			for _, n := range d.disk.inodes() {
				if n.kind == Regular {
					n.settle(d.disk.Sector, d.disk.Choose)
				}
			}
		}
		return err
	}()
	d.disk.tell(Operation{Op: "syncall", Name: d.path + ".", Err: err})
	return err
}

func (n *inode) syncAll() {
	for _, w := range n.pending {
		n.durable = w.apply(n.durable)
	}
	n.pending = nil
	if n.names != nil {
		n.names.sync()
	}
}

// Stat returns what is known of the directory.
func (d *Dir) Stat() (info Info, err error) {
	err = d.query("stat", ".", func() error {
		info = d.disk.info(d.inode)
		return nil
	})
	return info, err
}

// Lock takes the directory's lock, unless another Dir has it.
func (d *Dir) Lock() (locked bool, err error) {
	err = d.query("lock", ".", func() error {
		if locked = d.inode.holder == nil || d.inode.holder == d; locked {
			d.inode.holder = d
		}
		return nil
	})
	return locked, err
}

// LockShared is true unless another Dir has the lock. It does not prevent
// others from locking.
func (d *Dir) LockShared() (locked bool, err error) {
	err = d.query("lock shared", ".", func() error {
		locked = d.inode.holder == nil || d.inode.holder == d
		return nil
	})
	return locked, err
}

// Close ends the lock.
func (d *Dir) Close() error {
	return d.query("close", ".", func() error {
		if d.inode.holder == d {
			d.inode.holder = nil
		}
		return nil
	})
}

// FreeFiles returns how many files and directories may still be made.
func (d *Dir) FreeFiles() (free int64, err error) {
	err = d.query("freefiles", ".", func() error {
		if free = math.MaxInt64; d.disk.Files > 0 {
			free = max(int64(d.disk.Files+1-len(d.disk.inodes())), 0) // the Disk itself is one
		}
		return nil
	})
	return free, err
}

// Free returns how many bytes may still be stored.
func (d *Dir) Free() (free int64, err error) {
	err = d.query("free", ".", func() error {
		free = d.disk.free()
		return nil
	})
	return free, err
}

func (d *Disk) free() int64 {
	if d.Capacity == 0 {
		return math.MaxInt64
	}
	free := d.Capacity
	for _, n := range d.inodes() {
		free -= int64(len(n.blocks)) * blockSize
	}
	return max(free, 0)
}

// take takes the blocks of n bytes from off on. It returns how many of these
// bytes, counted from off, have room.
func (d *Disk) take(to *inode, off, n int64) int64 {
	free := d.free()
	for b := off / blockSize; b*blockSize < off+n; b++ {
		if to.blocks[b] {
			continue
		}
		if free < blockSize {
			return max(b*blockSize-off, 0)
		}
		free -= blockSize
		to.blocks[b] = true
	}
	return n
}

// LongestName is that of most file systems.
func (d *Dir) LongestName() (int, error) { return 255, nil }
