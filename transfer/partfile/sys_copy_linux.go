package partfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// copyStep is the number of bytes that one call copies. A call cannot be
// interrupted.
const copyStep = 1 << 20

// CopyFrom implements copier with copy_file_range. Every error except that of a
// full disk means that the system cannot do it: reading and writing then show
// which of the two files is to blame.
func (f file) CopyFrom(src *os.File, from, to, n int64) (copied int64, err error) {
	err = control(f.File, func(out uintptr) error {
		return control(src, func(in uintptr) error {
			return retryInterrupted(func() error {
				k, err := unix.CopyFileRange(int(in), &from, int(out), &to, int(min(n, copyStep)), 0)
				copied = int64(k)
				return err
			})
		})
	})
	if err != nil && !isAny(err, spaceErrors) {
		err = errors.ErrUnsupported
	}
	return copied, err
}
