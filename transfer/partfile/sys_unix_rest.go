//go:build unix && !linux && !darwin

package partfile

import (
	"errors"
	"os"
)

// These systems go without an exclusive rename, preallocation and a check of free space: link and unlink, a sparse
// file, and the error of the write that no longer fits take their places.

func renameNoReplace(dirfd uintptr, from, to string) error { return errors.ErrUnsupported }

func allocate(fd uintptr, off, n int64) error { return errors.ErrUnsupported }

func datasync(f *os.File) error { return f.Sync() }

func freeSpace(dirfd uintptr) (int64, error) { return 0, errors.ErrUnsupported }
