package cache

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestSettled(t *testing.T) {
	began := time.Unix(1_700_000_000, 500)
	const (
		at  = 1_700_000_000_000_000_500
		sec = 1_000_000_000
	)
	for _, c := range []struct {
		name              string
		modified, changed int64
		want              bool
	}{
		{"both long ago", at - 3600*sec, at - 3600*sec, true},
		{"both just over 2 s", at - 2*sec - 1, at - 2*sec - 1, true},
		{"modified 2 s before", at - 2*sec, at - 3600*sec, false},
		{"changed 2 s before", at - 3600*sec, at - 2*sec, false},
		{"modified 1 s before", at - sec, at - 3*sec, false},
		{"changed 1 s before", at - 3*sec, at - sec, false},
		{"at that moment", at, at, false},
		{"modified in the future", at + sec, at - 3600*sec, false},
		{"changed in the future", at - 3600*sec, at + sec, false},
		{"both in the far future", math.MaxInt64, math.MaxInt64, false},
		{"modified in 1970", 0, at - 3*sec, true},
		{"modified before 1970", math.MinInt64, at - 3*sec, true},
	} {
		if got := (Key{ModTime: c.modified, ChangeTime: c.changed}).Settled(began); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if (Key{}).Settled(time.Time{}) {
		t.Error("settled before a hashing that began in the year 1")
	}
}

func TestNanoseconds(t *testing.T) {
	const most = math.MaxInt64/1_000_000_000 - 1
	for _, c := range []struct {
		in   timespec
		want int64
		ok   bool
	}{
		{timespec{}, 0, true},
		{timespec{1, 2}, 1_000_000_002, true},
		{timespec{-1, 999_999_999}, -1, true},
		{timespec{most, 999_999_999}, most*1_000_000_000 + 999_999_999, true},
		{timespec{most + 1, 0}, 0, false},
		{timespec{-most, 0}, -most * 1_000_000_000, true},
		{timespec{-most - 1, 0}, 0, false},
		{timespec{math.MaxInt64, 0}, 0, false},
		{timespec{math.MinInt64, 0}, 0, false},
		{timespec{0, -1}, 0, false},
		{timespec{0, 1_000_000_000}, 0, false},
	} {
		if got, ok := c.in.nanoseconds(); got != c.want || ok != c.ok {
			t.Errorf("%+v: %d, %v; want %d, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

// needKeys skips the test where KeyOf always returns false.
func needKeys(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" || runtime.GOOS == "aix" {
		t.Skip("this system has no keys")
	}
}

// keyOf returns the key of the file at path, which must have one.
func keyOf(t *testing.T, path string) Key {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	k, ok := KeyOf(info)
	if !ok {
		t.Fatalf("%q has no key", path)
	}
	return k
}

// nextTick returns once the file system's clock has moved, so that a later
// change has another time.
func nextTick(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "tick")
	modTime := func() time.Time {
		must(t, os.WriteFile(path, []byte{1}, 0o600))
		info, err := os.Stat(path)
		must(t, err)
		return info.ModTime()
	}
	for first := modTime(); modTime().Equal(first); {
		must(t, t.Context().Err())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeyOfChanges(t *testing.T) {
	needKeys(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	other := filepath.Join(dir, "other")
	write := func(path string) error { return os.WriteFile(path, []byte("same"), 0o600) }
	old := time.Unix(1_600_000_000, 123_456_789)
	for _, c := range []struct {
		name   string
		change func() error
		same   bool
	}{
		{"nothing", func() error { return nil }, true},
		{"read", func() error { _, err := os.ReadFile(path); return err }, true},
		{"written with the same bytes", func() error { return write(path) }, false},
		{"cut", func() error { return os.Truncate(path, 3) }, false},
		{"chmod", func() error { return os.Chmod(path, 0o640) }, false},
		{"hard link", func() error { return os.Link(path, other) }, false},
		{"hard link removed", func() error { return os.Remove(other) }, false},
		{"written, and the time set back", func() error {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.WriteFile(path, []byte("sam"), 0o600))
			return os.Chtimes(path, time.Time{}, info.ModTime())
		}, false},
		{"time set", func() error { return os.Chtimes(path, time.Time{}, old) }, false},
		{"replaced by rename", func() error {
			must(t, os.WriteFile(other, []byte("sam"), 0o600))
			must(t, os.Chtimes(other, time.Time{}, old))
			return os.Rename(other, path)
		}, false},
	} {
		if c.name == "nothing" {
			must(t, write(path))
		}
		before := keyOf(t, path)
		nextTick(t, dir)
		must(t, c.change())
		if after := keyOf(t, path); (after == before) != c.same {
			t.Errorf("%s: before %+v, after %+v", c.name, before, after)
		}
	}
	k := keyOf(t, path)
	if k.Size != 3 || k.ModTime != old.UnixNano() || k.Inode == 0 {
		t.Errorf("key %+v, want a size of 3 and the time %d", k, old.UnixNano())
	}
	if now := time.Now(); time.Unix(0, k.ChangeTime).Before(now.Add(-time.Hour)) || time.Unix(0, k.ChangeTime).After(now.Add(time.Hour)) {
		t.Errorf("changed at %d, now %d", k.ChangeTime, now.UnixNano())
	}
}

// TestKeyOfOtherInode has two files that differ only in the inode.
func TestKeyOfOtherInode(t *testing.T) {
	needKeys(t)
	dir := t.TempDir()
	var keys [2]Key
	for i, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, nil, 0o600))
		keys[i] = keyOf(t, path)
	}
	keys[0].ModTime, keys[0].ChangeTime = keys[1].ModTime, keys[1].ChangeTime
	if keys[0] == keys[1] {
		t.Errorf("both are %+v", keys[0])
	}
}

// A fileInfo has made-up values.
type fileInfo struct {
	fs.FileInfo
	size int64
	sys  any
}

func (i fileInfo) Size() int64 { return i.size }
func (i fileInfo) Sys() any    { return i.sys }

func TestKeyOfRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	regular, err := os.Stat(path)
	must(t, err)
	directory, err := os.Stat(filepath.Dir(path))
	must(t, err)
	for name, info := range map[string]fs.FileInfo{
		"a directory":       directory,
		"a device":          deviceInfo(t),
		"no system's stat":  fileInfo{regular, 1, nil},
		"another system":    fileInfo{regular, 1, "stat"},
		"a negative size":   fileInfo{regular, -1, regular.Sys()},
		"a size over 16 Ti": fileInfo{regular, 16<<40 + 1, regular.Sys()},
	} {
		if k, ok := KeyOf(info); ok || k != (Key{}) {
			t.Errorf("%s: %+v, %v", name, k, ok)
		}
	}
}

func deviceInfo(t *testing.T) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(os.DevNull)
	must(t, err)
	return info
}
