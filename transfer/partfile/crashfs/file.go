package crashfs

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"syscall"
)

// File is an open file of a Disk. Any goroutine may call its methods.
type File struct {
	disk  *Disk
	inode *inode
	name  string // by which it was opened
	boot  int
}

// step begins every operation on the file. The lock is held when it returns.
func (f *File) step(op string) (doubtful bool, err error) {
	f.disk.mu.Lock()
	if f.boot != f.disk.boots {
		return false, ErrPower
	}
	return f.disk.step(op, f.name)
}

// query is a step that changes nothing.
func (f *File) query(op string, do func() error) error {
	err := func() error {
		_, err := f.step(op)
		defer f.disk.mu.Unlock()
		if err != nil {
			return err
		}
		return do()
	}()
	f.disk.tell(Operation{Op: op, Name: f.name, Err: err})
	return err
}

// resize is a step that changes the size.
func (f *File) resize(op string, do func() error) error {
	err := func() error {
		doubtful, err := f.step(op)
		defer f.disk.mu.Unlock()
		if err == nil || doubtful {
			err = errors.Join(err, do())
		}
		return err
	}()
	f.disk.tell(Operation{Op: op, Name: f.name, Err: err})
	return err
}

func (f *File) change(w write) {
	f.inode.visible = w.apply(f.inode.visible)
	f.inode.pending = append(f.inode.pending, w)
}

// WriteAt writes the bytes for which there is room.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.writeAt(p, off)
	f.disk.tell(Operation{Op: "write", Name: f.name, Off: off, N: n, Err: err})
	return n, err
}

func (f *File) writeAt(p []byte, off int64) (int, error) {
	doubtful, err := f.step("write")
	defer f.disk.mu.Unlock()
	n := len(p)
	short, isShort := errors.AsType[*Short](err)
	switch {
	case isShort:
		n, err = n/2, short.Err
	case err != nil && !doubtful:
		return 0, err
	}
	if room := f.disk.take(f.inode, off, int64(n)); room < int64(n) {
		n, err = int(room), errors.Join(err, syscall.ENOSPC)
	}
	f.change(write{off, append([]byte{}, p[:n]...)})
	if doubtful {
		n = 0
	}
	return n, err
}

// Truncate sets the size.
func (f *File) Truncate(size int64) error {
	return f.resize("truncate", func() error {
		f.change(write{off: size})
		for b := range f.inode.blocks {
			if b*blockSize >= size {
				delete(f.inode.blocks, b)
			}
		}
		return nil
	})
}

// Allocate takes the storage of n bytes from off on.
func (f *File) Allocate(off, n int64) error {
	return f.resize("allocate", func() error {
		if f.disk.take(f.inode, off, n) < n {
			return syscall.ENOSPC
		}
		f.change(write{off: max(int64(len(f.inode.visible)), off+n)})
		return nil
	})
}

// ReadAt works like io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.query("read", func() (err error) {
		n, err = bytes.NewReader(f.inode.visible).ReadAt(p, off)
		return err
	})
	return n, err
}

// NextData takes zeros for holes.
func (f *File) NextData(off int64) (next int64, err error) {
	err = f.query("nextdata", func() error {
		rest := f.inode.visible[min(off, int64(len(f.inode.visible))):]
		i := slices.IndexFunc(rest, func(b byte) bool { return b != 0 })
		if i < 0 {
			return io.EOF
		}
		next = off + int64(i)
		return nil
	})
	return next, err
}

// Stat returns what is known of the file.
func (f *File) Stat() (info Info, err error) {
	err = f.query("stat", func() error {
		info = f.disk.info(f.inode)
		return nil
	})
	return info, err
}

// Lock takes the file's lock, unless another File has it.
func (f *File) Lock() (locked bool, err error) {
	err = f.query("lock", func() error {
		if locked = f.inode.holder == nil || f.inode.holder == f; locked {
			f.inode.holder = f
		}
		return nil
	})
	return locked, err
}

// LockShared is true unless another File has the lock. It does not prevent
// others from locking.
func (f *File) LockShared() (locked bool, err error) {
	err = f.query("lock shared", func() error {
		locked = f.inode.holder == nil || f.inode.holder == f
		return nil
	})
	return locked, err
}

// Forget shows what is on the disk, and what is still to be written there.
func (f *File) Forget() error {
	return f.query("forget", func() error {
		f.inode.show()
		for _, w := range f.inode.pending {
			f.inode.visible = w.apply(f.inode.visible)
		}
		return nil
	})
}

// Datasync makes the bytes durable.
func (f *File) Datasync() error { return f.sync("datasync") }

// Sync makes the bytes durable.
func (f *File) Sync() error { return f.sync("sync") }

func (f *File) sync(op string) error {
	err := func() error {
		doubtful, err := f.step(op)
		defer f.disk.mu.Unlock()
		switch {
		case err == nil:
			for _, w := range f.inode.pending {
				f.inode.durable = w.apply(f.inode.durable)
			}
			f.inode.pending = nil
		case !doubtful && !errors.Is(err, ErrPower):
			f.inode.settle(f.disk.Sector, f.disk.Choose)
		}
		return err
	}()
	f.disk.tell(Operation{Op: op, Name: f.name, Err: err})
	return err
}

// Close ends the lock.
func (f *File) Close() error {
	err := func() error {
		_, err := f.step("close")
		defer f.disk.mu.Unlock()
		if f.inode.holder == f {
			f.inode.holder = nil
		}
		return err
	}()
	f.disk.tell(Operation{Op: "close", Name: f.name, Err: err})
	return err
}

// apply changes b in place if it can.
func (w write) apply(b []byte) []byte {
	end := w.off + int64(len(w.data))
	if w.data == nil && end < int64(len(b)) {
		return b[:end:end]
	}
	b = append(b, make([]byte, max(0, end-int64(len(b))))...)
	copy(b[w.off:], w.data)
	return b
}

// show makes visible what is on the disk.
func (n *inode) show() { n.visible = bytes.Clone(n.durable) }

// settle makes some of what is pending durable, and drops the rest.
func (n *inode) settle(sector int64, choose func(int) int) {
	for _, w := range n.pending {
		switch choose(3) {
		case 0:
			n.durable = w.apply(n.durable)
		case 1:
			n.durable = w.tear(n.durable, sector, choose)
		}
	}
	if len(n.pending) > 0 && choose(2) == 0 { // the size came before the bytes
		n.durable = write{off: max(int64(len(n.durable)), int64(len(n.visible)))}.apply(n.durable)
	}
	n.pending = nil
}

// tear applies some of the sectors of a write.
func (w write) tear(b []byte, sector int64, choose func(int) int) []byte {
	for data, off := w.data, w.off; len(data) > 0; {
		n := min(int64(len(data)), sector-off%sector)
		if choose(2) == 0 {
			b = write{off, data[:n]}.apply(b)
		}
		data, off = data[n:], off+n
	}
	return b
}
