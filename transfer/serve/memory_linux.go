package serve

import (
	"os"

	"golang.org/x/sys/unix"
)

// MemoryLimit returns how many bytes of memory this process may use; 0: not
// known. That is the machine's memory, or less: then group says that it is the
// limit of its control group, above which the process is killed.
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
