package partfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// errNoExtended is the error of a missing extended attribute.
const errNoExtended = unix.ENODATA

// renameNoReplace is ErrUnsupported for EINVAL too: a file system that does not
// know the flag answers that.
func renameNoReplace(dirfd uintptr, from, to string) error {
	err := retryInterrupted(func() error {
		return unix.Renameat2(int(dirfd), from, int(dirfd), to, unix.RENAME_NOREPLACE)
	})
	if err == unix.EINVAL {
		return errors.ErrUnsupported
	}
	return err
}

// directoryPath is where an open directory is now.
func directoryPath(fd uintptr) (string, error) {
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(int(fd)))
}

// allocate may be interrupted: reserve tries again, and looks whether it is
// still wanted.
func allocate(fd uintptr, off, n int64) error { return unix.Fallocate(int(fd), 0, off, n) }

// nextData moves the descriptor's own position, which nothing uses.
func nextData(fd uintptr, off int64) (next int64, err error) {
	err = retryInterrupted(func() error {
		next, err = unix.Seek(int(fd), off, unix.SEEK_DATA)
		return err
	})
	switch err {
	case unix.ENXIO:
		return 0, io.EOF
	case unix.EINVAL:
		return 0, errors.ErrUnsupported
	}
	return next, err
}

func forget(fd uintptr) error {
	return retryInterrupted(func() error { return unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED) })
}

func datasync(f *os.File) error {
	return control(f, func(fd uintptr) error {
		return retryInterrupted(func() error { return unix.Fdatasync(int(fd)) })
	})
}

func freeSpace(dirfd uintptr) (int64, error) {
	var st unix.Statfs_t
	if err := retryInterrupted(func() error { return unix.Fstatfs(int(dirfd), &st) }); err != nil {
		return 0, err
	}
	if st.Blocks == 0 {
		return 0, errors.ErrUnsupported // a file system that does not count
	}
	unit := uint64(st.Frsize)
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	return bytesOf(uint64(st.Bavail), unit), nil
}

// bytesOf is blocks times unit, at most math.MaxInt64.
func bytesOf(blocks, unit uint64) int64 {
	if unit != 0 && blocks > math.MaxInt64/unit {
		return math.MaxInt64
	}
	return int64(blocks * unit)
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

// tellingSyncfs is the first version of Linux whose syncfs tells of writes that
// failed.
var tellingSyncfs = [2]int{5, 8}

// remoteSystems are file systems for which syncfs does not reach what stores
// the bytes.
var remoteSystems = []int64{
	unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC,
}

// syncAll is syncfs.
func syncAll(dirfd uintptr) error {
	var name unix.Utsname
	var st unix.Statfs_t
	if unix.Uname(&name) != nil || !tells(unix.ByteSliceToString(name.Release[:])) ||
		unix.Fstatfs(int(dirfd), &st) != nil || slices.Contains(remoteSystems, int64(uint32(st.Type))) {
		return errors.ErrUnsupported
	}
	return retryInterrupted(func() error { return unix.Syncfs(int(dirfd)) })
}

// tells reports whether the system of that release is at least tellingSyncfs.
func tells(release string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return n == 2 && (major > tellingSyncfs[0] || major == tellingSyncfs[0] && minor >= tellingSyncfs[1])
}

func longestName(dirfd uintptr) (int, error) {
	var st unix.Statfs_t
	if err := retryInterrupted(func() error { return unix.Fstatfs(int(dirfd), &st) }); err != nil {
		return 0, err
	}
	if st.Namelen <= 0 {
		return 0, errors.ErrUnsupported
	}
	return int(st.Namelen), nil
}
