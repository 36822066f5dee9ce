package partfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

func TestMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such permissions here")
	}
	for _, mode := range []fs.FileMode{0o600, 0o644, 0o777, 0o444, 0o200, 0} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		f := openTest(t, Dir(root), Options{Name: "x", Size: 3, ChunkSize: 8, Mode: &mode})
		wantMode(t, filepath.Join(dir, "x.part"), mode|0o600)
		put(t, f, 0, []byte("abc"))
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		wantMode(t, filepath.Join(dir, "x"), mode)
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has the mode %04o, want %04o", filepath.Base(path), got, want)
	}
}

// A mode that cannot be set is told of once the file has its name.
func TestModeRefused(t *testing.T) {
	mode := fs.FileMode(0o600)
	fsys := modeFS{newTestFS(t)}
	var lacks []Lack
	f := openTest(t, fsys, Options{Name: "x", Size: 3, ChunkSize: 8, Mode: &mode, Lacks: note(&lacks)})
	put(t, f, 0, []byte("abc"))
	if len(lacks) != 0 {
		t.Errorf("told of %v before the file has its name", lacks)
	}
	if path, err := f.Commit(); path == "" || err != nil {
		t.Fatalf("path %q, error %v", path, err)
	}
	if want := []Lack{{Modes, fs.ErrPermission}}; !slices.Equal(lacks, want) {
		t.Errorf("told of %v, want %v", lacks, want)
	}
	fsys.want(t, "x", "abc")
	fsys.wantNames(t, "x")
}

type modeFS struct{ *testFS }

func (m modeFS) Create(name string) (Handle, error) {
	h, err := m.testFS.Create(name)
	return modeHandle{h}, err
}

type modeHandle struct{ Handle }

func (modeHandle) Chmod(fs.FileMode) error { return fs.ErrPermission }
