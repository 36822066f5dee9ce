package partfile

import (
	"errors"
	"os"
	"path/filepath"
)

// A wanderer is an FS whose directory may be moved while it is open.
type wanderer interface {
	// PathNow is the path of the directory: the one that Path begins with
	// while it leads there, else where the directory is now.
	PathNow() (string, error)
}

var errMoved = errors.New("the output directory was moved meanwhile, and this system does not say to where")

// PathNow is the path at which name lies now, even if the directory was moved
// since it was opened. Changed means that nobody knows it.
func PathNow(fsys FS, name string) (string, error) {
	w, ok := fsys.(wanderer)
	if !ok {
		return fsys.Path(name), nil
	}
	dir, err := w.PathNow()
	if err != nil {
		return "", reasoned(fsys, "find", name, Changed, Bare(err))
	}
	return filepath.Join(dir, name), nil
}

// findTries bounds the tries to find a directory that keeps being moved.
const findTries = 16

func (d dir) PathNow() (path string, err error) {
	for range findTries {
		if path, err = d.find(); err != errMoved {
			break
		}
	}
	return path, err
}

// find looks for the directory once. It may be moved during that.
func (d dir) find() (string, error) {
	opened, err := d.root.Stat(".")
	if err != nil {
		return "", err
	}
	leadsHere := func(path string) bool {
		named, err := os.Stat(path)
		return err == nil && os.SameFile(named, opened)
	}
	if leadsHere(d.root.Name()) {
		return d.root.Name(), nil
	}
	var path string
	err = d.withDescriptor(func(fd uintptr) (err error) {
		path, err = directoryPath(fd)
		return err
	})
	abs, absErr := filepath.Abs(d.root.Name())
	switch {
	case err == nil && absErr == nil && path == abs: // its identity is another one at every look
		return d.root.Name(), nil
	case err == nil && leadsHere(path):
		return path, nil
	}
	return "", errMoved
}
