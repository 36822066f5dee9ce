package localfile

import "golang.org/x/sys/unix"

// ReadAhead has the kernel read a part of the file into its cache meanwhile.
func (f *systemFile) ReadAhead(offset, length int64) {
	// It is a hint: the read that follows reports any error.
	_ = f.raw.Control(func(fd uintptr) {
		_ = unix.Fadvise(int(fd), offset, length, unix.FADV_WILLNEED)
	})
}
