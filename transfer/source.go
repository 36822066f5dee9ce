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

// NamedFile is the source of the regular file that has a path. Its errors are
// [*FileError].
type NamedFile string

var (
	errDirectory  = errors.New("is a directory; malcolm offers one regular file")
	errNotRegular = errors.New("is not a regular file")
)

// Stat describes what has the path now.
func (path NamedFile) Stat() (fs.FileInfo, error) {
	info, err := os.Stat(string(path))
	switch {
	case err != nil:
		return nil, path.failure("open", err)
	case info.IsDir():
		return nil, path.failure("serve", errDirectory)
	case !info.Mode().IsRegular():
		return nil, path.failure("serve", errNotRegular)
	}
	return info, nil
}

// Open opens what has the path now. What is no regular file is not opened: a
// FIFO would wait for a writer.
func (path NamedFile) Open() (File, error) {
	before, err := path.Stat()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(string(path))
	if err != nil {
		return nil, path.failure("open", err)
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) && !after.Mode().IsRegular() {
		err = errNotRegular
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
	return &FileError{Op: op, Path: string(path), Err: unwrapPath(err)}
}
