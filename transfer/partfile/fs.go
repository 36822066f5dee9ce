package partfile

import (
	"io"
	"os"
)

// Kind is what a name stands for.
type Kind int

// Kinds.
const (
	None    Kind = iota // nothing is there
	Regular             // a regular file
	Other               // a FIFO, a socket, a device
	Directory
	Link // a symbolic link
)

// ID identifies files: equal for two names or handles exactly if they are the
// same file, while one of them is open.
type ID struct{ Volume, File uint64 }

// Info is what the file system says about a file.
type Info struct {
	Kind      Kind
	Size      int64  // bytes
	Allocated int64  // bytes of storage that it occupies
	Links     uint64 // hard links
	ID        ID
	ModTime   int64 // last write, in nanoseconds since 1970
}

// Unchanged reports whether i describes the same file as before, with the same
// bytes, as far as size and modification time tell.
func (i Info) Unchanged(before Info) bool {
	return i.ID == before.ID && i.Size == before.Size && i.ModTime == before.ModTime
}

// Describe returns what the system says of an open file.
func Describe(f *os.File) (Info, error) { return infoOfFile(f) }

// FS is the one directory in which this package works, and everything that it
// does there. Names are plain file names. Errors are those of package os
// (errors.Is with fs.ErrNotExist and fs.ErrExist holds); errors.ErrUnsupported
// says that the file system cannot do that at all. A File calls it from one
// goroutine at a time. Only the ReadAt, WriteAt and NextData of handles are
// called from many.
type FS interface {
	// Path is name as shown to people.
	Path(name string) string
	// Lstat does not follow a symbolic link in name.
	Lstat(name string) (Info, error)
	// Create makes a new file for reading and writing, with the umask's
	// mode of 0666. It fails with fs.ErrExist if anything has the name,
	// even a dangling link.
	Create(name string) (Handle, error)
	// Open opens an existing file for reading. It does not wait for the
	// other end of a FIFO.
	Open(name string) (Handle, error)
	// OpenWrite opens an existing file for reading and writing, as it is.
	// It does not wait for the other end of a FIFO.
	OpenWrite(name string) (Handle, error)
	// RenameNoReplace fails with fs.ErrExist if something has the new name,
	// in one step.
	RenameNoReplace(from, to string) error
	// Rename replaces what has the new name.
	Rename(from, to string) error
	// Link gives the file a second name; fs.ErrExist if something has it.
	Link(from, to string) error
	Remove(name string) error
	// SyncDir makes the directory's entries durable.
	SyncDir() error
	// Free is the number of bytes that this user may still store in the
	// directory.
	Free() (int64, error)
}

// Handle is an open file.
type Handle interface {
	io.ReaderAt
	io.WriterAt
	io.Closer // also ends the lock
	Stat() (Info, error)
	// Lock takes the exclusive lock of the open file, without waiting. It
	// is false if another handle has it.
	Lock() (bool, error)
	// LockShared takes a lock that any number of handles may have, but not
	// together with an exclusive one.
	LockShared() (bool, error)
	Truncate(size int64) error
	// Allocate reserves storage for n bytes from offset off, and grows the
	// file to off+n if it is shorter. Bytes that are there stay.
	Allocate(off, n int64) error
	// NextData is the offset of the first byte from off on that may be
	// outside of a hole; io.EOF if all are in one.
	NextData(off int64) (int64, error)
	// Forget drops cached bytes that need no writing, so that the next
	// reads come from the disk.
	Forget() error
	// Datasync makes the bytes durable, and what is needed to read them
	// back. Sync makes everything durable. After a failure of either nobody
	// knows which writes are on disk.
	Datasync() error
	Sync() error
}
