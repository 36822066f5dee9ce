package partfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
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
	look(Found{Final: Other, Part: Regular})
	if got := fsys.onlyCalls("open", "openwrite", "create", "lock"); len(got) != 0 {
		t.Errorf("the look opened something: %q", got)
	}
}

func TestNamesArePlain(t *testing.T) {
	fsys := newTestFS(t)
	for _, name := range []string{"", ".", "..", "a/b", "../x", "/x", "x/", "a\x00b"} {
		_, err := Look(fsys, name)
		wantReason(t, err, Internal)
		_, err = Open(fsys, Options{Name: name, ChunkSize: 1})
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
	} {
		_, err := Open(fsys, o)
		wantReason(t, err, Internal)
	}
	fsys.wantNames(t)
}

func TestOpenActions(t *testing.T) {
	const right = "0123456789"
	for _, c := range []struct {
		name   string
		left   string // content of the part file; "-" for none
		action Action
		want   string // content behind Open, zeros shown as '.'
		prior  int64
		reason Reason // of the error, if it is not System
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
				f, err := Open(fsys, Options{
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
				fsys.want(t, "x.part", strings.ReplaceAll(c.want, ".", "\x00"))
				fsys.wantNames(t, "x.part")
			})
		}
	}
}

func TestPreallocates(t *testing.T) {
	const size = 5 << 20
	fsys := newTestFS(t)
	f := openTest(t, fsys, Options{Name: "x", Size: size, ChunkSize: 1 << 20})
	info, err := f.handle.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != size {
		t.Errorf("%d bytes long, want %d", info.Size, size)
	}
	if !f.Sparse() && info.Allocated < size {
		t.Errorf("%d bytes allocated, want %d", info.Allocated, size)
	}
	if n := fsys.called("allocate"); n != 1 {
		t.Errorf("%d allocations, want 1", n)
	}
}

func TestPreallocationUnsupported(t *testing.T) {
	fsys := newTestFS(t)
	fsys.before = func(op, _ string) error {
		if op == "allocate" {
			return errors.ErrUnsupported
		}
		return nil
	}
	f := openTest(t, fsys, Options{Name: "x", Size: 10, ChunkSize: 4})
	if !f.Sparse() {
		t.Error("not sparse")
	}
	fsys.want(t, "x.part", strings.Repeat("\x00", 10))
}

// A reservation that fails half-way gives back what it took and keeps what was there.
func TestPreallocationFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		left   string
		action Action
		names  []string
	}{
		{"fetch", "-", Fetch, nil},
		{"resume", "01", Resume, []string{"x.part"}},
		{"start over", "01", StartOver, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := newTestFS(t)
			if c.left != "-" {
				fsys.put(t, "x.part", c.left)
			}
			fsys.before = func(op, name string) error {
				if op != "allocate" {
					return nil
				}
				if err := os.Truncate(filepath.Join(fsys.path, name), 7); err != nil {
					t.Fatal(err)
				}
				return syscall.ENOSPC
			}
			_, err := Open(fsys, Options{Name: "x", Size: 10, ChunkSize: 4, Action: c.action})
			wantReason(t, err, System)
			if !errors.Is(err, syscall.ENOSPC) || !IsDiskError(err) {
				t.Errorf("error %v, want a full disk", err)
			}
			fsys.wantNames(t, c.names...)
			if c.names != nil {
				fsys.want(t, "x.part", c.left)
			}
		})
	}
}

func TestNoSpaceBeforeAnythingIsReserved(t *testing.T) {
	for _, c := range []struct {
		name   string
		left   string
		action Action
	}{
		{"fetch", "-", Fetch},
		{"resume", "01", Resume},
		{"start over", "01", StartOver},
		{"cut", strings.Repeat("x", 30), Resume},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := newTestFS(t)
			if c.left != "-" {
				fsys.put(t, "x.part", c.left)
			}
			fsys.before = func(op, _ string) error {
				if op == "free" {
					return fixedFree(5)
				}
				return nil
			}
			const size = 1 << 20
			_, err := Open(fsys, Options{Name: "x", Size: size, ChunkSize: size, Action: c.action})
			e := wantReason(t, err, NoSpace)
			if e.Have != 5 || e.Need <= size-1<<16 || e.Need > size || !IsDiskError(err) {
				t.Errorf("need %d, have %d, want about %d and 5", e.Need, e.Have, size)
			}
			if got := fsys.onlyCalls("allocate", "truncate", "write"); len(got) != 0 {
				t.Errorf("changed the file before the refusal: %q", got)
			}
			if c.left == "-" {
				fsys.wantNames(t)
			} else {
				fsys.want(t, "x.part", c.left)
			}
		})
	}
}

