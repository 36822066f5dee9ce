package partfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// tailLen is the number of bytes by which an unfinished file is longer than the
// finished one. Malcolm never writes there. So a file that another program has
// emptied or cut never looks whole again, whatever is written to it later: its
// size tells, without reading it. Commit removes the tail.
const tailLen = 1

var (
	errRemoved = errors.New("removed by another program")
	errRenamed = errors.New("renamed by another program")
)

// growTail makes the file longer than it will be. If there is no room it does
// nothing.
func (f *File) growTail() {
	if f.handle.Truncate(f.size+tailLen) == nil {
		f.tail = tailLen
	}
}

// cutTail gives the file the size of the finished one.
func (f *File) cutTail() error {
	if f.tail == 0 {
		return nil
	}
	if err := f.handle.Truncate(f.size); err != nil {
		return failure(f.fs, "truncate", f.part, err)
	}
	f.tail = 0
	return nil
}

// untouched fails with Changed unless the file has the size that this run gave
// it.
func (f *File) untouched() error {
	info, err := f.handle.Stat()
	if err != nil {
		return failure(f.fs, "stat", f.part, err)
	}
	if info.Size != f.size+f.tail {
		err := fmt.Errorf("another program has changed its size to %d bytes", info.Size)
		return reasoned(f.fs, "keep", f.part, Changed, err)
	}
	return nil
}

// Checkpoint checks the part file and calls Sync. It fails with Changed if
// another program has removed, renamed, replaced, emptied or cut the part file,
// and with Locked if another run has taken it where there are no locks. That is
// final: nothing more is recorded.
func (f *output) Checkpoint() error {
	if err := f.look(); err != nil {
		return err
	}
	return f.Sync()
}

func (f *output) look() error {
	f.end.Lock()
	defer f.end.Unlock()
	if f.closed || f.committed || f.syncErr != nil {
		return f.syncErr
	}
	err := f.bytes.intact()
	if err == nil {
		err = f.renewLease()
	}
	f.syncErr = err
	return err
}

// intact fails with Changed unless the part file has its size and its name.
func (f *File) intact() error {
	if err := f.untouched(); err != nil {
		return err
	}
	return f.named("keep", f.unsteady)
}

// stillNamed fails with Changed unless the open file is what lies under the
// part file's name.
func (f *File) stillNamed(op string) error { return f.named(op, false) }

// named is stillNamed. With trusting, identities that differ prove nothing.
func (f *File) named(op string, trusting bool) error {
	opened, err := f.handle.Stat()
	if err != nil {
		return failure(f.fs, "stat", f.part, err)
	}
	named, err := lstat(f.fs, f.part)
	if err != nil {
		return err
	}
	switch {
	case named.Kind == None && opened.Links > 0:
		err = errRenamed
	case named.Kind == None:
		err = errRemoved
	case named.Kind != Regular:
		err = errReplaced
	case named.ID == opened.ID || trusting:
		return nil
	default:
		if same, err := f.proveSame(f.handle, opened, named); err != nil || same {
			return err
		}
		err = errReplaced
	}
	return reasoned(f.fs, op, f.part, Changed, err)
}

const (
	// proofMost bounds the bytes by which a file grows for a moment.
	proofMost = 4096
	// proofTries and proofPause outlast the second for which FUSE caches
	// what it knows of a name.
	proofTries = 7
	proofPause = 200 * time.Millisecond
)

// proveSame reports whether h is the file under the part file's name, though
// their identities differ. Some file systems (FUSE without inode numbers) make
// up a new identity at every look. So if the identity of the name changes from
// one look to the next, proveSame changes the size through h, and checks that
// the name shows it.
func (f *File) proveSame(h Handle, opened, named Info) (same bool, err error) {
	final, err := lstat(f.fs, f.name)
	if err != nil || final.Kind == Regular && final.ID == opened.ID {
		return false, err // h was the part file of a run that has ended: do not touch it
	}
	if unsteady, err := isUnsteady(f.fs, f.part, named); err != nil || !unsteady {
		return false, err
	}
	grown := opened.Size + 1 + rand.Int64N(proofMost)
	if h.Truncate(grown) != nil {
		return false, nil
	}
	same, err = sees(f.fs, f.part, func(now Info) bool { return now.Size == grown })
	if back := h.Truncate(opened.Size); back != nil && err == nil {
		err = failure(f.fs, "truncate", f.part, back)
	}
	f.unsteady = f.unsteady || same
	return same, err
}

// isUnsteady reports whether the identity of the file under name changes at
// every look.
func isUnsteady(fsys FS, name string, before Info) (bool, error) {
	return sees(fsys, name, func(now Info) bool { return now.ID != before.ID })
}

// IsUnsteady reports whether the file system makes up a new identity of the
// file under name at every look, so that an identity that differs proves
// nothing.
func IsUnsteady(fsys FS, name string) bool {
	before, err := lstat(fsys, name)
	if err != nil || before.Kind != Regular {
		return false
	}
	unsteady, err := isUnsteady(fsys, name, before)
	return err == nil && unsteady
}

// sees waits until as is true of the file under name, once caches have
// forgotten it. It reports whether it became so.
func sees(fsys FS, name string, as func(Info) bool) (bool, error) {
	for try := 1; ; try++ {
		now, err := lstat(fsys, name)
		switch {
		case err != nil:
			return false, err
		case now.Kind != Regular:
			return false, nil
		case as(now):
			return true, nil
		case try == proofTries:
			return false, nil
		}
		time.Sleep(proofPause)
	}
}
