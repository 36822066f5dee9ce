package partfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// directory is the Folder over an os.Root of its own.
type directory struct {
	dir
	self *os.File // the directory
}

func (d dir) CreateExecutable(name string) (Handle, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o777)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d dir) Mkdir(name string) error { return d.root.Mkdir(name, 0o777) }

// OpenDir opens, and then looks whether it opened what has the name: a root
// follows links that stay beneath it.
func (d dir) OpenDir(name string) (Folder, error) {
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	opened := directory{dir: dir{root}, self: self}
	if err := d.isNamed(self, name); err != nil {
		opened.Close()
		return nil, err
	}
	return opened, nil
}

// isNamed fails unless a directory is what has the name, and no link to it.
func (d dir) isNamed(opened *os.File, name string) error {
	named, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	info, err := opened.Stat()
	if err != nil {
		return err
	}
	if !named.IsDir() {
		return errNotDirectory
	}
	if os.SameFile(named, info) {
		return nil
	}
	// Where identities change at every look, the name must be enough.
	if again, err := d.root.Lstat(name); err == nil && again.IsDir() && !os.SameFile(named, again) {
		return nil
	}
	return errReplaced
}

func (d dir) Symlink(target, name string) error { return d.root.Symlink(target, name) }

func (d dir) Readlink(name string) (string, error) { return d.root.Readlink(name) }

func (d dir) SetTime(name string, t time.Time) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return d.root.Chtimes(name, time.Time{}, t)
	}
	return d.withDescriptor(func(fd uintptr) error { return setLinkTime(fd, name, t) })
}

func (d dir) FreeFiles() (n int64, err error) {
	err = d.withDescriptor(func(fd uintptr) error {
		n, err = freeFiles(fd)
		return err
	})
	return n, err
}

func (d dir) LongestName() (n int, err error) {
	err = d.withDescriptor(func(fd uintptr) error {
		n, err = longestName(fd)
		return err
	})
	return n, err
}

// namesAtOnce is the number of names that are read at once.
const namesAtOnce = 1024

func (d dir) EachName(yield func(name string) bool) error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(namesAtOnce)
		for _, name := range names {
			if !yield(name) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d directory) Close() error { return errors.Join(d.self.Close(), d.root.Close()) }

func (d directory) Stat() (Info, error) {
	info, err := d.self.Stat()
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func (d directory) SyncDir() error { return syncDirectory(d.self) }

func (d directory) Lock() (bool, error) { return d.lock(flock) }

func (d directory) LockShared() (bool, error) { return d.lock(flockShared) }

func (d directory) lock(try func(fd uintptr) (bool, error)) (locked bool, err error) {
	err = control(d.self, func(fd uintptr) error {
		locked, err = try(fd)
		return err
	})
	if err != nil && isAny(err, noDirectoryLockErrors) {
		err = errors.ErrUnsupported
	}
	return locked, err
}

func (d directory) SyncAll() error {
	return control(d.self, syncAll)
}
