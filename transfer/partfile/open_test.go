package partfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

func TestLook(t *testing.T) {
	fsys := newTestFS(t)
	look := func(want Found) {
		t.Helper()
		got, err := Look(fsys, "x")
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	}
	look(Found{})
	fsys.put(t, "x", "four")
	fsys.put(t, "x.part", "")
	look(Found{Final: Regular, FinalSize: 4, Part: Regular})
	os.Remove(filepath.Join(fsys.path, "x"))
	os.Mkdir(filepath.Join(fsys.path, "x"), 0o755)
	look(Found{Final: Directory, Part: Regular})
	if got := fsys.onlyCalls("open", "openwrite", "create", "lock"); len(got) != 0 {
		t.Errorf("the look opened something: %q", got)
	}
}

func TestNamesArePlain(t *testing.T) {
	fsys := newTestFS(t)
	for _, name := range []string{"", ".", "..", "a/b", "../x", "/x", "x/", "a\x00b"} {
		_, err := Look(fsys, name)
		wantReason(t, err, Internal)
		_, err = Open(context.Background(), fsys, Options{Name: name, ChunkSize: 1})
		wantReason(t, err, Internal)
		_, _, err = OpenFinal(fsys, name)
		wantReason(t, err, Internal)
	}
	if len(fsys.calls) != 0 {
		t.Errorf("touched the disk: %q", fsys.calls)
	}
}

func TestOpenRefusesBadOptions(t *testing.T) {
	fsys := newTestFS(t)
	for _, o := range []Options{
		{Name: "x", Size: -1, ChunkSize: 1},
		{Name: "x", Size: 1},
		{Name: "x", Size: 1, ChunkSize: -1},
		{Name: "x", Size: 1, ChunkSize: 1, Action: AlreadyRight},
		{Name: "x", Size: 1, ChunkSize: 1, Action: Refuse},
		{Name: "x", Size: maxChunks + 1, ChunkSize: 1},
		{Name: "x", Size: math.MaxInt64, ChunkSize: math.MaxInt64},
	} {
		_, err := Open(context.Background(), fsys, o)
		wantReason(t, err, Internal)
	}
	fsys.wantNames(t)
}

func TestOpenActions(t *testing.T) {
	const right = "0123456789"
	for _, c := range []struct {
		name   string
		left   string // content of the part file; "-": no part file
		action Action
		want   string // content behind Open, zeros shown as '.'
		prior  int64
		reason Reason // of the error, unless that is System
	}{
		{"fetch", "-", Fetch, "..........", 0, System},
		{"fetch over a part", "01", Fetch, "01", 0, Exists},
		{"resume nothing", "-", Resume, "..........", 0, System},
		{"resume short", "01", Resume, "01........", 2, System},
		{"resume empty", "", Resume, "..........", 0, System},
		{"resume whole", right, Resume, right, 10, System},
		{"resume grown", right + "abc", Resume, right, 10, System},
		{"start over", right + "abc", StartOver, "..........", 0, System},
		{"start over nothing", "-", StartOver, "..........", 0, System},
	} {
		for _, sparse := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				fsys := newTestFS(t)
				if c.left != "-" {
					fsys.put(t, "x.part", c.left)
				}
				f, err := Open(context.Background(), fsys, Options{
					Name: "x", Size: int64(len(right)), ChunkSize: 4, Action: c.action, SkipPreallocate: sparse,
				})
				if c.reason != System {
					wantReason(t, err, c.reason)
				} else {
					if err != nil {
						t.Fatal(err)
					}
					if got := f.Prior(); got != c.prior {
						t.Errorf("%d bytes of before, want %d", got, c.prior)
					}
					if got, want := f.Chunks(), 3; got != want {
						t.Errorf("%d chunks, want %d", got, want)
					}
					if sparse && !f.Sparse() {
						t.Error("preallocated what was to stay sparse")
					}
					if err := f.handle.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if want := strings.ReplaceAll(c.want, ".", "\x00"); c.reason == System {
					fsys.wantPart(t, want)
				} else {
					fsys.want(t, "x.part", want)
				}
				if c.reason != System {
					fsys.wantNames(t, "x.part")
				} else {
					fsys.wantNames(t, "x.part", "x.part.journal")
				}
			})
		}
	}
}

