package transfer

import (
	"os"

	"golang.org/x/sys/unix"
)

// MemoryLimit returns how many bytes of memory this process may use: the limit of its
// control group, which kills it above that, or what the machine has. group says that it
// is the first. 0 means that it is not known.
func MemoryLimit() (bytes int64, group bool) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		bytes = int64(uint64(info.Totalram) * uint64(info.Unit))
	}
	if limit := cgroupMemory(os.DirFS("/")); limit > 0 && (bytes == 0 || limit < bytes) {
		return limit, true
	}
	return bytes, false
}
