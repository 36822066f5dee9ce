// Package localfile opens a local file by its name, again and again: what lies
// under the name may be changed, replaced or removed at any time.
//
// A [Named] is whatever has the name. An [Offered] is what a server may offer
// under it: nobody can make the name lead elsewhere later. Both open regular
// files only, and wait for nothing. Reads can be announced ([ReadAheader]), and
// errors tell a bad place of a disk ([IsMediaError]) from all else.
//
// A [Source] and the methods of a [File] may be called from any goroutine; only
// Close must come after all other calls have returned. The package starts no
// goroutine.
package localfile

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

// EndsAt reports whether a file ends at size bytes, as the system says: a read
// behind that returns the end, and neither a byte nor an error. Files that the
// system makes up as they are read (/proc, /sys) may not.
func EndsAt(f io.ReaderAt, size int64) bool {
	n, err := f.ReadAt(make([]byte, 1), size)
	return n == 0 && errors.Is(err, io.EOF)
}

// A ReadAheader is a [File] that can be told what is read next.
type ReadAheader interface {
	// ReadAhead does not wait and may do nothing.
	ReadAhead(offset, length int64)
}

// A systemFile is an open file of the system that reads ahead.
type systemFile struct {
	*os.File
	raw syscall.RawConn
}

// Named is the source of the regular file at a path, whichever file that is at
// the time. Its errors are [*Error].
type Named string

// Stat describes what has the path now.
func (path Named) Stat() (fs.FileInfo, error) {
	info, err := os.Stat(string(path))
	if err != nil {
		return nil, path.failure("open", err)
	}
	return info, path.check(info)
}

// check returns an error unless info is of a regular file.
func (path Named) check(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return path.failure("serve", ErrDirectory)
	case !info.Mode().IsRegular():
		return path.failure("serve", ErrNotRegular)
	}
	return nil
}

// Open opens what has the path now. It waits for nothing: neither for the
// writer of a FIFO nor for a device.
func (path Named) Open() (File, error) {
	f, err := path.open(0)
	if err != nil {
		return nil, err // no *systemFile, not even nil
	}
	return f, nil
}

// OpenSystem is Open for callers that ask the system more about the file.
func (path Named) OpenSystem() (*os.File, error) {
	f, err := path.open(0)
	if err != nil {
		return nil, err
	}
	return f.File, nil
}

// open opens the path with more of the system's flags.
func (path Named) open(flags int) (*systemFile, error) {
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

func (path Named) failure(op string, err error) error {
	if errors.As(err, new(*Error)) {
		return err
	}
	return &Error{Op: op, Path: string(path), Err: err}
}

// An Offered is the source of the regular file under a path. It is for a
// server, which may be allowed to read more than the people who can change the
// directory. So a later file under the name must not lead elsewhere: a name
// that was no symbolic link must not become one, and its owner must stay. Make
// one with [Offer].
type Offered struct {
	Named
	linked bool
	owner  owner
}

// Offer returns the source of the file at a path, which may be opened again and
// again. Its errors are [*Error].
func Offer(path string) (*Offered, error) {
	f := &Offered{Named: Named(path)}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, f.failure("open", err)
	}
	f.linked = info.Mode()&fs.ModeSymlink != 0
	if info, err = f.Named.Stat(); err != nil {
		return nil, err
	}
	f.owner = ownerOf(info)
	return f, nil
}

// Stat describes what has the path now.
func (f *Offered) Stat() (fs.FileInfo, error) {
	if !f.linked {
		info, err := os.Lstat(string(f.Named))
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, f.failure("serve", errBecameLink)
		}
	}
	info, err := f.Named.Stat()
	if err == nil && ownerOf(info) != f.owner {
		err = f.failure("serve", errOtherOwner)
	}
	return info, err
}

// Open opens what has the path now.
func (f *Offered) Open() (File, error) {
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
