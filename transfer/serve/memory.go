package serve

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// cgroupMemory returns the memory limit of a process's control group, in
// bytes, from the system files below root; 0 without a limit. A group is
// bound by those above it, too.
func cgroupMemory(root fs.FS) (limit int64) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	const v2, v1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; the second version has no
		// controllers.
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[0] == "0" && fields[1] == "":
			limit = least(limit, limitAbove(root, v2, fields[2], "memory.max"))
		case hasWord(fields[1], "memory"):
			limit = least(limit, limitAbove(root, v1, fields[2], "memory.limit_in_bytes"))
		}
	}
	return limit
}

// limitAbove returns the least limit of a group and of those above it. In a
// container the group's path may be the host's, with only the top visible.
func limitAbove(root fs.FS, top, group, name string) (limit int64) {
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		if b, err := fs.ReadFile(root, path.Join(top, dir, name)); err == nil {
			// "max" and the largest number of pages mean no limit.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 && n < 1<<60 {
				limit = least(limit, n)
			}
		}
		if dir == "/" {
			return limit
		}
	}
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// least returns the smaller of two limits; 0 means no limit.
func least(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
