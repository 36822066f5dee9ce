package partfile

import (
	"errors"
	"fmt"
	"io/fs"
)

// Commit makes the file durable, gives it its final name and returns its path. All chunks must be marked. Without
// Options.Replace whatever lies under the final name stays and the error is Exists; with it a regular file is
// replaced, anything else is NotRegular. Changed means that the part file was replaced or resized behind our back, or
// that what has the final name is no longer Options.Original.
// After an error the part file is kept, but for an error of "sync directory": then the file has its final name, which
// a power failure may still take back; and one of "find": then it has its name, but its directory was moved, and nobody
// knows to where. The path is where the file is now. With a path, the error says only that the journal could not be removed. A time
// that could not be set is a [Lack]; see [File.Lost] too.
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
	if err := f.beginAttributes(); err != nil { // of what has the final name by now
		return "", err
	}
	if err := f.unchanged(); err != nil {
		return "", err
	}
	if err := f.cutTail(); err != nil {
		return "", err
	}
	times := f.setModTime() // behind the last change, before the last sync
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

// unchanged fails unless the part file is where and as long as it was left.
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
	if final.Kind == Other {
		return reasoned(f.fs, "replace", f.name, NotRegular, errNotRegular)
	}
	if err := f.fs.Rename(f.part, f.name); err != nil {
		return failure(f.fs, "rename", f.name, err)
	}
	f.committed = true
	return nil
}

// renameExclusively does not replace, in the way that was found when the file was opened. A way that fails now leaves
// hope in the next.
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

// Close ends the use of the file and its lock. A part file that is not committed stays, with what was written, to be
// resumed; but one that this run created or emptied and that got neither a byte nor a mark is removed, and so is a
// journal that this run made and that has nothing to say: no litter after a run that never began. What was marked
// since the last Sync is not recorded. A second Close does nothing.
func (f *File) Close() error {
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

// discard removes what this run made, the journal first: the part file's lock is what keeps others from it. Where that
// is only a lease, and is lost, all of it is another run's.
func (f *File) discard() error {
	if f.holds && f.holdsLease() != nil {
		return nil
	}
	if f.journal.made && !f.journal.recorded {
		if err := f.removeJournal(); err != nil {
			return err
		}
	}
	if f.fresh {
		return f.removePart()
	}
	return nil
}

func (f *File) closeHandles() error {
	var err error
	f.clearLease()
	if h := f.journal.handle; h != nil {
		f.journal.handle = nil
		if e := h.Close(); e != nil {
			err = failure(f.fs, "close", f.name+JournalSuffix, e)
		}
	}
	if e := f.handle.Close(); e != nil {
		err = errors.Join(err, failure(f.fs, "close", f.part, e))
	}
	return err
}
