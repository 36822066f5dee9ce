package partfile

import (
	"errors"
	"fmt"
)

// Commit makes the file durable, gives it its final name and returns its path. All chunks must be marked. Without
// Options.Replace whatever lies under the final name stays and the error is Exists; with it a regular file is
// replaced, anything else is NotRegular. Changed means that the part file was replaced or resized behind our back.
// After an error the part file is kept, but for an error of "sync directory": then the file has its final name, which
// a power failure may still take back. With a path, the error says only that the journal could not be removed,
// or the mode not be set.
func (f *File) Commit() (path string, err error) {
	f.end.Lock()
	defer f.end.Unlock()
	if f.closed || f.committed || f.MarkedCount() != f.Chunks() {
		err := fmt.Errorf("%d of %d chunks marked, closed: %t, committed: %t", f.MarkedCount(), f.Chunks(), f.closed, f.committed)
		return "", reasoned(f.fs, "commit", f.name, Internal, err)
	}
	if err := f.setModTime(); err != nil {
		return "", err
	}
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
	return f.fs.Path(f.name), errors.Join(f.finishMode(), f.removeJournal())
}

// unchanged fails unless the part file is where and as long as it was left.
func (f *File) unchanged() error {
	if err := f.stillNamed("rename"); err != nil {
		return err
	}
	info, err := f.handle.Stat()
	if err != nil {
		return failure(f.fs, "stat", f.part, err)
	}
	if info.Size != f.size {
		return reasoned(f.fs, "rename", f.part, Changed, fmt.Errorf("%d bytes long instead of %d", info.Size, f.size))
	}
	return nil
}

func (f *File) renameReplacing() error {
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

// renameExclusively never replaces. Where there is no such rename a second link is made, and the first one goes only
// when the second is durable.
func (f *File) renameExclusively() error {
	err := f.fs.RenameNoReplace(f.part, f.name)
	if err == nil {
		f.committed = true
		return nil
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return failure(f.fs, "rename", f.name, err)
	}
	if err := f.fs.Link(f.part, f.name); err != nil {
		return failure(f.fs, "link", f.name, err)
	}
	f.committed = true
	if err := syncDir(f.fs); err != nil {
		return err
	}
	if err := f.fs.Remove(f.part); err != nil {
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

// discard removes what this run made, the journal first: the part file's lock is what keeps others from it.
func (f *File) discard() error {
	if f.journal.made && !f.recorded {
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
