package partfile

import (
	"errors"
	"io"
	"os"
)

// copier is a Handle that takes bytes of another file without passing them
// through this process. A file system that shares storage between files
// (reflinks) then stores them once.
type copier interface {
	// CopyFrom copies up to n bytes from offset from of src to offset to.
	// It returns 0 without an error if src ends, and errors.ErrUnsupported
	// if these two files cannot be copied like that.
	CopyFrom(src *os.File, from, to, n int64) (int64, error)
}

// CopyFrom fills the whole chunk with the bytes that src has at the same place,
// without reading them: they are unknown until they are read back. Ownership
// and errors are as with WriteAt. Two errors are added: io.ErrUnexpectedEOF
// says that src ends within the chunk, errors.ErrUnsupported that the file
// system, the system or src cannot do it. After an error write the chunk from
// its front on.
func (c *Claim) CopyFrom(src io.ReaderAt) error {
	from, isFile := src.(*os.File)
	f, whole := c.out.bytes.(*File)
	if !isFile || !whole {
		return errors.ErrUnsupported
	}
	to, canCopy := f.handle.(copier)
	if !canCopy {
		return errors.ErrUnsupported
	}
	return c.place(func() error { return f.copy(c, to, from) })
}

func (f *File) copy(c *Claim, to copier, from *os.File) error {
	off, length := int64(c.chunk)*f.chunkSize, c.length()
	mu := f.stripe(c.chunk)
	mu.RLock()
	defer mu.RUnlock()
	if f.owners[c.chunk] != c.id {
		return ErrNotOwner
	}
	f.written.Store(true)
	c.next = 0
	for done := int64(0); done < length; {
		n, err := to.CopyFrom(from, off+done, off+done, length-done)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return errors.ErrUnsupported
		case err != nil:
			return failure(f.fs, "copy", f.part, err)
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		done += n
	}
	c.next = length
	return nil
}

// ReadBack reads what this claim has put into the chunk of a [File], from off
// bytes after its start. It works like io.ReaderAt.
func (c *Claim) ReadBack(p []byte, off int64) (int, error) {
	f, whole := c.out.bytes.(*File)
	if !whole {
		return 0, errors.ErrUnsupported
	}
	return f.ReadAt(p, int64(c.chunk)*f.chunkSize+off)
}
