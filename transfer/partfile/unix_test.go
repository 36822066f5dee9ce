//go:build unix

package partfile

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// obstacles puts each kind of file that is no part file under a name. If one
// leads to a file, that is "victim".
var obstacles = map[string]func(path string) error{
	"symlink":       func(path string) error { return os.Symlink("victim", path) },
	"dangling link": func(path string) error { return os.Symlink("nowhere", path) },
	"hard link":     func(path string) error { return os.Link(filepath.Join(filepath.Dir(path), "victim"), path) },
	"FIFO":          func(path string) error { return unix.Mkfifo(path, 0o644) },
	"directory":     func(path string) error { return os.Mkdir(path, 0o755) },
}

func TestOpenRefusesWhatIsNoPartFile(t *testing.T) {
	for name, put := range obstacles {
		for _, action := range []Action{Resume, StartOver, Fetch} {
			t.Run(name, func(t *testing.T) {
				fsys := newTestFS(t)
				fsys.put(t, "victim", "precious")
				if err := put(filepath.Join(fsys.path, "x.part")); err != nil {
					t.Fatal(err)
				}
				want := NotRegular
				if action == Fetch {
					want = Exists
				}
				_, err := Open(context.Background(), fsys, Options{Name: "x", Size: 3, ChunkSize: 4, Action: action})
				wantReason(t, err, want)
				fsys.want(t, "victim", "precious")
				fsys.wantNames(t, "victim", "x.part")
				found, err := Look(fsys, "x")
				if want := (name == "hard link"); err != nil || (found.Part == Regular) != want {
					t.Errorf("found %+v, %v", found, err)
				}
			})
		}
	}
}

// A file that is not a journal is always refused, and neither followed nor
// written to.
func TestRefusesWhatIsNoJournal(t *testing.T) {
	for name, put := range obstacles {
		for _, action := range []Action{Resume, StartOver, Fetch} {
			t.Run(name, func(t *testing.T) {
				fsys := newTestFS(t)
				fsys.put(t, "victim", string(testJournal(1)))
				names := []string{"victim", "x.part.journal"}
				if action != Fetch {
					fsys.put(t, "x.part", "left")
					names = []string{"victim", "x.part", "x.part.journal"}
				}
				if err := put(filepath.Join(fsys.path, "x.part.journal")); err != nil {
					t.Fatal(err)
				}
				_, err := Look(fsys, "x")
				if e := wantReason(t, err, NotRegular); filepath.Base(e.Name) != "x.part.journal" {
					t.Errorf("error %v, want the journal's name", e)
				}
				_, err = Open(context.Background(), fsys, testOptions(action))
				wantReason(t, err, NotRegular)
				wantReason(t, FinishLeftover(fsys, "x"), NotRegular)
				fsys.want(t, "victim", string(testJournal(1)))
				fsys.wantNames(t, names...)
				if action != Fetch {
					fsys.want(t, "x.part", "left")
				}
			})
		}
	}
}

// The same, if it appears while the journal is opened.
func TestJournalReplacedByWhatIsNone(t *testing.T) {
	for name, put := range obstacles {
		fsys := newTestFS(t)
		fsys.put(t, "victim", string(testJournal(1)))
		fsys.put(t, "x.part", "left")
		fsys.put(t, "x.part.journal", string(testJournal(1)))
		replaceAt(t, fsys, "openwrite journal", 1, func() {
			if err := put(filepath.Join(fsys.path, "x.part.journal")); err != nil {
				t.Fatal(err)
			}
		})
		f, err := Open(context.Background(), fsys, testOptions(Resume))
		if err == nil && f.Claimed(1) {
			t.Errorf("%s: claims what the victim says", name)
		}
		if err == nil {
			f.Close()
		}
		fsys.want(t, "victim", string(testJournal(1)))
	}
}

// The same, if it appears between the look and the open or the lock.
func TestReplacedByWhatIsNoPartFile(t *testing.T) {
	for name, put := range obstacles {
		for _, op := range []string{"openwrite", "lock"} {
			t.Run(name+" at "+op, func(t *testing.T) {
				fsys := newTestFS(t)
				fsys.put(t, "victim", "precious")
				fsys.put(t, "x.part", "01")
				replaceAt(t, fsys, op, 1, func() {
					if err := put(filepath.Join(fsys.path, "x.part")); err != nil {
						t.Fatal(err)
					}
				})
				_, err := Open(context.Background(), fsys, Options{Name: "x", Size: 3, ChunkSize: 4, Action: StartOver})
				// A directory cannot even be opened for
				// writing.
				if reason := ReasonOf(err); err == nil || reason != NotRegular && (name != "directory" || op != "openwrite") {
					t.Errorf("error %v, want one of reason %d", err, NotRegular)
				}
				fsys.want(t, "victim", "precious")
				fsys.wantNames(t, "victim", "x.part")
			})
		}
	}
}

func TestOpenFinalIsNoTrap(t *testing.T) {
	for name, put := range obstacles {
		if name == "hard link" {
			continue // a finished file may have links
		}
		fsys := newTestFS(t)
		fsys.put(t, "victim", "precious")
		fsys.put(t, "x", "old")
		path := filepath.Join(fsys.path, "x")
		replaceAt(t, fsys, "open", 1, func() {
			if err := put(path); err != nil {
				t.Fatal(err)
			}
		})
		_, _, err := OpenFinal(fsys, "x")
		if name == "dangling link" {
			wantReason(t, err, System)
		} else {
			wantReason(t, err, Changed)
		}
		_, _, err = OpenFinal(fsys, "x")
		wantReason(t, err, NotRegular)
	}
}

func TestModeIsTheUmasks(t *testing.T) {
	for _, c := range []struct {
		umask int
		want  os.FileMode
	}{{0o022, 0o644}, {0o077, 0o600}, {0o002, 0o664}} {
		fsys := newTestFS(t)
		old := unix.Umask(c.umask)
		f, err := Open(context.Background(), fsys, Options{Name: "x", Size: 0, ChunkSize: 4})
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		info, err := os.Lstat(filepath.Join(fsys.path, "x"))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != c.want {
			t.Errorf("umask %03o: mode %03o, want %03o", c.umask, got, c.want)
		}
	}
}

// Only a regular file is replaced: a forced download does not rename over a
// link or a FIFO.
func TestReplaceSparesWhatIsNoFile(t *testing.T) {
	for name, put := range obstacles {
		if name == "hard link" {
			continue // the name is replaced, the other name keeps its bytes
		}
		fsys := newTestFS(t)
		fsys.put(t, "victim", "precious")
		f := filled(t, fsys, Options{Name: "x", Replace: true}, "new")
		if err := put(filepath.Join(fsys.path, "x")); err != nil {
			t.Fatal(err)
		}
		_, err := f.Commit()
		wantReason(t, err, NotRegular)
		fsys.want(t, "x.part", "new")
		fsys.want(t, "victim", "precious")
	}
}

// Only one answer means that somebody else has the lock; every other failure is
// an error.
func TestTryLockFailure(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	fd := w.Fd()
	w.Close()
	if locked, err := flock(fd); locked || err == nil {
		t.Errorf("locked a closed descriptor: %t, %v", locked, err)
	}
}
