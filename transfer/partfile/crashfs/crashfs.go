// Package crashfs is a simulated directory, with directories in it, whose power
// can fail, for tests: no program imports it.
//
// Nothing is durable until a sync. A crash keeps any subset of the writes,
// truncations and directory entries since the last sync, and tears writes into
// sectors of which any subset is kept. An fsync that fails behaves like
// Linux's: the cache still shows what was to be written, but it is not on disk,
// and is never tried again.
//
// A [Disk] has the operations of partfile.TreeFS, a [Dir] those of
// partfile.Folder and a [File] those of partfile.Handle, in types of their own,
// so that the tests of partfile itself can use them. Only Lstat, Stat and the
// calls that open something must be adapted.
package crashfs

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
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
	// Files is the number of files and directories that can be there at
	// once; 0: no limit.
	Files int
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
	root    *inode
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
	Kind      Kind
	Size      int64 // bytes
	Allocated int64 // bytes of storage
	Links     uint64
	ID        uint64
}

// Kind is what a name stands for.
type Kind int

// Kinds.
const (
	Regular Kind = iota
	Directory
	Link
)

type inode struct {
	id         uint64
	kind       Kind
	visible    []byte
	durable    []byte
	pending    []write // in their order
	blocks     map[int64]bool
	holder     any // the *File or *Dir that has the lock
	target     string
	executable bool
	time       time.Time
	names      *names // of a directory
}

// names are what a directory holds.
type names struct {
	visible map[string]*inode
	durable map[string]*inode
	entries []entry // changes since the last SyncDir
}

func newNames() *names { return &names{visible: map[string]*inode{}, durable: map[string]*inode{}} }

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
	return &Disk{Choose: choose, Sector: sector, root: &inode{kind: Directory, names: newNames()}}
}

// Crash lets the power fail, unless it has, and come back. What was durable is
// then visible.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.inodes()
	for _, n := range all {
		if n.kind == Directory {
			n.settleNames(d.Choose)
		}
	}
	for _, n := range all {
		if n.kind == Regular {
			n.settle(d.Sector, d.Choose)
			n.show()
		}
	}
	d.boot()
}

// Clone returns a disk with the same content, for a look that changes nothing.
// It does not count, fail or report.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New(d.Sector, d.Choose)
	c.root = d.root.clone(map[*inode]*inode{})
	c.Capacity, c.Files, c.lastID = d.Capacity, d.Files, d.lastID
	return c
}

// clone copies what can be reached, each inode once.
func (n *inode) clone(copies map[*inode]*inode) *inode {
	if copies[n] != nil {
		return copies[n]
	}
	c := *n
	copies[n] = &c
	c.visible, c.durable, c.holder = bytes.Clone(n.visible), bytes.Clone(n.durable), nil
	c.pending, c.blocks = slices.Clone(n.pending), maps.Clone(n.blocks)
	if n.names == nil {
		return &c
	}
	c.names = newNames()
	for name, other := range n.names.visible {
		c.names.visible[name] = other.clone(copies)
	}
	for name, other := range n.names.durable {
		c.names.durable[name] = other.clone(copies)
	}
	for _, e := range n.names.entries {
		c.names.entries = append(c.names.entries, entry{from: e.from, to: e.to, inode: e.inode.clone(copies)})
	}
	return &c
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

// inodes returns those that can be reached by names, in a fixed order.
func (d *Disk) inodes() []*inode {
	all := map[uint64]*inode{}
	var visit func(n *inode)
	visit = func(n *inode) {
		if all[n.id] != nil {
			return
		}
		all[n.id] = n
		if n.names != nil {
			for _, m := range []map[string]*inode{n.names.durable, n.names.visible} {
				for _, other := range m {
					visit(other)
				}
			}
		}
	}
	visit(d.root)
	list := slices.Collect(maps.Values(all))
	slices.SortFunc(list, func(a, b *inode) int { return int(a.id) - int(b.id) })
	return list
}

// find returns what has a path; nil: nothing.
func (d *Disk) find(path string) *inode {
	n := d.root
	for part := range strings.SplitSeq(path, "/") {
		if n == nil || n.names == nil {
			return nil
		}
		n = n.names.visible[part]
	}
	return n
}

// Walk calls each for every path, in order.
func (d *Disk) Walk(each func(path string, kind Kind, executable bool, content []byte, target string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var visit func(path string, n *inode)
	visit = func(path string, n *inode) {
		for _, name := range slices.Sorted(maps.Keys(n.names.visible)) {
			other := n.names.visible[name]
			each(path+name, other.kind, other.executable, other.visible, other.target)
			if other.names != nil {
				visit(path+name+"/", other)
			}
		}
	}
	visit("", d.root)
}

// Content returns what reads would show of a path; nil without such a path.
func (d *Disk) Content(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.find(name); n != nil {
		return append([]byte{}, n.visible...)
	}
	return nil
}

// Holds reports whether reads of name show b from off bytes on.
func (d *Disk) Holds(name string, off int64, b []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	return n != nil && off+int64(len(b)) <= int64(len(n.visible)) && bytes.Equal(n.visible[off:][:len(b)], b)
}

// Is reports whether name is a file with exactly this content.
func (d *Disk) Is(name string, content []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
	return n != nil && bytes.Equal(n.visible, content)
}

// Exists reports whether there is such a name.
func (d *Disk) Exists(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.find(name) != nil
}

// Put makes name, which lies in the Disk itself, a durable file with that
// content, whatever it was before.
func (d *Disk) Put(name string, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lastID++
	n := &inode{id: d.lastID, durable: bytes.Clone(content), blocks: map[int64]bool{}}
	n.show()
	d.take(n, 0, int64(len(content)))
	d.root.names.visible[name], d.root.names.durable[name] = n, n
}

// Damage changes bytes of a file on the disk and in the cache, unnoticed.
func (d *Disk) Damage(name string, off int64, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.find(name)
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
