// Package crashfs is a simulated directory whose power can fail, for tests: no
// program imports it.
//
// Nothing is durable until a sync. A crash keeps any subset of the writes,
// truncations and directory entries since the last sync, and tears writes into
// sectors of which any subset is kept. An fsync that fails behaves like
// Linux's: the cache still shows what was to be written, but it is not on disk,
// and is never tried again.
//
// A [Disk] has the operations of partfile.FS, and a [File] those of
// partfile.Handle, in types of their own, so that the tests of partfile itself
// can use them. Only Lstat, Stat and the calls that open files must be adapted.
package crashfs

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math"
	"slices"
	"sync"
)

// ErrPower is the error of every operation once the power has failed.
var ErrPower = errors.New("the power has failed")

// blockSize is the unit in which storage is taken, in bytes.
const blockSize = 4096

// Disk is the directory. Any goroutine may call its methods. Set its exported
// fields except Down before others use it. Crash and Kill clear CrashAt, Counts
// and Fail.
type Disk struct {
	// Choose returns a number from 0 to n-1, which decides what happens to
	// bytes that are not durable. One goroutine calls it at a time.
	Choose func(n int) int
	// Sector is the number of bytes that are never torn.
	Sector int64
	// Capacity is the number of bytes of storage; 0: no limit.
	Capacity int64
	// CrashAt is the operation in which the power fails, 1 for the first
	// that Counts since the last boot; 0: never.
	CrashAt int
	// Counts says which operations CrashAt counts; nil: all.
	Counts func(op, name string) bool
	// Fail is called before every operation, which fails with its error.
	// One goroutine calls it at a time. It must not call the Disk.
	Fail func(op, name string) error
	// After is told every operation that was tried, by the goroutine that
	// tried it. It may call the Disk.
	After func(Operation)

	mu      sync.Mutex
	visible map[string]*inode
	durable map[string]*inode
	entries []entry // changes of the directory since the last SyncDir
	lastID  uint64
	boots   int // files opened before an earlier one are dead
	counted int // operations since the last boot that Counts
	down    bool
}

// Operation is one call of a Disk or of a File.
type Operation struct {
	Op   string // "create", "write", "datasync", "syncdir", ...
	Name string // of the file
	Off  int64  // with "write": where
	N    int    // with "write": bytes that were written
	Err  error
}

// Short is an error for Fail to return: a write stores half of its bytes, and
// returns their number with Err, which may be nil.
type Short struct{ Err error }

func (s *Short) Error() string { return "short write" }

// Info is what the directory says of a file.
type Info struct {
	Size      int64 // bytes
	Allocated int64 // bytes of storage
	Links     uint64
	ID        uint64
}

type inode struct {
	id      uint64
	visible []byte
	durable []byte
	pending []write // in their order
	blocks  map[int64]bool
	holder  *File
}

// A write is one of data at off; if data is nil, a change of the size to off.
type write struct {
	off  int64
	data []byte
}

// An entry takes the name from from inode and gives it the name to. Either may
// be empty.
type entry struct {
	from, to string
	inode    *inode
}

// New returns an empty directory. choose decides what happens to bytes that are
// not durable. Writes longer than sector bytes can be torn.
func New(sector int64, choose func(n int) int) *Disk {
	return &Disk{Choose: choose, Sector: sector, visible: map[string]*inode{}, durable: map[string]*inode{}}
}

// Crash lets the power fail, unless it has, and come back. What was durable is
// then visible.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if d.Choose(2) == 0 {
			e.apply(d.durable)
		}
	}
	for _, n := range d.inodes() {
		n.settle(d.Sector, d.Choose)
		n.show()
	}
	d.entries, d.visible = nil, maps.Clone(d.durable)
	d.boot()
}

// Clone returns a disk with the same content, for a look that changes nothing.
// It does not count, fail or report.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New(d.Sector, d.Choose)
	copies := map[*inode]*inode{}
	copied := func(n *inode) *inode {
		if copies[n] == nil {
			copies[n] = &inode{
				id: n.id, visible: bytes.Clone(n.visible), durable: bytes.Clone(n.durable),
				pending: slices.Clone(n.pending), blocks: maps.Clone(n.blocks),
			}
		}
		return copies[n]
	}
	for name, n := range d.visible {
		c.visible[name] = copied(n)
	}
	for name, n := range d.durable {
		c.durable[name] = copied(n)
	}
	for _, e := range d.entries {
		c.entries = append(c.entries, entry{from: e.from, to: e.to, inode: copied(e.inode)})
	}
	c.Capacity, c.lastID = d.Capacity, d.lastID
	return c
}

// Kill ends the process: its files are closed, and everything cached stays
// cached.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boot()
}

func (d *Disk) boot() {
	for _, n := range d.inodes() {
		n.holder = nil
	}
	d.boots++
	d.counted, d.CrashAt, d.Counts, d.down, d.Fail = 0, 0, nil, false, nil
}

// Down reports whether the power has failed and is not back.
func (d *Disk) Down() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.down
}

// Counted returns the number of operations that Counts, since the last boot.
func (d *Disk) Counted() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counted
}

// inodes returns those that have a name, in a fixed order.
func (d *Disk) inodes() []*inode {
	all := map[uint64]*inode{}
	for _, m := range []map[string]*inode{d.durable, d.visible} {
		for _, n := range m {
			all[n.id] = n
		}
	}
	list := slices.Collect(maps.Values(all))
	slices.SortFunc(list, func(a, b *inode) int { return int(a.id) - int(b.id) })
	return list
}

// Content returns what reads would show of name; nil without such a name.
func (d *Disk) Content(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.visible[name]; n != nil {
		return append([]byte{}, n.visible...)
	}
	return nil
}

