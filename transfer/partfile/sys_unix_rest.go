//go:build unix && !linux && !darwin

package partfile

import (
	"errors"
	"os"
)

// These systems lack an exclusive rename, preallocation, a check of free space,
// and a search for holes. In their places: link and unlink, a sparse file, the
// error of the write that no longer fits, and reading the holes.

func renameNoReplace(dirfd uintptr, from, to string) error { return errors.ErrUnsupported }

func allocate(fd uintptr, off, n int64) error { return errors.ErrUnsupported }

func nextData(fd uintptr, off int64) (int64, error) { return 0, errors.ErrUnsupported }

func directoryPath(fd uintptr) (string, error) { return "", errors.ErrUnsupported }

func forget(fd uintptr) error { return errors.ErrUnsupported }

func datasync(f *os.File) error { return f.Sync() }

func freeSpace(dirfd uintptr) (int64, error) { return 0, errors.ErrUnsupported }

func freeFiles(uintptr) (int64, error) { return 0, errors.ErrUnsupported }

func syncAll(uintptr) error { return errors.ErrUnsupported }

func longestName(uintptr) (int, error) { return 0, errors.ErrUnsupported }
