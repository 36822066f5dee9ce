package partfile

import (
	"errors"
	"fmt"
	"io/fs"
)

// Commit makes the file durable, gives it its final name and returns its path.
// All chunks must be marked. Without Options.Replace a file under the final
// name stays, and the error is Exists. With it a regular file is replaced;
// anything else is NotRegular. Changed means that another program replaced or
// resized the part file, or that the file under the final name is no longer
// Options.Original.
//
// After an error the part file is kept, with two exceptions. After an error of
// "sync directory" the file has its final name, which a power failure may still
// take back. After an error of "find" it has its name, but its directory was
// moved, and nobody knows to where.
//
// path is where the file is now. If there is a path and an error, only the
// journal could not be removed. A time that could not be set is a [Lack]; see
// [File.Lost] too.
func (f *File) Commit() (path string, err error) {
	f.end.Lock()
	defer f.end.Unlock()
	if f.closed || f.committed || f.MarkedCount() != f.Chunks() {
		err := fmt.Errorf("%d of %d chunks marked, closed: %t, committed: %t", f.MarkedCount(), f.Chunks(), f.closed, f.committed)
		return "", reasoned(f.fs, "commit", f.name, Internal, err)
	}
	if f.syncErr != nil {
		return "", f.syncErr
	}
	if err := f.checkOriginal(); err != nil {
		return "", err
	}
	if err := f.beginAttributes(); err != nil { // of the file that now has the final name
		return "", err
	}
	if err := f.unchanged(); err != nil {
		return "", err
	}
	if err := f.cutTail(); err != nil {
		return "", err
	}
	times := f.setModTime() // after the last change, before the last sync
	if err := f.sync(f.handle.Sync); err != nil {
		return "", err
	}
	if err := f.unchanged(); err != nil {
		return "", err
	}
	if f.replace {
		err = f.renameReplacing()
	} else {
		err = f.renameExclusively()
	}
	if err != nil {
		return "", err
	}
	if err := syncDir(f.fs); err != nil {
		return "", err
	}
	if times != nil {
		f.lack(Times, times)
	}
	f.finishAttributes()
	if path, err = PathNow(f.fs, f.name); err != nil {
		return "", errors.Join(err, f.removeJournal())
	}
	return path, f.removeJournal()
}

// unchanged fails unless the part file has the name and the size that this run
// gave it.
func (f *File) unchanged() error {
	if err := f.stillNamed("rename"); err != nil {
		return err
	}
	if err := f.untouched(); err != nil {
		return err
	}
	return f.holdsLease()
}

func (f *File) renameReplacing() error {
	if err := f.checkOriginal(); err != nil {
		return err
	}
	final, err := lstat(f.fs, f.name)
	if err != nil {
		return err
	}
	if final.Kind != None && final.Kind != Regular {
		return reasoned(f.fs, "replace", f.name, NotRegular, errNotRegular)
	}
	if err := f.fs.Rename(f.part, f.name); err != nil {
		return failure(f.fs, "rename", f.name, err)
	}
	f.committed = true
	return nil
}

// renameExclusively renames without replacing, in the way found when the file
// was opened. If that way fails now, it tries the next.
func (f *File) renameExclusively() error {
	for {
		err := f.naming.give(f.fs, f.part, f.name)
		if err == nil {
			break
		}
		if f.naming == byLook || !lacksNaming(err) {
			return failure(f.fs, "rename", f.name, err)
		}
		f.naming++
	}
	f.committed = true
	if f.naming != byLink {
		return nil
	}
	if err := syncDir(f.fs); err != nil {
		return err
	}
	if err := f.fs.Remove(f.part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failure(f.fs, "remove", f.part, err)
	}
	return nil
}

// Close ends the use of the part and its lock. An uncommitted part stays, to be
// resumed. If this run created or emptied the part and wrote nothing, Close
// removes it, and the journal too if this run created it and recorded nothing.
// Marks since the last Sync are not recorded. A second Close does nothing.
func (f *output) Close() error {
	f.end.Lock()
	defer f.end.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	var removed error
	if !f.committed && !f.written.Load() && f.MarkedCount() == 0 {
		removed = f.discard()
	}
	return errors.Join(removed, f.closeHandles())
}

// discard removes what this run made, the journal first: the part file's lock
// keeps other runs from it. If the lock is only a lease, and is lost, all of it
// belongs to another run.
func (f *output) discard() error {
	if f.holds && f.holdsLease() != nil {
		return nil
	}
	if f.journal.made && !f.journal.recorded {
		if err := f.removeJournal(); err != nil {
			return err
		}
	}
	if f.fresh {
		return f.bytes.removePart()
	}
	return nil
}

func (f *output) closeHandles() error {
	var err error
	f.clearLease()
	if h := f.journal.handle; h != nil {
		f.journal.handle = nil
		if e := h.Close(); e != nil {
			err = failure(f.fs, "close", f.name+JournalSuffix, e)
		}
	}
	if e := f.bytes.closePart(); e != nil {
		err = errors.Join(err, failure(f.fs, "close", f.part, e))
	}
	return err
}