func TestOpenLocked(t *testing.T) {
	fsys := newTestFS(t)
	o := Options{Name: "x", Size: 10, ChunkSize: 4}
	f := openTest(t, fsys, o)
	for _, o.Action = range []Action{Resume, StartOver} {
		_, err := Open(context.Background(), fsys, o)
		wantReason(t, err, Locked)
	}
	fsys.wantPart(t, strings.Repeat("\x00", 10))
	claim, _ := f.Claim(0)
	if err := claim.WriteAt([]byte("0123"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	o.Action = Resume
	openTest(t, fsys, o)
	fsys.wantPart(t, "0123"+strings.Repeat("\x00", 6))
}

func TestLockedNamesTheHolder(t *testing.T) {
	fsys := newTestFS(t)
	f := openTest(t, fsys, testOptions(Fetch))
	host, _ := os.Hostname()
	_, err := Open(context.Background(), fsys, testOptions(Resume))
	e := wantReason(t, err, Locked)
	if e.Holder.Host != host || e.Holder.PID != int64(os.Getpid()) || e.Holder.Start.IsZero() {
		t.Errorf("holder %+v, want this process", e.Holder)
	}
	for _, want := range []string{fmt.Sprintf("process %d on %q", os.Getpid(), host), e.Holder.Start.Format("2006-01-02T15:04")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	for name, journal := range map[string][]byte{"zeros": make([]byte, 2000), "short": []byte("x"), "gone": nil} {
		os.Remove(filepath.Join(fsys.path, "x.part.journal"))
		if journal != nil {
			fsys.put(t, "x.part.journal", string(journal))
		}
		_, err := Open(context.Background(), fsys, testOptions(Resume))
		if e := wantReason(t, err, Locked); e.Holder != (Holder{}) || !errors.Is(err, errLocked) {
			t.Errorf("%s: holder %+v, want none", name, e.Holder)
		}
	}
	hostile := testHolder
	hostile.Host = "evil\x1b[2J\n" + strings.Repeat("!", 400)
	fsys.put(t, "x.part.journal", string(hostile.append(testHeader.append(nil))))
	_, err = Open(context.Background(), fsys, testOptions(Resume))
	if text := err.Error(); strings.ContainsAny(text, "\x1b\n") || len(text) > 600 {
		t.Errorf("error %q is not fit for a terminal", text)
	}
	f.Close()
}

// Another run takes the new file's lock before we do. The file is theirs, and
// stays.
func TestLockLostAtCreation(t *testing.T) {
	fsys := newTestFS(t)
	fsys.before = func(op, name string) error {
		if op != "lock" || fsys.called("lock") > 1 {
			return nil
		}
		h, err := fsys.FS.OpenWrite(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		if locked, err := h.Lock(); !locked {
			t.Fatal("not locked:", err)
		}
		return nil
	}
	_, err := Open(context.Background(), fsys, Options{Name: "x", Size: 10, ChunkSize: 4})
	wantReason(t, err, Locked)
	fsys.wantNames(t, "x.part")
}

// replaceAt replaces name by what put makes, the first times times that the
// operation when is called; always if times is negative. The old file is kept
// elsewhere, as its inode must not be used again at once.
func replaceAt(t *testing.T, fsys *testFS, when string, times int, put func()) {
	kept := filepath.Join(t.TempDir(), "kept")
	fsys.before = func(op, name string) error {
		if op != when || times == 0 {
			return nil
		}
		times--
		kept += "+"
		if err := os.Rename(filepath.Join(fsys.path, name), kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		put()
		return nil
	}
}

// runQuickly runs a subtest in virtual time: when a file was replaced, Open
// waits to make sure of that.
func runQuickly(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestReplacedBetweenLookAndLock(t *testing.T) {
	o := Options{Name: "x", Size: 2, ChunkSize: 4, Action: Resume}
	for _, op := range []string{"openwrite", "lock"} {
		runQuickly(t, op, func(t *testing.T) {
			fsys := newTestFS(t)
			fsys.put(t, "x.part", "01")
			replaceAt(t, fsys, op, 1, func() { fsys.put(t, "x.part", "23") })
			f := openTest(t, fsys, o)
			got := make([]byte, 2)
			if _, err := f.ReadAt(got, 0); err != nil || string(got) != "23" {
				t.Errorf("%q, %v, want the file that has the name", got, err)
			}
			if err := f.stillNamed("test"); err != nil {
				t.Error(err)
			}
		})
	}
	runQuickly(t, "again and again", func(t *testing.T) {
		fsys := newTestFS(t)
		fsys.put(t, "x.part", "01")
		replaceAt(t, fsys, "lock", -1, func() { fsys.put(t, "x.part", "23") })
		_, err := Open(context.Background(), fsys, o)
		wantReason(t, err, Changed)
		fsys.want(t, "x.part", "23")
	})
	t.Run("removed", func(t *testing.T) {
		fsys := newTestFS(t)
		fsys.put(t, "x.part", "01")
		replaceAt(t, fsys, "openwrite", 1, func() {})
		openTest(t, fsys, o)
		fsys.wantPart(t, "\x00\x00")
	})
	t.Run("appeared", func(t *testing.T) {
		fsys := newTestFS(t)
		replaceAt(t, fsys, "create", 1, func() { fsys.put(t, "x.part", "01") })
		openTest(t, fsys, o)
		fsys.wantPart(t, "01")
	})
	t.Run("appeared before a fetch", func(t *testing.T) {
		fsys := newTestFS(t)
		replaceAt(t, fsys, "create", 1, func() { fsys.put(t, "x.part", "01") })
		o := o
		o.Action = Fetch
		_, err := Open(context.Background(), fsys, o)
		wantReason(t, err, Exists)
		fsys.want(t, "x.part", "01")
	})
}

func TestOpenFinal(t *testing.T) { synctest.Test(t, testOpenFinal) }

func testOpenFinal(t *testing.T) {
	fsys := newTestFS(t)
	_, _, err := OpenFinal(fsys, "x")
	if wantReason(t, err, System); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want %v", err, fs.ErrNotExist)
	}
	fsys.put(t, "x", "four")
	r, size, err := OpenFinal(fsys, "x")
	if err != nil || size != 4 {
		t.Fatal(size, err)
	}
	got := make([]byte, 4)
	if _, err := r.ReadAt(got, 0); err != nil || string(got) != "four" {
		t.Errorf("%q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	replaceAt(t, fsys, "open", 1, func() { fsys.put(t, "x", "5") })
	_, _, err = OpenFinal(fsys, "x")
	wantReason(t, err, Changed)
	os.Mkdir(filepath.Join(fsys.path, "d"), 0o755)
	_, _, err = OpenFinal(fsys, "d")
	wantReason(t, err, NotRegular)
}

func TestNoLitter(t *testing.T) {
	for _, c := range []struct {
		name   string
		left   string
		action Action
		use    func(f *File)
		keeps  bool
	}{
		{"new, unused", "-", Fetch, func(*File) {}, false},
		{"new, claimed", "-", Fetch, func(f *File) { f.Claim(0) }, false},
		{"new, resumed, unused", "-", Resume, func(*File) {}, false},
		{"emptied, unused", "01", StartOver, func(*File) {}, false},
		{"old, unused", "01", Resume, func(*File) {}, true},
		{"new, written", "-", Fetch, func(f *File) { c, _ := f.Claim(0); c.WriteAt([]byte("0"), 0) }, true},
		{"new, marked", "-", Fetch, func(f *File) { f.MarkExisting(0, [16]byte{}) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := newTestFS(t)
			if c.left != "-" {
				fsys.put(t, "x.part", c.left)
			}
			f := openTest(t, fsys, Options{Name: "x", Size: 10, ChunkSize: 4, Action: c.action})
			c.use(f)
			for range 2 {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			for _, op := range []string{"close", "close journal"} {
				if n := fsys.called(op); n != 1 {
					t.Errorf("%s %d times", op, n)
				}
			}
			switch {
			case c.keeps && c.left == "-":
				fsys.wantNames(t, "x.part", "x.part.journal")
			case c.keeps:
				fsys.wantNames(t, "x.part")
			default:
				fsys.wantNames(t)
			}
		})
	}
	runQuickly(t, "replaced meanwhile", func(t *testing.T) {
		fsys := newTestFS(t)
		f := openTest(t, fsys, Options{Name: "x", Size: 10, ChunkSize: 4})
		os.Remove(filepath.Join(fsys.path, "x.part"))
		fsys.put(t, "x.part", "somebody else's")
		wantReason(t, f.Close(), Changed)
		fsys.want(t, "x.part", "somebody else's")
	})
}
