package partfile

import (
	"errors"
	"io/fs"
)

// Comfort is something that most file systems do for a download and some do not. This is the table of all of them: none
// is needed; each has something that takes its place. What the commit needs is tried on scratch names when the part
// file is opened (see probe.go), so that no refusal comes after the last byte.
//
//	comfort          without it                                                 what is said
//	lock             a lease in the journal (see lease.go)                      a warning, at once
//	exclusive rename a second link, durable before the first one is taken away  nothing: the promise is kept
//	hard links too   a look at the final name, then a rename                    a warning, at once
//	reservation      a sparse file: a write may find the disk full              Sparse, which is a warning
//	free space       the same                                                   nothing
//	times            the time at which the file was written                     a warning, once the file has its name
//	modes, owners    see attributes.go                                          a warning, at once where it is known
//	directory sync   nothing: such a system has nothing better                  nothing
//	file identities  a change of the size by one name shows by the other        nothing
//
// What is needed: to create, read, write, truncate, sync, rename and remove files, and room for them. A lack of one of
// these is an error, and a file that is too large is refused when the part file gets its size.
type Comfort int

// Comforts that a run is told of when they are lacking.
const (
	Locks          Comfort = iota // of open files, that end with the process
	ExclusiveNames                // a name that is given only if nothing has it, in one step
	Times                         // modification times that can be set
)

// comforts is what a File knows of its file system.
type comforts struct {
	lacks    func(Lack) // nil: nobody is told
	naming   naming     // how the finished file gets its name
	unsteady bool       // a file's identity is another one at every look, see proveSame
	leased   bool       // there are no locks, see lease.go
	holds    bool       // the journal names this run, unless it was taken
	holder   Holder     // this run
}

// Lack says that the file system does not have a comfort, and what it answered.
type Lack struct {
	Comfort Comfort
	Err     error
}

// lacksLocks reports whether err, of Handle.Lock, says that there are no locks.
func lacksLocks(err error) bool { return isAny(err, noLockErrors) }

// lacksNaming reports whether err, of a call that gives a name, leaves hope in another such call: it is no fault of the
// disk, and the names are as they should be.
func lacksNaming(err error) bool {
	return !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) && !IsDiskError(err)
}

// lacksReservation reports whether err, of Handle.Allocate, means that the file has to stay sparse: only a full disk
// is told by reserving, and only it would be told by every other way too.
func lacksReservation(err error) bool { return !isAny(err, spaceErrors) }

// lacksDirectorySync reports whether err, of FS.SyncDir, says that there is no such thing.
func lacksDirectorySync(err error) bool { return isAny(err, noDirSyncErrors) }

// lack tells the caller of Open of a comfort that is missing.
func (c *comforts) lack(what Comfort, err error) {
	if c.lacks != nil {
		c.lacks(Lack{Comfort: what, Err: Bare(err)})
	}
}
