package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
)

// A Local is a file on this machine.
type Local struct {
	Path string
	// Read wraps the opened file; nil: it is read as it is. Tests give one
	// that fails.
	Read func(localfile.File) localfile.File
}

// An ownFile is a local file that is compared with what servers hold, and its
// state before it is read.
type ownFile struct {
	localfile.File
	system *os.File
	path   string
	info   partfile.Info
}

var (
	errNoFile   = errors.New("is a directory, and not a file")
	errGoesOn   = errors.New("does not end where the system says")
	errChanging = errors.New("changed while it was read; run this again when nobody writes to it")
)

// openOwn opens a regular file. Errors are [*localfile.Error].
func openOwn(l Local) (*ownFile, error) {
	path := l.Path
	opened, err := localfile.Named(path).OpenSystem()
	switch {
	case errors.Is(err, localfile.ErrDirectory):
		return nil, &localfile.Error{Op: "read", Path: path, Err: errNoFile}
	case errors.Is(err, localfile.ErrNotRegular):
		return nil, &localfile.Error{Op: "read", Path: path, Err: localfile.ErrNotRegular}
	case err != nil:
		return nil, err
	}
	f := &ownFile{File: opened, system: opened, path: path}
	if l.Read != nil {
		f.File = l.Read(opened)
	}
	if err := f.describe(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// describe asks the system for the file's state now.
func (f *ownFile) describe() (err error) {
	if f.info, err = partfile.Describe(f.system); err != nil {
		return f.failure("read", err)
	}
	return nil
}

func (f *ownFile) failure(op string, err error) error {
	return &localfile.Error{Op: op, Path: f.path, Err: err}
}

// unchanged fails if the file differs from what describe saw, since the bytes
// read may then be of two versions. It also fails if the file does not end at
// the size that the system reports.
func (f *ownFile) unchanged() error {
	ends := localfile.EndsAt(f, f.info.Size)
	now, err := partfile.Describe(f.system)
	switch {
	case err != nil:
		return f.failure("read", err)
	case !now.Unchanged(f.info):
		return f.failure("read", errChanging)
	case !ends:
		return f.failure("read", errGoesOn)
	}
	return nil
}

var (
	errLink        = errors.New("is a symbolic link; name the file itself")
	errReplacedNow = errors.New("was replaced by another file just now")
)

// named describes what has the file's name, which must be the open file itself.
func (f *ownFile) named(root *os.Root, fsys partfile.FS) (partfile.Info, error) {
	name := filepath.Base(f.path)
	info, err := fsys.Lstat(name)
	var named, opened fs.FileInfo
	if err == nil {
		named, err = root.Lstat(name) // after Lstat above: a replacement before it shows here
	}
	if err == nil {
		opened, err = f.Stat()
	}
	switch {
	case err != nil:
		return info, f.failure("replace", err)
	case named.Mode()&fs.ModeSymlink != 0:
		return info, f.failure("replace", errLink)
	case !os.SameFile(named, opened) && !partfile.IsUnsteady(fsys, name):
		return info, f.failure("replace", errReplacedNow)
	}
	return info, nil
}

// A LinksError says that a file has other names, which would keep its old
// bytes.
type LinksError struct {
	Path  string
	Links uint64 // all of its names, this one included
}

func (e *LinksError) Error() string {
	return fmt.Sprintf("%q has %d hard links: its other names would keep the damaged bytes", e.Path, e.Links)
}

// mendable fails, before anything is fetched, if the file cannot be replaced.
// It also fails if the file has other names, unless split says that the user
// accepts that.
func (f *ownFile) mendable(fsys partfile.FS, split bool) error {
	name := filepath.Base(f.path)
	found, err := partfile.Look(fsys, name)
	if err != nil {
		return err
	}
	ours := found.Leftover && found.Journal != partfile.JournalNone && found.Journal != partfile.JournalForeign
	if f.info.Links > 1 && !ours && !split {
		return &LinksError{Path: f.path, Links: f.info.Links}
	}
	return partfile.CheckReplaceable(fsys, name)
}
