package localfile

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// IsMediaError reports whether a read failed at one place of a disk, as far as
// the system says: a checksum does not match, a sector is not found, or a
// device does not deliver it.
func IsMediaError(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case windows.ERROR_CRC, windows.ERROR_SECTOR_NOT_FOUND, windows.ERROR_READ_FAULT, windows.ERROR_IO_DEVICE:
		return true
	}
	return false
}
