package serve

import "golang.org/x/sys/unix"

// MemoryLimit returns how many bytes of memory the machine has; 0 means that it
// is not known. There are no control groups.
func MemoryLimit() (bytes int64, group bool) {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, false
	}
	return int64(n), false
}
