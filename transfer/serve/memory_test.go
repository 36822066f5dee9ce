package serve

import (
	"runtime"
	"testing"
	"testing/fstest"
)

// A process respects the memory limits of its control group, of those above it,
// and of a container that shows it the host's path.
func TestCgroupMemory(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no groups", nil, 0},
		{"no limit", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		{"version 2", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "67108864\n"}, 64 << 20},
		{"above", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "100\n", "sys/fs/cgroup/a/memory.max": "50\n"}, 50},
		{"container of version 2", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "100\n"}, 100},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:cpu:/x\n4:hugetlb,memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "100\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 100},
		{"container of version 1", map[string]string{"proc/self/cgroup": "4:memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "100\n"}, 100},
		{"nonsense", map[string]string{"proc/self/cgroup": "x\n0::../..\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := make(fstest.MapFS)
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := cgroupMemory(root); got != test.want {
				t.Errorf("limit = %d, want %d", got, test.want)
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	if n, _ := MemoryLimit(); runtime.GOOS == "linux" && n < 1<<20 {
		t.Errorf("this machine has %d bytes of memory", n)
	}
}
