package partfile

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// errNoExtended is the error of a missing extended attribute.
const errNoExtended = unix.ENOATTR

func renameNoReplace(dirfd uintptr, from, to string) error {
	return retryInterrupted(func() error {
		return unix.RenameatxNp(int(dirfd), from, int(dirfd), to, unix.RENAME_EXCL)
	})
}

// allocate leaves the file sparse: APFS reserves nothing that would survive a
// truncate.
func allocate(fd uintptr, off, n int64) error { return errors.ErrUnsupported }

// nextData moves the descriptor's own position, which nothing uses.
func nextData(fd uintptr, off int64) (next int64, err error) {
	err = retryInterrupted(func() error {
		next, err = unix.Seek(int(fd), off, unix.SEEK_DATA)
		return err
	})
	switch err {
	case unix.ENXIO:
		return 0, io.EOF
	case unix.EINVAL, unix.ENOTTY:
		return 0, errors.ErrUnsupported
	}
	return next, err
}

func directoryPath(fd uintptr) (string, error) { return "", errors.ErrUnsupported }

func forget(fd uintptr) error { return errors.ErrUnsupported }

// datasync is F_FULLFSYNC, like os.File.Sync: fsync alone does not empty the
// drive's cache.
func datasync(f *os.File) error { return f.Sync() }

func freeSpace(dirfd uintptr) (int64, error) {
	var st unix.Statfs_t
	if err := retryInterrupted(func() error { return unix.Fstatfs(int(dirfd), &st) }); err != nil {
		return 0, err
	}
	if st.Blocks == 0 {
		return 0, errors.ErrUnsupported // a file system that does not count
	}
	if st.Bsize != 0 && st.Bavail > math.MaxInt64/uint64(st.Bsize) {
		return math.MaxInt64, nil
	}
	return int64(st.Bavail * uint64(st.Bsize)), nil
}

// Obstacle asks the system. What that does not know is found at the commit.
func (d dir) Obstacle(string) (obstacle error) {
	err := d.withDescriptor(func(fd uintptr) error {
		obstacle = unix.Faccessat(int(fd), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		return nil
	})
	if err != nil {
		return err
	}
	return obstacle
}

// freeFiles counts inodes.
func freeFiles(dirfd uintptr) (int64, error) {
	var st unix.Statfs_t
	if err := retryInterrupted(func() error { return unix.Fstatfs(int(dirfd), &st) }); err != nil {
		return 0, err
	}
	if st.Files == 0 {
		return 0, errors.ErrUnsupported // they are made as they are needed
	}
	return int64(min(st.Ffree, math.MaxInt64)), nil
}

func syncAll(uintptr) error { return errors.ErrUnsupported }

func longestName(uintptr) (int, error) { return 0, errors.ErrUnsupported }
