package partfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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

// A mode that cannot be set ends it before anything is written.
func TestModeRefused(t *testing.T) {
	mode := fs.FileMode(0o600)
	fsys := modeFS{newTestFS(t)}
	_, err := Open(fsys, Options{Name: "x", Size: 3, ChunkSize: 8, Mode: &mode})
	if e := wantReason(t, err, System); e.Op != "chmod" {
		t.Errorf("error %v, want one of the mode", e)
	}
	entries, err := os.ReadDir(fsys.path)
	if err != nil || len(entries) != 0 {
		t.Errorf("%v, %v is left, want nothing", entries, err)
	}
}

type modeFS struct{ *testFS }

func (m modeFS) Create(name string) (Handle, error) {
	h, err := m.testFS.Create(name)
	return modeHandle{h}, err
}

type modeHandle struct{ Handle }

func (modeHandle) Chmod(fs.FileMode) error { return fs.ErrPermission }
