package partfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The finished file has the modification time that was asked for. It is set
// before the sync and the rename.
func TestModTime(t *testing.T) {
	for _, want := range []time.Time{time.Unix(1_000_000_000, 0), time.Unix(1_700_000_000, 123_456_700), time.Unix(-1, 0)} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		f := openTest(t, Dir(root), Options{Name: "x", Size: 3, ChunkSize: 8, ModTime: &want})
		put(t, f, 0, []byte("abc"))
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "x"))
		if err != nil || !info.ModTime().Equal(want) {
			t.Errorf("%v, modification time %v, want %v", err, info.ModTime(), want)
		}
	}
}

// A timeFS records what was done before the time was set.
type timeFS struct {
	*testFS
	err   error
	synch int // calls of Sync before
	set   int
}

func (f *timeFS) SetModTime(name string, _ time.Time) error {
	f.set++
	f.synch = f.called("sync")
	if name != "x.part" {
		return errors.New("another file")
	}
	return f.err
}

func TestModTimeIsDurable(t *testing.T) {
	fsys := &timeFS{testFS: newTestFS(t)}
	f := openTest(t, fsys, Options{Name: "x", Size: 3, ChunkSize: 8, ModTime: new(time.Time)})
	put(t, f, 0, []byte("abc"))
	before := fsys.called("sync")
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if fsys.set != 1 || fsys.synch != before || fsys.called("sync") == before {
		t.Errorf("set %d times, behind %d of %d syncs, want once before the last", fsys.set, fsys.synch, fsys.called("sync"))
	}
}

// A time that cannot be set is reported once the file has its name.
func TestModTimeRefused(t *testing.T) {
	fsys := &timeFS{testFS: newTestFS(t), err: os.ErrPermission}
	var lacks []Lack
	f := openTest(t, fsys, Options{Name: "x", Size: 3, ChunkSize: 8, ModTime: new(time.Time), Lacks: note(&lacks)})
	put(t, f, 0, []byte("abc"))
	if path, err := f.Commit(); path == "" || err != nil {
		t.Fatalf("path %q, error %v", path, err)
	}
	if want := []Lack{{Times, os.ErrPermission}}; !slices.Equal(lacks, want) {
		t.Errorf("told of %v, want %v", lacks, want)
	}
	fsys.want(t, "x", "abc")
	fsys.wantNames(t, "x")
}
