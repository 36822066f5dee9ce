package localfile

import (
	"errors"
	"io/fs"
	"os"
)

// ErrChanged says that what a path leads to changed while it was opened.
var ErrChanged = errors.New("was replaced while it was opened")

// ErrNotDirectory says that something other than a directory has the path, as
// the Err of an [Error].
var ErrNotDirectory = errors.New("is not a directory")

// A Directory is the directory under a path, for a server. As with [Offered], a
// name that was no symbolic link must not become one, and its owner must stay.
// Make one with [OfferDirectory]. Any goroutine may call its methods.
type Directory struct {
	path   string
	linked bool
	owner  owner
}

// OfferDirectory returns the directory under a path, which may be read again
// and again. Its errors are [*Error].
func OfferDirectory(path string) (*Directory, error) {
	d := &Directory{path: path}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, d.failure("open", err)
	}
	d.linked = info.Mode()&fs.ModeSymlink != 0
	if info, err = os.Stat(path); err != nil {
		return nil, d.failure("open", err)
	}
	if !info.IsDir() {
		return nil, d.failure("serve", ErrNotDirectory)
	}
	d.owner = ownerOf(info)
	return d, nil
}

// Path returns the path as it was given.
func (d *Directory) Path() string { return d.path }

// Open opens what has the path now. Errors are [*Error].
func (d *Directory) Open() (*Beneath, error) {
	seen, err := os.Lstat(d.path)
	if err != nil {
		return nil, d.failure("open", err)
	}
	if !d.linked && seen.Mode()&fs.ModeSymlink != 0 {
		return nil, d.failure("serve", errBecameLink)
	}
	root, err := os.OpenRoot(d.path + string(os.PathSeparator) + ".") // which waits for no FIFO
	if err != nil {
		return nil, d.failure("open", err)
	}
	info, err := root.Stat(".")
	switch {
	case err != nil:
		err = d.failure("open", err)
	case !d.linked && !os.SameFile(seen, info):
		err = d.failure("open", ErrChanged)
	case ownerOf(info) != d.owner:
		err = d.failure("serve", errOtherOwner)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return newBeneath(root), nil
}

func (d *Directory) failure(op string, err error) error {
	return &Error{Op: op, Path: d.path, Err: err}
}
