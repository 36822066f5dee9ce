package partfile

import (
	"io"
	"time"
)

// File is the part file, open and locked. Any goroutine may call its methods;
// call Close after all others have returned. It holds 8 bytes and 1 bit of
// memory a chunk, and at most 2 MiB more.
type File struct {
	output
	extent
	handle  Handle
	old     predecessor
	modTime *time.Time // of the finished file; nil: unchanged
}

// extent is the length of the file.
type extent struct {
	size, chunkSize int64 // bytes, as the header says
	prior           int64 // bytes that were there before this run
	tail            int64 // bytes, see tailLen
	sparse          bool
}

// Size is the size of the finished file in bytes.
func (f *File) Size() int64 { return f.size }

// Prior is the number of bytes, from the front, that were there before this
// run; 0 after StartOver. What lies behind them reads as zeros.
func (f *File) Prior() int64 { return f.prior }

// Sparse reports whether the file's space is not reserved, so that a write can
// still find the disk full.
func (f *File) Sparse() bool { return f.sparse }

// ReadAt reads from the part file, like io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.handle.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = failure(f.fs, "read", f.part, err)
	}
	return n, err
}

// The store of a File.

func (f *File) length(chunk int) int64 {
	return min(f.chunkSize, f.size-int64(chunk)*f.chunkSize)
}

func (f *File) put(c *Claim, p []byte, off int64) (int, error) {
	return f.handle.WriteAt(p, int64(c.chunk)*f.chunkSize+off)
}

func (f *File) complete(*Claim) error { return nil }

func (f *File) leave(*Claim) {}

func (f *File) records(int) bool { return true }

func (f *File) persist([]record) error { return f.handle.Datasync() }

func (f *File) closePart() error { return f.handle.Close() }
