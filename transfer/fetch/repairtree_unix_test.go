//go:build unix

package fetch

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// What no tree can have is not replaced, and nothing is written through it.
func TestRepairTreeOverWhatIsNoEntry(t *testing.T) {
	out := t.TempDir()
	for _, test := range []struct {
		name, path string
		make       func(path string) error
	}{
		{"a link that leads out", "a", func(path string) error { return os.Symlink(out, path) }},
		{"a link through another one", "a", func(path string) error {
			return errors.Join(os.Symlink("b", path+"-link"), os.Symlink("a-link/deep", path))
		}},
		{"a pipe", "same", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		{"a pipe above", "b/deep", func(path string) error { return unix.Mkfifo(path, 0o600) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, dir := varied(), t.TempDir()
			m.write(t, dir)
			at := filepath.Join(dir, test.path)
			if err := errors.Join(os.RemoveAll(at), test.make(at)); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(at)
			if err != nil {
				t.Fatal(err)
			}
			for _, remove := range []bool{false, true} {
				_, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{Delete: remove, MaxDelete: 10})
				if e, ok := errors.AsType[*InTheWayError](err); !ok || e.Path != at {
					t.Errorf("%s: error = %v", test.name, err)
				}
			}
			if after, err := os.Lstat(at); err != nil || !os.SameFile(before, after) {
				t.Errorf("%s: it is gone: %v", test.name, err)
			}
			if list, err := os.ReadDir(out); err != nil || len(list) > 0 {
				t.Errorf("%s: %d entries outside, %v", test.name, len(list), err)
			}
		})
	}
}
