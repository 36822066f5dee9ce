package partfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrNotOwner says that the chunk belongs to somebody else by now, or is marked: the bytes were dropped, nothing was
// written. It is no failure of the download.
var ErrNotOwner = errors.New("chunk has another owner")

// Reason says why an operation was refused, where a caller has to know.
type Reason int

// Reasons.
const (
	System     Reason = iota // what the system answered: see Err
	Exists                   // something lies under that name
	Locked                   // another process, or another File, holds the part file
	NotRegular               // no regular file, or one with more than one link
	NoSpace                  // the directory has less room than Need
	Changed                  // the file was replaced, cut or grown behind our back
	Internal                 // the caller broke a rule of this package
)

// Error is every error of this package but ErrNotOwner.
type Error struct {
	Op         string // what was tried: "open", "write", "sync", ...
	Name       string // the path it was tried on, as FS.Path shows it
	Reason     Reason
	Need, Have int64 // bytes, with NoSpace only: still to be reserved, and free
	Err        error
}

func (e *Error) Error() string {
	op := e.Op
	if e.Reason == Internal {
		op = "internal error: " + op
	}
	return fmt.Sprintf("%s %q: %v", op, e.Name, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ReasonOf is the reason of the *Error in err's chain, and System when there is none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return System
}

// IsDiskError reports whether the disk, and not the name, is what is wrong: no space, quota used up, I/O error,
// read-only file system, file too big for the file system.
func IsDiskError(err error) bool {
	if ReasonOf(err) == NoSpace {
		return true
	}
	for _, code := range diskErrors {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

var (
	errNotPlainName = errors.New("not a plain file name")
	errNotRegular   = errors.New("not a regular file")
	errLinks        = errors.New("has more than one hard link")
	errLocked       = errors.New("in use by another download")
	errReplaced     = errors.New("replaced by another file meanwhile")
)

// failure is the error of an operation that the system refused. An *Error stays as it is.
func failure(fsys FS, op, name string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	reason := System
	if errors.Is(err, fs.ErrExist) {
		reason = Exists
	}
	return reasoned(fsys, op, name, reason, bare(err))
}

func reasoned(fsys FS, op, name string, reason Reason, err error) error {
	return &Error{Op: op, Name: fsys.Path(name), Reason: reason, Err: err}
}

// bare takes off the wrappings of package os, which repeat the operation and the path.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
