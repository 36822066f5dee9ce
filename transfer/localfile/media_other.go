//go:build !windows

package localfile

import (
	"errors"
	"syscall"
)

// IsMediaError reports whether a read failed at one place of a disk, as far as
// the system says: EIO is what is returned for a bad sector, and for a checksum
// of the file system that does not match.
func IsMediaError(err error) bool { return errors.Is(err, syscall.EIO) }
