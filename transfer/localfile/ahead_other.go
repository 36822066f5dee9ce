//go:build !linux

package localfile

// ReadAhead does nothing: the kernel notices by itself that a file is read in
// order.
func (*systemFile) ReadAhead(int64, int64) {}
