package cache

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestCacheNotWritable is about directories that are ours and that we may not
// write to. Root may write everywhere, so its thread gives that up for a while.
func TestCacheNotWritable(t *testing.T) {
	k := keyFor(5)
	dir := func(mode os.FileMode) *Cache {
		c := &Cache{Dir: filepath.Join(t.TempDir(), "cache")}
		must(t, c.Store(k, madeUp(5, 1)))
		must(t, os.Chmod(c.Dir, mode))
		t.Cleanup(func() { os.Chmod(c.Dir, 0o700) })
		return c
	}
	readOnly, closed := dir(0o555), dir(0o000)
	asNobody := os.Geteuid() == 0
	if asNobody {
		const nobody = 65534
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		must(t, syscall.Setfsuid(nobody))
		defer syscall.Setfsuid(0)
	}
	if err := os.WriteFile(filepath.Join(readOnly.Dir, "probe"), nil, 0o600); err == nil {
		t.Skip("this user may write everywhere")
	}
	if !asNobody { // nobody cannot read root's entry
		wantHit(t, readOnly, k, madeUp(5, 1), "read-only")
	}
	for name, c := range map[string]*Cache{
		"read-only":          readOnly,
		"closed":             closed,
		"cannot be made":     {Dir: filepath.Join(readOnly.Dir, "below")},
		"in a place of none": {Dir: "/proc/malcolm/cache"},
	} {
		if c != readOnly || asNobody {
			wantMiss(t, c, k, name)
		}
		if err := c.Store(k, madeUp(5, 2)); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
}
