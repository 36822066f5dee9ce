package transfer

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A Source is one file by its name: what lies under the name may be changed,
// replaced or removed at any time. Any goroutine may call its methods.
type Source interface {
	// Open opens what has the name now.
	Open() (File, error)
	// Stat describes what has the name now, without opening it.
	Stat() (fs.FileInfo, error)
}

// A File is an open file; [*os.File] is one. ReadAt and Stat may be called from
// any goroutine, Close after all others have returned.
type File interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// A readAheader is a [File] that can be told what is read next.
type readAheader interface {
	// ReadAhead does not wait and may do nothing.
	ReadAhead(offset, length int64)
}

// A systemFile is an open file of the system's.
type systemFile struct {
	*os.File
	raw syscall.RawConn
}

// NamedFile is the source of the regular file that has a path, whatever gets it.
// Its errors are [*FileError].
type NamedFile string

var (
	errDirectory  = errors.New("is a directory; malcolm offers one regular file")
	errNotRegular = errors.New("is not a regular file")
)

// Stat describes what has the path now.
func (path NamedFile) Stat() (fs.FileInfo, error) {
	info, err := os.Stat(string(path))
	if err != nil {
		return nil, path.failure("open", err)
	}
	return info, path.check(info)
}

// check returns an error unless info is of a regular file.
func (path NamedFile) check(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return path.failure("serve", errDirectory)
	case !info.Mode().IsRegular():
		return path.failure("serve", errNotRegular)
	}
	return nil
}

// Open opens what has the path now. It waits for nothing: neither for the writer
// of a FIFO nor for a device.
func (path NamedFile) Open() (File, error) { return path.open(0) }

// open opens the path with more of the system's flags.
func (path NamedFile) open(flags int) (File, error) {
	f, err := os.OpenFile(string(path), os.O_RDONLY|openNonblock|flags, 0)
	if err != nil {
		return nil, path.failure("open", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = path.check(info)
	}
	var raw syscall.RawConn
	if err == nil {
		raw, err = f.SyscallConn()
	}
	if err != nil {
		f.Close()
		return nil, path.failure("open", err)
	}
	return &systemFile{f, raw}, nil
}

func (path NamedFile) failure(op string, err error) error {
	if as[*FileError](err) {
		return err
	}
	return &FileError{Op: op, Path: string(path), Err: err}
}

// An OfferedFile is the source of the regular file that has a path, for a server
// that reads more than those who may change the directory. What gets the name
// later must not lead elsewhere: a file that was no symbolic link does not become
// one, and its owner stays. Make one with [OfferFile].
type OfferedFile struct {
	NamedFile
	linked bool
	owner  owner
}

// OfferFile returns the source of what has a path now and later. Its errors are
// [*FileError].
func OfferFile(path string) (*OfferedFile, error) {
	f := &OfferedFile{NamedFile: NamedFile(path)}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, f.failure("open", err)
	}
	f.linked = info.Mode()&fs.ModeSymlink != 0
	if info, err = f.NamedFile.Stat(); err != nil {
		return nil, err
	}
	f.owner = ownerOf(info)
	return f, nil
}

// A takeoverError says that something has the name which must not be offered.
type takeoverError struct{ what string }

func (e *takeoverError) Error() string { return e.what }

var (
	errBecameLink = &takeoverError{"has become a symbolic link: it is not offered, since it may lead anywhere"}
	errOtherOwner = &takeoverError{"belongs to another user now: it is not offered"}
)

// Stat describes what has the path now.
func (f *OfferedFile) Stat() (fs.FileInfo, error) {
	if !f.linked {
		info, err := os.Lstat(string(f.NamedFile))
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, f.failure("serve", errBecameLink)
		}
	}
	info, err := f.NamedFile.Stat()
	if err == nil && ownerOf(info) != f.owner {
		err = f.failure("serve", errOtherOwner)
	}
	return info, err
}

// Open opens what has the path now.
func (f *OfferedFile) Open() (File, error) {
	if _, err := f.Stat(); err != nil {
		return nil, err
	}
	flags := 0
	if !f.linked {
		flags = openNoFollow
	}
	file, err := f.open(flags)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && ownerOf(info) != f.owner {
		err = f.failure("serve", errOtherOwner)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
