//go:build linux || darwin

package partfile

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// maxExtended bounds the value of an extended attribute that is kept, in bytes.
// Linux has no larger ones.
const maxExtended = 64 << 10

// extendedOf reads all extended attributes that this user may see. A file
// system without any is no error.
func extendedOf(f *os.File) (map[string][]byte, error) {
	list, err := readExtended(f, func(fd int, buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
	if errors.Is(err, unix.ENOTSUP) || len(list) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make(map[string][]byte)
	for name := range bytes.SplitSeq(bytes.TrimSuffix(list, []byte{0}), []byte{0}) {
		value, err := readExtended(f, func(fd int, buf []byte) (int, error) { return unix.Fgetxattr(fd, string(name), buf) })
		switch {
		case errors.Is(err, errNoExtended): // removed meanwhile
		case err != nil:
			return nil, err
		default:
			all[string(name)] = value
		}
	}
	return all, nil
}

// readExtended returns what read puts into a buffer of maxExtended bytes.
func readExtended(f *os.File, read func(fd int, buf []byte) (int, error)) (value []byte, err error) {
	err = control(f, func(fd uintptr) error {
		buf := make([]byte, maxExtended)
		var n int
		err := retryInterrupted(func() (err error) {
			n, err = read(int(fd), buf)
			return err
		})
		if err == nil {
			value = bytes.Clone(buf[:n])
		}
		return err
	})
	return value, err
}

func setExtended(f *os.File, name string, value []byte) error {
	return control(f, func(fd uintptr) error {
		return retryInterrupted(func() error {
			if value == nil {
				return unix.Fremovexattr(int(fd), name)
			}
			return unix.Fsetxattr(int(fd), name, value, 0)
		})
	})
}