// What the part file occupies already is not asked for again.
func TestSpaceOfThePartCounts(t *testing.T) {
	const size = 1 << 20
	fsys := newTestFS(t)
	fsys.put(t, "x.part", strings.Repeat("x", size))
	fsys.before = func(op, name string) error {
		if op == "free" {
			return fixedFree(size / 2)
		}
		return nil
	}
	h, err := fsys.FS.OpenWrite("x.part")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Sync(); err != nil { // delayed allocation ends
		t.Fatal(err)
	}
	for _, action := range []Action{Resume, StartOver} {
		f, err := Open(fsys, Options{Name: "x", Size: size + 100, ChunkSize: size, Action: action})
		if err != nil {
			t.Fatal(err)
		}
		f.handle.Close()
	}
	if fsys.called("free") == 0 {
		t.Error("free space was not asked for")
	}
}

func TestSpaceCheckLeftOut(t *testing.T) {
	fsys := newTestFS(t)
	fsys.before = func(op, _ string) error {
		if op == "free" {
			return errors.ErrUnsupported
		}
		return nil
	}
	openTest(t, fsys, Options{Name: "x", Size: 10, ChunkSize: 4})
	fsys.forget()
	openTest(t, fsys, Options{Name: "y", Size: 10, ChunkSize: 4, SkipSpaceCheck: true})
	if n := fsys.called("free"); n != 0 {
		t.Errorf("free space asked for %d times, want 0", n)
	}
}

func TestSpaceIsReservedInSteps(t *testing.T) {
	const size = 2*allocateStep + 5
	fsys := newTestFS(t)
	var next int64
	f := &File{fs: fsys, part: "x.part", size: size, handle: allocator(func(off, n int64) error {
		if off != next || n <= 0 || n > allocateStep {
			t.Errorf("allocation of %d at %d, want one at %d", n, off, next)
		}
		next = off + n
		return nil
	})}
	if err := f.reserve(); err != nil {
		t.Fatal(err)
	}
	if next != size {
		t.Errorf("%d bytes reserved, want %d", next, size)
	}
}

type allocator func(off, n int64) error

func (a allocator) Allocate(off, n int64) error { return a(off, n) }

func (allocator) ReadAt([]byte, int64) (int, error)  { panic("read") }
func (allocator) WriteAt([]byte, int64) (int, error) { panic("write") }
func (allocator) Close() error                       { panic("close") }
func (allocator) Stat() (Info, error)                { panic("stat") }
func (allocator) Lock() (bool, error)                { panic("lock") }
func (allocator) Truncate(int64) error               { panic("truncate") }
func (allocator) Datasync() error                    { panic("datasync") }
func (allocator) Sync() error                        { panic("sync") }

