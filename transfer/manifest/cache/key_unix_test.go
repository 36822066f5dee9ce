//go:build unix && !aix

package cache

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestKeyOfWithoutChangeTime edits what the system said, as no file system
// without a change time is at hand.
func TestKeyOfWithoutChangeTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	info, err := os.Stat(path)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	changedAt(st, 1)
	if k, ok := KeyOf(info); !ok || k.ChangeTime != 1_000_000_000 {
		t.Errorf("changed a second after 1970: %+v, %v", k, ok)
	}
	changedAt(st, 0)
	if k, ok := KeyOf(info); ok || k != (Key{}) {
		t.Errorf("no change time: %+v, %v", k, ok)
	}
}

func TestOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	for mode, want := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o700: true, 0o644: true, 0o755: true,
		0o620: false, 0o602: false, 0o666: false, 0o777: false,
	} {
		must(t, os.Chmod(path, mode))
		info, err := os.Stat(path)
		must(t, err)
		if got := ours(info); got != want {
			t.Errorf("mode %#o: %v, want %v", mode, got, want)
		}
	}
	must(t, os.Chmod(path, 0o600))
	info, err := os.Stat(path)
	must(t, err)
	info.Sys().(*syscall.Stat_t).Uid++
	if ours(info) {
		t.Error("another user's file is ours")
	}
}