// Holds reports whether reads of name show b from off bytes on.
func (d *Disk) Holds(name string, off int64, b []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.visible[name]
	return n != nil && off+int64(len(b)) <= int64(len(n.visible)) && bytes.Equal(n.visible[off:][:len(b)], b)
}

// Is reports whether name is a file with exactly this content.
func (d *Disk) Is(name string, content []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.visible[name]
	return n != nil && bytes.Equal(n.visible, content)
}

// Exists reports whether there is such a name.
func (d *Disk) Exists(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.visible[name] != nil
}

// Put makes name a durable file with that content, whatever it was before.
func (d *Disk) Put(name string, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastID++
	n := &inode{id: d.lastID, durable: bytes.Clone(content), blocks: map[int64]bool{}}
	n.show()
	d.take(n, 0, int64(len(content)))
	d.visible[name], d.durable[name] = n, n
}

// Damage changes bytes of a file on the disk and in the cache, unnoticed.
func (d *Disk) Damage(name string, off int64, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.visible[name]
	n.durable = write{off, b}.apply(n.durable)
	n.visible = write{off, b}.apply(n.visible)
}

// step counts an operation. Without an error the caller does it. If the power
// fails in it, doubtful is set and the caller may still try: the crash decides
// whether that lasts.
func (d *Disk) step(op, name string) (doubtful bool, err error) {
	if d.down {
		return false, ErrPower
	}
	if d.Counts == nil || d.Counts(op, name) {
		if d.counted++; d.counted == d.CrashAt {
			d.down = true
			return true, ErrPower
		}
	}
	if d.Fail != nil {
		return false, d.Fail(op, name)
	}
	return false, nil
}

// tell calls After, without the lock.
func (d *Disk) tell(o Operation) {
	if d.After != nil {
		d.After(o)
	}
}

// query is a step that changes nothing.
func (d *Disk) query(op, name string, do func() error) error {
	err := func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if _, err := d.step(op, name); err != nil {
			return err
		}
		return do()
	}()
	d.tell(Operation{Op: op, Name: name, Err: err})
	return err
}

// change is a step that changes the directory if do allows it.
func (d *Disk) change(op, name string, do func() (entry, error)) error {
	err := func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		doubtful, stepErr := d.step(op, name)
		if stepErr != nil && !doubtful {
			return stepErr
		}
		e, err := do()
		if err != nil {
			return err
		}
		e.apply(d.visible)
		d.entries = append(d.entries, e)
		return stepErr
	}()
	d.tell(Operation{Op: op, Name: name, Err: err})
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

// Path is name as shown to people.
func (d *Disk) Path(name string) string { return "/simulated/" + name }

// Lstat returns what is known of name.
func (d *Disk) Lstat(name string) (info Info, err error) {
	err = d.query("lstat", name, func() error {
		n := d.visible[name]
		if n == nil {
			return fs.ErrNotExist
		}
		info = d.info(n)
		return nil
	})
	return info, err
}

func (d *Disk) info(n *inode) Info {
	info := Info{Size: int64(len(n.visible)), Allocated: int64(len(n.blocks)) * blockSize, ID: n.id}
	for _, other := range d.visible {
		if other == n {
			info.Links++
		}
	}
	return info
}

// Create makes a new file, and opens it.
func (d *Disk) Create(name string) (*File, error) {
	var f *File
	err := d.change("create", name, func() (entry, error) {
		if d.visible[name] != nil {
			return entry{}, fs.ErrExist
		}
		d.lastID++
		n := &inode{id: d.lastID, blocks: map[int64]bool{}}
		f = &File{disk: d, inode: n, name: name, boot: d.boots}
		return entry{to: name, inode: n}, nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Open opens an existing file.
func (d *Disk) Open(name string) (*File, error) { return d.open("open", name) }

// OpenWrite opens an existing file.
func (d *Disk) OpenWrite(name string) (*File, error) { return d.open("openwrite", name) }

func (d *Disk) open(op, name string) (f *File, err error) {
	err = d.query(op, name, func() error {
		n := d.visible[name]
		if n == nil {
			return fs.ErrNotExist
		}
		f = &File{disk: d, inode: n, name: name, boot: d.boots}
		return nil
	})
	return f, err
}

// RenameNoReplace renames, and never replaces.
func (d *Disk) RenameNoReplace(from, to string) error {
	return d.change("renamenoreplace", to, func() (entry, error) { return d.entry(from, from, to, false) })
}

// Rename replaces what has the new name.
func (d *Disk) Rename(from, to string) error {
	return d.change("rename", to, func() (entry, error) { return d.entry(from, from, to, true) })
}

// Link gives a file a second name.
func (d *Disk) Link(from, to string) error {
	return d.change("link", to, func() (entry, error) { return d.entry(from, "", to, false) })
}

// Remove takes a file's name.
func (d *Disk) Remove(name string) error {
	return d.change("remove", name, func() (entry, error) { return d.entry(name, name, "", true) })
}

// entry takes the name from from the file called source, and gives it the name
// to.
func (d *Disk) entry(source, from, to string, replace bool) (entry, error) {
	switch n := d.visible[source]; {
	case n == nil:
		return entry{}, fs.ErrNotExist
	case !replace && d.visible[to] != nil:
		return entry{}, fs.ErrExist
	default:
		return entry{from: from, to: to, inode: n}, nil
	}
}

// SyncDir makes the names durable.
func (d *Disk) SyncDir() error {
	return d.query("syncdir", ".", func() error {
		d.durable, d.entries = maps.Clone(d.visible), nil
		return nil
	})
}

// Free returns how many bytes may still be stored.
func (d *Disk) Free() (free int64, err error) {
	err = d.query("free", ".", func() error {
		free = d.free()
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
