package partfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// ErrNotOwner says that the chunk now has another owner, or is marked. The
// bytes were dropped and nothing was written. The download has not failed.
var ErrNotOwner = errors.New("chunk has another owner")

// Reason says why an operation was refused, for callers that must know.
type Reason int

// Reasons.
const (
	System       Reason = iota // what the system answered: see Err
	Exists                     // something has that name
	Locked                     // another process, or another File, holds the part file
	NotRegular                 // no regular file, or one with more than one link
	NoSpace                    // the directory has less room than Need
	Changed                    // another program replaced, cut or grew the file
	Internal                   // the caller broke a rule of this package
	OtherFile                  // the journal names another size, chunk size or checksum
	Foreign                    // nothing says that malcolm made the file
	NoFiles                    // the directory takes fewer new files than Need
	NotDirectory               // no directory, where one must be
	Unfit                      // the system cannot hold the tree's names or links
)

// Error is the type of every error of this package except ErrNotOwner.
type Error struct {
	Op         string // what was tried: "open", "write", "sync", ...
	Name       string // the path it was tried on, as FS.Path shows it
	Reason     Reason
	Need, Have int64  // bytes missing, and bytes free; with NoSpace, and with System if the disk is full
	Holder     Holder // with Locked: who has the part file; zero: not known
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

// ReasonOf returns the reason of the *Error in err's chain; System if err has
// none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return System
}

// DiskFault says what is wrong with a disk.
type DiskFault int

// Faults of disks.
const (
	NoFault  DiskFault = iota // the disk is not to blame
	Full                      // there is no room
	Quota                     // this user may store no more
	TooLarge                  // the file system, or a limit of the process, takes no file of that size
	ReadOnly
	Failing // it cannot read or write
)

// DiskFaultOf returns the disk's fault that err tells of.
func DiskFaultOf(err error) DiskFault {
	for fault, codes := range diskErrors {
		if isAny(err, codes) {
			return fault
		}
	}
	if ReasonOf(err) == NoSpace {
		return Full
	}
	return NoFault
}

// IsDiskError reports whether the disk is at fault, and not the name.
func IsDiskError(err error) bool { return DiskFaultOf(err) != NoFault }

func isAny(err error, codes []error) bool {
	return slices.ContainsFunc(codes, func(code error) bool { return errors.Is(err, code) })
}

var (
	errNotPlainName = errors.New("not a plain file name")
	errNotRegular   = errors.New("not a regular file")
	errNotDirectory = errors.New("not a directory")
	errLinks        = errors.New("has more than one hard link")
	errLocked       = errors.New("in use by another download")
	errReplaced     = errors.New("replaced by another file meanwhile")
	errNoJournal    = errors.New("is not a journal of malcolm")
	errForeign      = errors.New("no journal says that malcolm made it")
)

// locked is the error Locked. Its holder comes from the journal.
func locked(fsys FS, name string) error {
	_, _, holder, _ := peekJournal(fsys, name)
	err := errLocked
	if holder != (Holder{}) {
		err = fmt.Errorf("%w: process %d on %q, since %s", errLocked, holder.PID, holder.Host, holder.Start.Format(time.RFC3339))
	}
	return &Error{Op: "lock", Name: fsys.Path(name + PartSuffix), Reason: Locked, Holder: holder, Err: err}
}

// lacking adds to the error of a full disk the bytes that the part file still
// lacks and the bytes free, if known. f.end is held, or nobody else has f.
func (f *File) lacking(err error) error {
	if e, ok := errors.AsType[*Error](err); !ok || !isAny(e.Err, spaceErrors) {
		return err
	}
	info, statErr := f.handle.Stat()
	if statErr != nil {
		return err
	}
	return lackingSpace(f.fs, err, max(f.size-info.Allocated, 0))
}

// lackingSpace adds to the error of a full disk that need bytes are missing.
func lackingSpace(fsys FS, err error, need int64) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || !isAny(e.Err, spaceErrors) || e.Reason == NoFiles {
		return err
	}
	have, free := fsys.Free()
	if free != nil {
		return err
	}
	e.Need, e.Have = need, have
	if e.Have < e.Need {
		e.Reason = NoSpace
	}
	return e
}

// failure is the error of an operation that the system refused. It leaves an
// *Error as it is.
func failure(fsys FS, op, name string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	reason := System
	if errors.Is(err, fs.ErrExist) {
		reason = Exists
	}
	return reasoned(fsys, op, name, reason, Bare(err))
}

func reasoned(fsys FS, op, name string, reason Reason, err error) error {
	return &Error{Op: op, Name: fsys.Path(name), Reason: reason, Err: err}
}

// Bare takes off the wrappings of package os, which repeat the operation and
// the path.
func Bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
