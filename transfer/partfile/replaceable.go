package partfile

import "errors"

// obstructed is an FS that can say beforehand that a file cannot be replaced.
type obstructed interface {
	// Obstacle says why no new file can take the place of the one under
	// name; nil: not known.
	Obstacle(name string) error
}

var (
	errImmutable = errors.New("cannot be replaced: it is marked as immutable or append-only")
	errMounted   = errors.New("cannot be replaced: a file system is mounted on it")
	errSticky    = errors.New("cannot be replaced: it is another user's, in a directory where each may replace only his own")
)

// CheckReplaceable fails, before anything is fetched, if it is known that the
// file cannot be replaced: a file system or directory that cannot be written
// to, a file marked as immutable, a mount. If there is no file it checks only
// the directory. nil promises nothing.
func CheckReplaceable(fsys FS, name string) error {
	if err := checkName(fsys, name); err != nil {
		return err
	}
	o, ok := fsys.(obstructed)
	if !ok {
		return nil
	}
	if err := o.Obstacle(name); err != nil {
		return failure(fsys, "replace", name, err)
	}
	return nil
}
