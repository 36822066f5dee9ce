package partfile

import (
	"os"

	"golang.org/x/sys/unix"
)

// Obstacle asks the system. What that does not know is found at the commit.
func (d dir) Obstacle(name string) (obstacle error) {
	err := d.withDescriptor(func(fd uintptr) error {
		obstacle = unix.Faccessat(int(fd), ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS)
		if obstacle == nil {
			obstacle = fixed(int(fd), name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return obstacle
}

// fixed says why a file cannot be replaced though its directory can be written
// to.
func fixed(dirfd int, name string) error {
	var dir, file unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_SYNC_AS_STAT
	if unix.Statx(dirfd, ".", flags, unix.STATX_BASIC_STATS, &dir) != nil || unix.Statx(dirfd, name, flags, unix.STATX_BASIC_STATS, &file) != nil {
		return nil
	}
	uid := uint32(os.Geteuid())
	switch {
	case (file.Attributes|dir.Attributes)&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0:
		return errImmutable
	case file.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return errMounted
	case dir.Mode&unix.S_ISVTX != 0 && uid != 0 && uid != file.Uid && uid != dir.Uid:
		return errSticky
	}
	return nil
}
