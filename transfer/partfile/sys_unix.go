//go:build unix

package partfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openNonblock keeps an open from waiting for the other end of a FIFO that has
// replaced a file.
const openNonblock = unix.O_NONBLOCK

var diskErrors = map[DiskFault][]error{
	Full: {unix.ENOSPC}, Quota: {unix.EDQUOT}, TooLarge: {unix.EFBIG}, ReadOnly: {unix.EROFS}, Failing: {unix.EIO},
}

// spaceErrors are those of diskErrors that more room would fix.
var spaceErrors = []error{unix.ENOSPC, unix.EDQUOT}

// noLockErrors say that a file system has no flock: Lustre without its option,
// NFS without its daemon, ...
var noLockErrors = []error{errors.ErrUnsupported, unix.ENOLCK, unix.EINVAL}

// noSyncErrors are the answers of file systems that have no sync for files or
// for directories.
var noSyncErrors = []error{errors.ErrUnsupported, unix.EINVAL}

// statBlock is the unit of st_blocks in bytes, whatever the file system's own
// block is.
const statBlock = 512

func lstatIn(root *os.Root, name string) (Info, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func infoOfFile(f *os.File) (Info, error) {
	info, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func infoOf(info fs.FileInfo) Info {
	st := info.Sys().(*syscall.Stat_t)
	return Info{
		Kind:      kindOf(info.Mode()),
		Size:      info.Size(),
		Allocated: int64(st.Blocks) * statBlock,
		Links:     uint64(st.Nlink),
		ID:        ID{Volume: uint64(st.Dev), File: uint64(st.Ino)},
		ModTime:   info.ModTime().UnixNano(),
	}
}

func flock(fd uintptr) (bool, error) { return flockAs(fd, unix.LOCK_EX) }

func flockShared(fd uintptr) (bool, error) { return flockAs(fd, unix.LOCK_SH) }

func flockAs(fd uintptr, how int) (bool, error) {
	err := retryInterrupted(func() error { return unix.Flock(int(fd), how|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func syncDirectory(f *os.File) error { return f.Sync() }

// retryInterrupted repeats a call that a signal ended before it did anything,
// up to mostInterrupted times; the error is EINTR then.
func retryInterrupted(call func() error) (err error) {
	for range mostInterrupted {
		if err = call(); err != unix.EINTR {
			break
		}
	}
	return err
}

// noDirectoryLockErrors say that directories have no locks, as on NFS, where
// only what is open for writing can be locked.
var noDirectoryLockErrors = []error{unix.EBADF, unix.EISDIR}

// setLinkTime sets both times of a link.
func setLinkTime(dirfd uintptr, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return retryInterrupted(func() error {
		return unix.UtimesNanoAt(int(dirfd), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}
