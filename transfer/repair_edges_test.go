//go:build unix

package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"malcolm/transfer/fetch"

	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
)

// The smallest files are verified and repaired, locally and on the servers.
func TestSmallestFiles(t *testing.T) {
	t.Parallel()
	for _, local := range [][]byte{nil, {1}, {2}, file(chunk+1, 2)} {
		for _, right := range [][]byte{nil, {1}, file(chunk, 1)} {
			t.Run(fmt.Sprintf("%d bytes, want %d", len(local), len(right)), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					l := w.localFile(local)
					cfg := getConfig{Targets: w.holders(right)[0].targets}
					r, err := l.verify(cfg)
					same := string(local) == string(right)
					if r == nil || r.Right() != same || (err == nil) != same || r.LocalSize != int64(len(local)) {
						t.Fatalf("verify: %+v, %v", r, err)
					}
					o := l.repair(context.Background(), cfg, nil)
					o.has(localName, right)
					if o.AlreadyRight != same {
						t.Errorf("already right: %t, want %t", o.AlreadyRight, same)
					}
				})
			})
		}
	}
}

// Anything but a file is refused before a server is asked, and nothing is
// opened that waits.
func TestRepairNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo, folder, missing := filepath.Join(dir, "fifo"), filepath.Join(dir, "folder"), filepath.Join(dir, "missing")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	for _, path := range []string{fifo, folder, folder + "/", missing, "/dev/null"} {
		for name, do := range map[string]func() error{
			"verify":          func() error { _, err := Verify(t.Context(), getConfig{}, path); return err },
			"verify checksum": func() error { _, err := fetch.VerifyChecksum(t.Context(), path, [32]byte{}, nil); return err },
			"repair":          func() error { _, err := Repair(t.Context(), getConfig{}, path); return err },
		} {
			if e, ok := errors.AsType[*localfile.Error](do()); !ok || e.Path != path || fetch.KindOf(e) != fetch.KindLocal || e.Op == "serve" {
				t.Errorf("%s %q: error = %v, want one of the file", name, path, e)
			}
		}
	}
	if after := tree(t, dir); !maps.Equal(after, before) {
		t.Errorf("the directory was %v and is %v", before, after)
	}
}

// A file that cannot be replaced is refused before anything is fetched. A right
// one needs no replacing.
func TestRepairNotReplaceable(t *testing.T) {
	data := file(4*chunk, 1)
	for _, right := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			local := data
			if !right {
				local = corrupted(t, data, 5)
			}
			l := w.localFile(local)
			before := tree(t, l.dir)
			s := w.holders(data)[0]
			o := l.repair(context.Background(), getConfig{Targets: s.targets, open: func(root *os.Root) partfile.FS {
				return readOnlyFS{partfile.Dir(root)}
			}}, nil)
			if right {
				if o.err != nil || !o.AlreadyRight {
					t.Errorf("error %v of a file that is right", o.err)
				}
			} else if e := fails[*partfile.Error](o, fetch.KindLocal); !errors.Is(e, syscall.EROFS) {
				t.Errorf("error = %v, want that of the file system", e)
			}
			if s.src.sent() != 0 {
				t.Errorf("%d bytes were fetched", s.src.sent())
			}
			if after := tree(t, l.dir); !maps.Equal(after, before) {
				t.Errorf("the directory was %v and is %v", before, after)
			}
		})
	}
}

// readOnlyFS is a directory of a read-only file system.
type readOnlyFS struct{ partfile.FS }

func (readOnlyFS) Obstacle(string) error { return syscall.EROFS }
