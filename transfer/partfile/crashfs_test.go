package partfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"sync"
)

// crashFS is a simulated directory whose power can fail. Until a sync says otherwise nothing is durable: a crash
// keeps any subset of the writes, truncations and directory entries since the last sync, and tears writes into
// sectors of which any subset is kept. An fsync that fails behaves like Linux's: what was to be written is shown by
// the cache as before, is not on disk, and is never tried again.
//
// It is an FS, for any number of goroutines.
type crashFS struct {
	choose func(n int) int // a number from 0 to n-1: the fate of what is not durable

	mu      sync.Mutex
	visible map[string]*crashInode
	durable map[string]*crashInode
	entries []crashEntry // changes of the directory since the last SyncDir
	lastID  uint64
	boots   int // handles of an earlier one are dead
	ops     int // since the last boot
	crashAt int // the power fails in this operation; 0: in none
	down    bool
	// fail is asked before every operation, and its error is the operation's.
	fail func(op, name string) error
}

// crashSector is the length in bytes of what is never torn.
const crashSector = 16

var errPower = errors.New("the power has failed")

type crashInode struct {
	id      uint64
	visible []byte
	durable []byte
	pending []crashWrite // in their order
	holder  *crashHandle
}

// crashWrite is a write of data at off; when data is nil, a change of the size to off.
type crashWrite struct {
	off  int64
	data []byte
}

// crashEntry gives inode the name to (none when empty) and takes from from it.
type crashEntry struct {
	from, to string
	inode    *crashInode
}

func newCrashFS(choose func(n int) int) *crashFS {
	return &crashFS{choose: choose, visible: map[string]*crashInode{}, durable: map[string]*crashInode{}}
}

// crash lets the power fail, unless it has, and come back: what is visible then is what was durable.
func (c *crashFS) crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if c.choose(2) == 0 {
			c.durable = e.apply(c.durable)
		}
	}
	for _, n := range c.inodes() {
		n.settle(c.choose)
		n.visible = bytes.Clone(n.durable)
	}
	c.entries, c.visible = nil, maps.Clone(c.durable)
	c.boot()
}

// kill ends the process: its handles are dead, and everything that is cached stays so.
func (c *crashFS) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boot()
}

func (c *crashFS) boot() {
	for _, n := range c.inodes() {
		n.holder = nil
	}
	c.boots++
	c.ops, c.crashAt, c.down, c.fail = 0, 0, false, nil
}

// inodes are those that have a name, in a fixed order.
func (c *crashFS) inodes() []*crashInode {
	all := map[uint64]*crashInode{}
	for _, m := range []map[string]*crashInode{c.durable, c.visible} {
		for _, n := range m {
			all[n.id] = n
		}
	}
	list := slices.Collect(maps.Values(all))
	slices.SortFunc(list, func(a, b *crashInode) int { return int(a.id) - int(b.id) })
	return list
}

// content is what reads would show of name; nil when there is no such name.
func (c *crashFS) content(name string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.visible[name]; n != nil {
		return append([]byte{}, n.visible...)
	}
	return nil
}

// put makes name a durable file of that content, whatever it was before.
func (c *crashFS) put(name string, content []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	n := &crashInode{id: c.lastID, visible: bytes.Clone(content), durable: bytes.Clone(content)}
	c.visible[name], c.durable[name] = n, n
}

// damage changes bytes of a file on the disk and in the cache, behind everybody's back.
func (c *crashFS) damage(name string, off int64, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.visible[name]
	n.durable = crashWrite{off, b}.apply(n.durable)
	n.visible = crashWrite{off, b}.apply(n.visible)
}

// step counts an operation. Without an error it is to be done. If the power fails in it, doubtful is set and it may
// still be tried: whether that lasts is decided by the crash.
func (c *crashFS) step(op, name string) (doubtful bool, err error) {
	if c.down {
		return false, errPower
	}
	c.ops++
	if c.ops == c.crashAt {
		c.down = true
		return true, errPower
	}
	if c.fail != nil {
		return false, c.fail(op, name)
	}
	return false, nil
}

