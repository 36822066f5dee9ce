package partfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Dir is the FS, and the TreeFS, over the directory of root. It keeps nothing
// open and never closes root.
func Dir(root *os.Root) TreeFS { return dir{root} }

type dir struct{ root *os.Root }

func (d dir) Path(name string) string { return filepath.Join(d.root.Name(), name) }

func (d dir) Lstat(name string) (Info, error) { return lstatIn(d.root, name) }

func (d dir) Create(name string) (Handle, error) {
	return d.openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d dir) Open(name string) (Handle, error) {
	return d.openFile(name, os.O_RDONLY|openNonblock)
}

func (d dir) OpenWrite(name string) (Handle, error) {
	return d.openFile(name, os.O_RDWR|openNonblock)
}

func (d dir) openFile(name string, flag int) (Handle, error) {
	f, err := d.root.OpenFile(name, flag, 0o666)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d dir) RenameNoReplace(from, to string) error {
	return d.withDescriptor(func(fd uintptr) error { return renameNoReplace(fd, from, to) })
}

func (d dir) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d dir) Link(from, to string) error { return d.root.Link(from, to) }

func (d dir) Remove(name string) error { return d.root.Remove(name) }

// SetModTime does not change the time of the last access.
func (d dir) SetModTime(name string, t time.Time) error { return d.root.Chtimes(name, time.Time{}, t) }

func (d dir) SyncDir() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return syncDirectory(f)
}

func (d dir) Free() (n int64, err error) {
	err = d.withDescriptor(func(fd uintptr) error {
		n, err = freeSpace(fd)
		return err
	})
	return n, err
}

// Attributes does not follow a symbolic link in name. It is for regular files.
func (d dir) Attributes(name string) (Attributes, error) {
	named, err := d.root.Lstat(name)
	if err != nil {
		return Attributes{}, err
	}
	a := attributesOf(named)
	f, err := d.root.OpenFile(name, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		a.Unread = Bare(err)
		return a, nil
	}
	defer f.Close()
	opened, err := f.Stat()
	switch {
	case err != nil:
		return Attributes{}, err
	case os.SameFile(named, opened), !opened.ModTime().After(named.ModTime()) && opened.Size() == named.Size():
		a.Extended, a.Unread = extendedOf(f)
	default:
		a.Unread = errReplaced
	}
	return a, nil
}

// withDescriptor calls do with the directory's own descriptor or handle.
func (d dir) withDescriptor(do func(fd uintptr) error) error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return control(f, do)
}

// file is the Handle over an *os.File.
type file struct{ *os.File }

func (f file) Stat() (Info, error) { return infoOfFile(f.File) }

func (f file) Lock() (bool, error) { return f.lock(flock) }

func (f file) LockShared() (bool, error) { return f.lock(flockShared) }

func (f file) lock(try func(fd uintptr) (bool, error)) (locked bool, err error) {
	err = control(f.File, func(fd uintptr) error {
		locked, err = try(fd)
		return err
	})
	return locked, err
}

func (f file) Allocate(off, n int64) error {
	return control(f.File, func(fd uintptr) error { return allocate(fd, off, n) })
}

func (f file) NextData(off int64) (next int64, err error) {
	err = control(f.File, func(fd uintptr) error {
		next, err = nextData(fd, off)
		return err
	})
	return next, err
}

func (f file) Forget() error {
	return control(f.File, forget)
}

func (f file) Datasync() error { return datasync(f.File) }

func (f file) Attributes() (Attributes, error) {
	info, err := f.File.Stat()
	if err != nil {
		return Attributes{}, err
	}
	a := attributesOf(info)
	a.Extended, a.Unread = extendedOf(f.File)
	return a, nil
}

func (f file) Chown(uid, gid int) error { return chown(f.File, uid, gid) }

func (f file) SetExtended(name string, value []byte) error { return setExtended(f.File, name, value) }

// modeOf is what Chmod can set.
func modeOf(info fs.FileInfo) fs.FileMode { return info.Mode().Perm() | info.Mode()&aboveMode }

// control calls do with f's descriptor, which stays open meanwhile.
func control(f *os.File, do func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = do(fd) }); err != nil {
		return err
	}
	return result
}

func kindOf(mode fs.FileMode) Kind {
	switch {
	case mode.IsRegular():
		return Regular
	case mode.IsDir():
		return Directory
	case mode&fs.ModeSymlink != 0:
		return Link
	}
	return Other
}
