package partfile

import (
	"errors"
	"io/fs"
)

// Comfort is something that most file systems do for a download and some do
// not. This table has all of them. None is needed: each has a replacement. What
// the commit needs is tried on scratch names when the part file is opened (see
// probe.go), so that no refusal comes after the last byte.
//
//	comfort          without it                                                 what is said
//	lock             a lease in the journal (see lease.go)                      a warning, at once
//	exclusive rename a second link, durable before the first one is taken away  nothing: the promise is kept
//	hard links too   a look at the final name, then a rename                    a warning, at once
//	reservation      a sparse file: a write may find the disk full              Sparse, which is a warning
//	free space       the same                                                   nothing
//	times            the time at which the file was written                     a warning, once the file has its name
//	modes, owners    see attributes.go                                          a warning, at once where it is known
//	file sync        nothing: such a system has nothing better                  a warning, at once
//	directory sync   nothing: such a system has nothing better                  nothing
//	sync of all      of a tree: a sync of each file and directory               nothing
//	count of files   of a tree: the error of the file that no longer fits       nothing
//	file identities  a change of the size by one name shows by the other        nothing
//
// What is needed: to create, read, write, truncate, sync, rename and remove
// files, and room for them. If one of these is missing, that is an error. A
// file that is too large is refused when the part file gets its size.
type Comfort int

// Comforts whose lack a run is told of.
const (
	Locks          Comfort = iota // of open files, that end with the process
	ExclusiveNames                // a name that is given only if nothing has it, in one step
	Times                         // modification times that can be set
	Syncs                         // of files: a word that their bytes are on the disk
)

// comforts is what a File knows of its file system.
type comforts struct {
	lacks    func(Lack) // told of what is missing, or nil
	naming   naming     // how the finished file gets its name
	unsteady bool       // a file has another identity at every look, see proveSame
	unsynced bool       // files cannot be synced, which was told
	leased   bool       // there are no locks, see lease.go
	holds    bool       // the journal names this run, unless it was taken
	holder   Holder     // this run
}

// Lack says that the file system lacks a comfort, and how it answered.
type Lack struct {
	Comfort Comfort
	Err     error
}

// lacksLocks reports whether err, of Handle.Lock, says that the file system has
// no locks.
func lacksLocks(err error) bool { return isAny(err, noLockErrors) }

// lacksNaming reports whether another way of giving a name may work after err,
// an error of one such call. Then the disk is not at fault, and the names are
// as they should be.
func lacksNaming(err error) bool {
	return !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) && !IsDiskError(err)
}

// lacksReservation reports whether err, of Handle.Allocate, means that the file
// has to stay sparse. Only a full disk does not mean that, and every other way
// would meet it too.
func lacksReservation(err error) bool { return !isAny(err, spaceErrors) }

// synced passes on err, of a sync of a file, unless it says that there is no
// such thing: then the lack is told once.
func (c *comforts) synced(err error) error {
	if err == nil || !isAny(err, noSyncErrors) {
		return err
	}
	if !c.unsynced {
		c.unsynced = true
		c.lack(Syncs, err)
	}
	return nil
}

// lacksDirectorySync reports whether err, of FS.SyncDir, says that the file
// system cannot sync directories.
func lacksDirectorySync(err error) bool { return isAny(err, noSyncErrors) }

// lack tells the caller of Open that a comfort is missing.
func (c *comforts) lack(what Comfort, err error) {
	if c.lacks != nil {
		c.lacks(Lack{Comfort: what, Err: Bare(err)})
	}
}
