package partfile

import (
	"io"
	"time"
)

// A TreeFS is an FS whose directory holds directories and links too. [Dir]
// returns one. Any goroutine may call its methods.
type TreeFS interface {
	FS
	// CreateExecutable is Create with the umask's mode of 0777.
	CreateExecutable(name string) (Handle, error)
	// Mkdir makes a directory with the umask's mode of 0777. It fails with
	// fs.ErrExist if anything has the name.
	Mkdir(name string) error
	// OpenDir opens a directory. It follows no link.
	OpenDir(name string) (Folder, error)
	// Symlink makes a link to target; fs.ErrExist if anything has the name.
	Symlink(target, name string) error
	// Readlink returns the target of a link.
	Readlink(name string) (string, error)
	// SetTime sets the modification time of what has the name, of a link
	// its own.
	SetTime(name string, t time.Time) error
	// FreeFiles is the number of files that may still be made in the
	// directory.
	FreeFiles() (int64, error)
	// LongestName is the length of the longest name that the directory
	// takes, in bytes.
	LongestName() (int, error)
	// EachName yields the names in the directory, in any order, until yield
	// returns false.
	EachName(yield func(name string) bool) error
}

// A Folder is an open directory. It works in it wherever it is moved. Remove
// takes directories too, if they are empty.
type Folder interface {
	TreeFS
	io.Closer // also ends the lock
	// Stat describes the directory itself.
	Stat() (Info, error)
	// Lock and LockShared are those of a Handle.
	Lock() (bool, error)
	LockShared() (bool, error)
	// SyncAll makes durable all of the file system that the directory is
	// on. It fails if anything could not be written since the directory was
	// opened; errors.ErrUnsupported: the system would not tell that.
	SyncAll() error
}
