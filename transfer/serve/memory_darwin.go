package serve

import "golang.org/x/sys/unix"

// MemoryLimit returns the machine's memory in bytes; 0: not known. There are no
// control groups.
func MemoryLimit() (bytes int64, group bool) {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, false
	}
	return int64(n), false
}
