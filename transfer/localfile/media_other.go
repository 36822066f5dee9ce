//go:build !windows

package localfile

import (
	"errors"
	"syscall"
)

// IsMediaError reports whether a read failed at one place of a disk, as far as
// the system says: EIO means a bad sector, or a checksum of the file system
// that does not match.
func IsMediaError(err error) bool { return errors.Is(err, syscall.EIO) }