func TestOpenLocked(t *testing.T) {
	fsys := newTestFS(t)
	o := Options{Name: "x", Size: 10, ChunkSize: 4}
	f := openTest(t, fsys, o)
	for _, o.Action = range []Action{Resume, StartOver} {
		_, err := Open(fsys, o)
		wantReason(t, err, Locked)
	}
	fsys.want(t, "x.part", strings.Repeat("\x00", 10))
	claim, _ := f.Claim(0)
	if err := claim.WriteAt([]byte("0123"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	o.Action = Resume
	openTest(t, fsys, o)
	fsys.want(t, "x.part", "0123"+strings.Repeat("\x00", 6))
}

// Another run takes the new file's lock before we do: the file is theirs, and stays.
func TestLockLostAtCreation(t *testing.T) {
	fsys := newTestFS(t)
	fsys.before = func(op, name string) error {
		if op != "lock" {
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
	_, err := Open(fsys, Options{Name: "x", Size: 10, ChunkSize: 4})
	wantReason(t, err, Locked)
	fsys.wantNames(t, "x.part")
}

// replaceAt puts something else in the place of name when op is called for the first times times; always if negative.
// What was there is kept elsewhere: its inode must not be used again at once.
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

func TestReplacedBetweenLookAndLock(t *testing.T) {
	o := Options{Name: "x", Size: 2, ChunkSize: 4, Action: Resume}
	for _, op := range []string{"openwrite", "lock"} {
		t.Run(op, func(t *testing.T) {
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
	t.Run("again and again", func(t *testing.T) {
		fsys := newTestFS(t)
		fsys.put(t, "x.part", "01")
		replaceAt(t, fsys, "lock", -1, func() { fsys.put(t, "x.part", "23") })
		_, err := Open(fsys, o)
		wantReason(t, err, Changed)
		fsys.want(t, "x.part", "23")
	})
	t.Run("removed", func(t *testing.T) {
		fsys := newTestFS(t)
		fsys.put(t, "x.part", "01")
		replaceAt(t, fsys, "openwrite", 1, func() {})
		openTest(t, fsys, o)
		fsys.want(t, "x.part", "\x00\x00")
	})
	t.Run("appeared", func(t *testing.T) {
		fsys := newTestFS(t)
		replaceAt(t, fsys, "create", 1, func() { fsys.put(t, "x.part", "01") })
		openTest(t, fsys, o)
		fsys.want(t, "x.part", "01")
	})
	t.Run("appeared before a fetch", func(t *testing.T) {
		fsys := newTestFS(t)
		replaceAt(t, fsys, "create", 1, func() { fsys.put(t, "x.part", "01") })
		o := o
		o.Action = Fetch
		_, err := Open(fsys, o)
		wantReason(t, err, Exists)
		fsys.want(t, "x.part", "01")
	})
}

func TestOpenFinal(t *testing.T) {
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
		{"new, marked", "-", Fetch, func(f *File) { f.MarkExisting(0) }, true},
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
			if n := fsys.called("close"); n != 1 {
				t.Errorf("closed %d times", n)
			}
			if c.keeps {
				fsys.wantNames(t, "x.part")
			} else {
				fsys.wantNames(t)
			}
		})
	}
	t.Run("replaced meanwhile", func(t *testing.T) {
		fsys := newTestFS(t)
		f := openTest(t, fsys, Options{Name: "x", Size: 10, ChunkSize: 4})
		os.Remove(filepath.Join(fsys.path, "x.part"))
		fsys.put(t, "x.part", "somebody else's")
		wantReason(t, f.Close(), Changed)
		fsys.want(t, "x.part", "somebody else's")
	})
}

// A file system without locks: the new file goes again.
func TestLockFails(t *testing.T) {
	fsys := newTestFS(t)
	fsys.before = func(op, _ string) error {
		if op == "lock" {
			return errors.ErrUnsupported
		}
		return nil
	}
	o := Options{Name: "x", Size: 10, ChunkSize: 4}
	_, err := Open(fsys, o)
	if e := wantReason(t, err, System); e.Op != "lock" {
		t.Errorf("error %v, want that of the lock", err)
	}
	fsys.wantNames(t)
	fsys.put(t, "x.part", "01")
	o.Action = StartOver
	_, err = Open(fsys, o)
	wantReason(t, err, System)
	fsys.want(t, "x.part", "01")
}

func TestMemoryPerChunk(t *testing.T) {
	const chunks, perChunk = 1 << 20, 16 // bytes
	fsys := newTestFS(t)
	o := Options{Name: "x", Size: chunks, ChunkSize: 1}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f := openTest(t, fsys, o)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > chunks*perChunk {
		t.Errorf("%d bytes allocated for %d chunks, want at most %d each", got, chunks, perChunk)
	}
	if got := f.Chunks(); got != chunks {
		t.Errorf("%d chunks, want %d", got, chunks)
	}
}