// change is a step that changes the directory if do finds nothing against it.
func (c *crashFS) change(op, name string, do func() (crashEntry, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	doubtful, stepErr := c.step(op, name)
	if stepErr != nil && !doubtful {
		return stepErr
	}
	e, err := do()
	if err != nil {
		return err
	}
	c.visible = e.apply(c.visible)
	c.entries = append(c.entries, e)
	return stepErr
}

func (e crashEntry) apply(m map[string]*crashInode) map[string]*crashInode {
	m = maps.Clone(m)
	if e.from != "" && m[e.from] == e.inode {
		delete(m, e.from)
	}
	if e.to != "" {
		m[e.to] = e.inode
	}
	return m
}

func (c *crashFS) Path(name string) string { return "/simulated/" + name }

func (c *crashFS) Lstat(name string) (Info, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.step("lstat", name); err != nil {
		return Info{}, err
	}
	n := c.visible[name]
	if n == nil {
		return Info{}, fs.ErrNotExist
	}
	return c.info(n), nil
}

func (c *crashFS) info(n *crashInode) Info {
	info := Info{Kind: Regular, Size: int64(len(n.visible)), Allocated: int64(len(n.visible)), ID: ID{File: n.id}}
	for _, other := range c.visible {
		if other == n {
			info.Links++
		}
	}
	return info
}

func (c *crashFS) Create(name string) (Handle, error) {
	var n *crashInode
	err := c.change("create", name, func() (crashEntry, error) {
		if c.visible[name] != nil {
			return crashEntry{}, fs.ErrExist
		}
		c.lastID++
		n = &crashInode{id: c.lastID}
		return crashEntry{to: name, inode: n}, nil
	})
	if err != nil {
		return nil, err
	}
	return &crashHandle{fs: c, inode: n, name: name, boot: c.boots}, nil
}

func (c *crashFS) Open(name string) (Handle, error) { return c.open("open", name) }

func (c *crashFS) OpenWrite(name string) (Handle, error) { return c.open("openwrite", name) }

func (c *crashFS) open(op, name string) (Handle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.step(op, name); err != nil {
		return nil, err
	}
	n := c.visible[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &crashHandle{fs: c, inode: n, name: name, boot: c.boots}, nil
}

func (c *crashFS) RenameNoReplace(from, to string) error {
	return c.change("renamenoreplace", to, func() (crashEntry, error) { return c.entry(from, from, to, false) })
}

func (c *crashFS) Rename(from, to string) error {
	return c.change("rename", to, func() (crashEntry, error) { return c.entry(from, from, to, true) })
}

func (c *crashFS) Link(from, to string) error {
	return c.change("link", to, func() (crashEntry, error) { return c.entry(from, "", to, false) })
}

func (c *crashFS) Remove(name string) error {
	return c.change("remove", name, func() (crashEntry, error) { return c.entry(name, name, "", true) })
}

// entry takes the name from from what is called source, and gives it the name to.
func (c *crashFS) entry(source, from, to string, replace bool) (crashEntry, error) {
	switch n := c.visible[source]; {
	case n == nil:
		return crashEntry{}, fs.ErrNotExist
	case !replace && c.visible[to] != nil:
		return crashEntry{}, fs.ErrExist
	default:
		return crashEntry{from: from, to: to, inode: n}, nil
	}
}

func (c *crashFS) SyncDir() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.step("syncdir", "."); err != nil {
		return err
	}
	c.durable, c.entries = maps.Clone(c.visible), nil
	return nil
}

func (c *crashFS) Free() (int64, error) { return math.MaxInt64, nil }

type crashHandle struct {
	fs    *crashFS
	inode *crashInode
	name  string // by which it was opened
	boot  int
}

// step begins every operation on the handle; the lock is held when it returns.
func (h *crashHandle) step(op string) (doubtful bool, err error) {
	h.fs.mu.Lock()
	if h.boot != h.fs.boots {
		return false, errPower
	}
	return h.fs.step(op, h.name)
}

// write is a step that changes the file.
func (h *crashHandle) write(op string, w crashWrite) error {
	doubtful, err := h.step(op)
	defer h.fs.mu.Unlock()
	if err == nil || doubtful {
		h.inode.visible = w.apply(h.inode.visible)
		h.inode.pending = append(h.inode.pending, w)
	}
	return err
}

func (h *crashHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.write("write", crashWrite{off, append([]byte{}, p...)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (h *crashHandle) Truncate(size int64) error { return h.write("truncate", crashWrite{off: size}) }

func (h *crashHandle) Allocate(off, n int64) error {
	h.fs.mu.Lock()
	size := max(int64(len(h.inode.visible)), off+n)
	h.fs.mu.Unlock()
	return h.write("allocate", crashWrite{off: size})
}

func (h *crashHandle) ReadAt(p []byte, off int64) (int, error) {
	_, err := h.step("read")
	defer h.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return bytes.NewReader(h.inode.visible).ReadAt(p, off)
}

// NextData takes zeros for holes.
func (h *crashHandle) NextData(off int64) (int64, error) {
	_, err := h.step("nextdata")
	defer h.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	for ; off < int64(len(h.inode.visible)); off++ {
		if h.inode.visible[off] != 0 {
			return off, nil
		}
	}
	return 0, io.EOF
}

func (h *crashHandle) Stat() (Info, error) {
	_, err := h.step("stat")
	defer h.fs.mu.Unlock()
	return h.fs.info(h.inode), err
}

func (h *crashHandle) Lock() (bool, error) {
	_, err := h.step("lock")
	defer h.fs.mu.Unlock()
	if err != nil || h.inode.holder != nil && h.inode.holder != h {
		return false, err
	}
	h.inode.holder = h
	return true, nil
}

// Forget shows what is on the disk, and what is still to be written there.
func (h *crashHandle) Forget() error {
	_, err := h.step("forget")
	defer h.fs.mu.Unlock()
	if err != nil {
		return err
	}
	h.inode.visible = bytes.Clone(h.inode.durable)
	for _, w := range h.inode.pending {
		h.inode.visible = w.apply(h.inode.visible)
	}
	return nil
}

func (h *crashHandle) Datasync() error { return h.sync("datasync") }

func (h *crashHandle) Sync() error { return h.sync("sync") }

func (h *crashHandle) sync(op string) error {
	doubtful, err := h.step(op)
	defer h.fs.mu.Unlock()
	switch {
	case err == nil:
		for _, w := range h.inode.pending {
			h.inode.durable = w.apply(h.inode.durable)
		}
		h.inode.pending = nil
	case !doubtful && !errors.Is(err, errPower):
		h.inode.settle(h.fs.choose)
	}
	return err
}

func (h *crashHandle) Close() error {
	_, err := h.step("close")
	defer h.fs.mu.Unlock()
	if h.inode.holder == h {
		h.inode.holder = nil
	}
	return err
}

func (w crashWrite) apply(b []byte) []byte {
	end := w.off + int64(len(w.data))
	if w.data == nil && end < int64(len(b)) {
		return bytes.Clone(b[:end])
	}
	b = append(bytes.Clone(b), make([]byte, max(0, end-int64(len(b))))...)
	copy(b[w.off:], w.data)
	return b
}

// settle makes some of what is pending durable, and drops the rest.
func (n *crashInode) settle(choose func(int) int) {
	for _, w := range n.pending {
		switch choose(3) {
		case 0:
			n.durable = w.apply(n.durable)
		case 1:
			n.durable = w.tear(n.durable, choose)
		}
	}
	if len(n.pending) > 0 && choose(2) == 0 { // the size came before the bytes
		n.durable = crashWrite{off: max(int64(len(n.durable)), int64(len(n.visible)))}.apply(n.durable)
	}
	n.pending = nil
}

// tear applies some of the sectors of a write.
func (w crashWrite) tear(b []byte, choose func(int) int) []byte {
	for data, off := w.data, w.off; len(data) > 0; {
		n := min(int64(len(data)), crashSector-off%crashSector)
		if choose(2) == 0 {
			b = crashWrite{off, data[:n]}.apply(b)
		}
		data, off = data[n:], off+n
	}
	return b
}
