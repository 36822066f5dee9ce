package partfile

import (
	"context"
)

// leftover reports whether the part file is a second name of the final file: a
// commit by link and unlink was cut off between the two.
func leftover(final, part Info) bool {
	return part.Kind == Regular && final.Kind == Regular && part.ID == final.ID && part.Links == 2
}

// FinishLeftover finishes a run that was cut off when the file already had its
// final name. Call it for a final file that was found right. It makes that name
// durable. It removes the part file if that is a second name of the final one,
// and the journal if there is no part file. A separate part file stays, with
// its journal. Errors are *Error; the reason is Locked if that run is still
// working.
func FinishLeftover(fsys FS, name string) error {
	found, err := Look(fsys, name)
	if err != nil {
		return err
	}
	if found.Leftover {
		err = unlinkLeftover(fsys, name)
	} else {
		err = syncDir(fsys)
	}
	if _, cleared := clearScratch(fsys, name); err == nil {
		err = cleared
	}
	ours := found.Journal == JournalUsable || found.Journal == JournalUnusable
	if err != nil || found.Part != None && !found.Leftover || !ours {
		return err
	}
	return removeUnused(fsys, name, true)
}

// unlinkLeftover takes the part file's name from the final file. First it makes
// the final name durable.
func unlinkLeftover(fsys FS, name string) error {
	part := name + PartSuffix
	h, err := fsys.OpenWrite(part)
	if err != nil {
		return failure(fsys, "open", part, err)
	}
	defer h.Close()
	free, err := tryLock(context.Background(), h)
	if err != nil && !lacksLocks(err) {
		return failure(fsys, "lock", part, err)
	}
	free = free || err != nil
	if !free {
		return locked(fsys, name)
	}
	final, err := lstat(fsys, name)
	if err != nil {
		return err
	}
	named, err := lstat(fsys, part)
	if err != nil {
		return err
	}
	if opened, err := h.Stat(); err != nil {
		return failure(fsys, "stat", part, err)
	} else if opened.ID != named.ID || !leftover(final, named) {
		return reasoned(fsys, "remove", part, Changed, errReplaced)
	}
	if err := syncDir(fsys); err != nil {
		return err
	}
	if err := fsys.Remove(part); err != nil {
		return failure(fsys, "remove", part, err)
	}
	return nil
}

func syncDir(fsys FS) error {
	if err := fsys.SyncDir(); err != nil && !lacksDirectorySync(err) {
		return failure(fsys, "sync directory", ".", err)
	}
	return nil
}
