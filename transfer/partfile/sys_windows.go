package partfile

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/windows"
)

const openNonblock = 0

var diskErrors = map[DiskFault][]error{
	Full:     {windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL},
	Quota:    {windows.ERROR_DISK_QUOTA_EXCEEDED},
	TooLarge: {windows.ERROR_FILE_TOO_LARGE},
	ReadOnly: {windows.ERROR_WRITE_PROTECT},
	Failing:  {windows.ERROR_IO_DEVICE, windows.ERROR_CRC},
}

// spaceErrors are those of diskErrors that more room would fix.
var spaceErrors = []error{
	windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED,
}

// noLockErrors say that a file system has no locks: some network shares.
var noLockErrors = []error{errors.ErrUnsupported, windows.ERROR_INVALID_FUNCTION, windows.ERROR_NOT_SUPPORTED}

var noSyncErrors = []error{errors.ErrUnsupported}

// lstatIn opens a regular file for its number of links, which Lstat does not
// tell, and checks that it opened the one that Lstat saw.
func lstatIn(root *os.Root, name string) (Info, error) {
	seen, err := root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	if !seen.Mode().IsRegular() {
		return Info{Kind: kindOf(seen.Mode())}, nil
	}
	f, err := root.Open(name)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	if !os.SameFile(seen, opened) {
		return Info{}, errReplaced
	}
	return infoOfFile(f)
}

// infoOfFile counts all bytes as allocated: a file that is not marked as sparse
// has its clusters.
func infoOfFile(f *os.File) (Info, error) {
	st, err := f.Stat()
	if err != nil {
		return Info{}, err
	}
	info := Info{Kind: kindOf(st.Mode()), Size: st.Size(), Allocated: st.Size(), ModTime: st.ModTime().UnixNano()}
	err = control(f, func(fd uintptr) error {
		var by windows.ByHandleFileInformation
		if err := windows.GetFileInformationByHandle(windows.Handle(fd), &by); err != nil {
			return err
		}
		info.Links = uint64(by.NumberOfLinks)
		info.ID = ID{
			Volume: uint64(by.VolumeSerialNumber),
			File:   uint64(by.FileIndexHigh)<<32 | uint64(by.FileIndexLow),
		}
		return nil
	})
	return info, err
}

// flock locks one byte behind the end of any file: locks are mandatory here,
// and must not keep out readers.
func flock(fd uintptr) (bool, error) { return flockAs(fd, windows.LOCKFILE_EXCLUSIVE_LOCK) }

func flockShared(fd uintptr) (bool, error) { return flockAs(fd, 0) }

func flockAs(fd uintptr, how uint32) (bool, error) {
	at := &windows.Overlapped{Offset: math.MaxUint32, OffsetHigh: math.MaxInt32}
	err := windows.LockFileEx(windows.Handle(fd), how|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// renameNoReplace uses the path that the directory's handle has now: the
// documented calls have no rename relative to a handle.
func renameNoReplace(dir uintptr, from, to string) error {
	path, err := pathOf(dir)
	if err != nil {
		return err
	}
	old, err := windows.UTF16PtrFromString(path + `\` + from)
	if err != nil {
		return err
	}
	new, err := windows.UTF16PtrFromString(path + `\` + to)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(old, new, windows.MOVEFILE_WRITE_THROUGH)
}

// pathOf is the path of an open directory, in the form without a length limit,
// without a separator at its end.
func pathOf(dir uintptr) (string, error) {
	buf := make([]uint16, windows.MAX_PATH)
	for {
		n, err := windows.GetFinalPathNameByHandle(windows.Handle(dir), &buf[0], uint32(len(buf)), 0)
		if err != nil {
			return "", err
		}
		if int(n) < len(buf) {
			return strings.TrimSuffix(windows.UTF16ToString(buf[:n]), `\`), nil
		}
		buf = make([]uint16, n+1)
	}
}

func directoryPath(dir uintptr) (string, error) { return pathOf(dir) }

// allocate does nothing: the truncate that follows reserves the clusters here.
func allocate(fd uintptr, off, n int64) error { return errors.ErrUnsupported }

func nextData(fd uintptr, off int64) (int64, error) { return 0, errors.ErrUnsupported }

func forget(fd uintptr) error { return errors.ErrUnsupported }

func datasync(f *os.File) error { return f.Sync() }

// syncDirectory has nothing to do: directories cannot be flushed, and NTFS
// writes renames to its log in order.
func syncDirectory(f *os.File) error { return nil }

func freeSpace(dir uintptr) (int64, error) {
	path, err := pathOf(dir)
	if err != nil {
		return 0, err
	}
	name, err := windows.UTF16PtrFromString(path + `\`)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(min(free, math.MaxInt64)), nil
}

// noDirectoryLockErrors say that directories have no locks.
var noDirectoryLockErrors = []error{
	windows.ERROR_INVALID_PARAMETER, windows.ERROR_INVALID_FUNCTION, windows.ERROR_ACCESS_DENIED, windows.ERROR_INVALID_HANDLE,
}

func setLinkTime(uintptr, string, time.Time) error { return errors.ErrUnsupported }

func freeFiles(uintptr) (int64, error) { return 0, errors.ErrUnsupported }

func syncAll(uintptr) error { return errors.ErrUnsupported }

// infoOf knows nothing of the identity: that needs an open file.
func infoOf(st fs.FileInfo) Info {
	return Info{Kind: kindOf(st.Mode()), Size: st.Size(), Allocated: st.Size(), Links: 1, ModTime: st.ModTime().UnixNano()}
}

func longestName(uintptr) (int, error) { return 0, errors.ErrUnsupported }
