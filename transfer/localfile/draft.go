package localfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A Draft is a new file beside its place. It takes the place whole, or leaves
// nothing. One goroutine at a time uses it, and calls Discard in the end. Call
// [os.File.Sync] before it takes its place to make it durable.
type Draft struct {
	*os.File
	place string
}

// NewDraft makes an empty draft beside a place, with the permissions of
// [os.OpenFile].
func NewDraft(place string, perm fs.FileMode) (*Draft, error) {
	name := filepath.Join(filepath.Dir(place), ".malcolm-"+rand.Text())
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	return &Draft{f, place}, nil
}

// TryDraft fails if no draft can be made beside a place.
func TryDraft(place string) error {
	d, err := NewDraft(place, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(d.Close(), os.Remove(d.Name()))
}

// Replace closes the draft and gives it the place of whatever is there.
func (d *Draft) Replace() error {
	if err := d.Close(); err != nil {
		return err
	}
	return os.Rename(d.Name(), d.place)
}

// Take closes the draft and gives it its place, if that is free. Else the error
// is [fs.ErrExist]. On a file system without links, a file that appears between
// the look and the rename is replaced.
func (d *Draft) Take() error {
	if err := d.Close(); err != nil {
		return err
	}
	err := os.Link(d.Name(), d.place)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(d.place); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	return os.Rename(d.Name(), d.place)
}

// Discard removes the draft unless it has taken its place. It may be called at
// any time.
func (d *Draft) Discard() {
	d.Close()
	os.Remove(d.Name()) // a name that has moved is not there any more
}

// Behind returns where a path leads through symbolic links, or the path itself
// if nothing is there.
func Behind(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}
