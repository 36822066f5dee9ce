package partfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// filled returns a part file with all of content written and marked, in chunks
// of testChunk bytes.
func filled(t *testing.T, fsys FS, o Options, content string) *File {
	t.Helper()
	o.Size, o.ChunkSize = int64(len(content)), testChunk
	f := openTest(t, fsys, o)
	if err := fill(f, content); err != nil {
		t.Fatal(err)
	}
	return f
}

func fill(f *File, content string) error {
	for chunk := range f.Chunks() {
		claim, ok := f.Claim(chunk)
		if !ok {
			return errors.New("no claim")
		}
		if err := claim.WriteAt(chunkOf([]byte(content), chunk), 0); err != nil {
			return err
		}
		if err := claim.Mark(xxhOf(chunkOf([]byte(content), chunk))); err != nil {
			return err
		}
	}
	return nil
}

func TestCommit(t *testing.T) {
	for _, content := range []string{"", "1", string(rightBytes(testChunk)), string(rightBytes(3*testChunk + 1))} {
		for _, replace := range []bool{false, true} {
			fsys := newTestFS(t)
			if replace {
				fsys.put(t, "x", "old")
			}
			f := filled(t, fsys, Options{Name: "x", Replace: replace}, content)
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			if got, want := f.PartPath(), filepath.Join(fsys.path, "x.part"); got != want {
				t.Errorf("part path %q, want %q", got, want)
			}
			path, err := f.Commit()
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(fsys.path, "x"); path != want {
				t.Errorf("path %q, want %q", path, want)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			fsys.want(t, "x", content)
			fsys.wantNames(t, "x")
		}
	}
}

// The order makes it safe against a crash: bytes before the name, the name
// before the report.
func TestCommitOrder(t *testing.T) {
	order := []string{"sync", "datasync", "renamenoreplace", "rename", "link", "remove", "remove journal", "syncdir"}
	for _, c := range []struct {
		name    string
		replace bool
		denied  error // of the exclusive rename
		want    []string
	}{
		{"exclusive", false, nil, []string{"sync", "renamenoreplace", "syncdir", "remove journal"}},
		{"link", false, errors.ErrUnsupported, []string{"sync", "renamenoreplace", "link", "syncdir", "remove", "syncdir", "remove journal"}},
		{"replace", true, nil, []string{"sync", "rename", "syncdir", "remove journal"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := newTestFS(t)
			f := filled(t, fsys, Options{Name: "x", Replace: c.replace}, "new")
			fsys.before = func(op, _ string) error {
				if op == "renamenoreplace" {
					return c.denied
				}
				return nil
			}
			fsys.forget()
			if _, err := f.Commit(); err != nil {
				t.Fatal(err)
			}
			if got := fsys.onlyCalls(order...); !slices.Equal(got, c.want) {
				t.Errorf("order %q, want %q", got, c.want)
			}
			fsys.want(t, "x", "new")
			fsys.wantNames(t, "x")
		})
	}
}

// The final name appears at the last moment.
func TestCommitDoesNotReplace(t *testing.T) {
	for _, denied := range []error{nil, errors.ErrUnsupported} {
		fsys := newTestFS(t)
		f := filled(t, fsys, Options{Name: "x"}, "new")
		fsys.before = func(op, name string) error {
			switch {
			case op == "renamenoreplace" && denied != nil:
				return denied
			case op == "renamenoreplace" || op == "link":
				fsys.put(t, name, "old")
			}
			return nil
		}
		_, err := f.Commit()
		wantReason(t, err, Exists)
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("error %v, want %v", err, fs.ErrExist)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		fsys.want(t, "x", "old")
		fsys.want(t, "x.part", "new")
	}
}

func TestCommitNeedsAllMarks(t *testing.T) {
	fsys := newTestFS(t)
	f := openTest(t, fsys, Options{Name: "x", Size: 2 * testChunk, ChunkSize: testChunk})
	f.MarkExisting(0, [16]byte{})
	_, err := f.Commit()
	wantReason(t, err, Internal)
	fsys.wantNames(t, "x.part", "x.part.journal")
	f.MarkExisting(1, [16]byte{})
	if _, err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	_, err = f.Commit()
	wantReason(t, err, Internal)
}

// After one failed sync nothing counts as durable, and nothing is synced again.
func TestSyncFailureIsFinal(t *testing.T) {
	for _, op := range []string{"sync", "datasync"} {
		fsys := newTestFS(t)
		f := filled(t, fsys, Options{Name: "x"}, "new")
		failed := false
		fsys.before = func(got, _ string) error {
			if got == op && !failed {
				failed = true
				return syscall.EIO
			}
			return nil
		}
		fsys.forget()
		if op == "datasync" {
			if err := f.Sync(); !errors.Is(err, syscall.EIO) {
				t.Errorf("error %v, want %v", err, syscall.EIO)
			}
		}
		for range 2 {
			_, err := f.Commit()
			if e := wantReason(t, err, System); e.Op != "sync" || !errors.Is(err, syscall.EIO) {
				t.Errorf("error %v, want that of the sync", err)
			}
			if err := f.Sync(); !errors.Is(err, syscall.EIO) {
				t.Errorf("error %v, want %v", err, syscall.EIO)
			}
		}
		if got, want := fsys.onlyCalls("sync", "datasync"), []string{op}; !slices.Equal(got, want) {
			t.Errorf("calls %q, want %q", got, want)
		}
		f.Close()
		fsys.wantNames(t, "x.part", "x.part.journal")
	}
}

// Each call to the disk, from the look to the end, fails once. The error says
// what and where, unless the call was for a comfort that nobody needs. The
// final name holds what it held, or the whole new file.
func TestEveryFailureIsReported(t *testing.T) {
	const content = "new content in chunks"
	for _, c := range []struct {
		name string
		o    Options
		link bool
		old  string // under the final name
		left string // under the part file's
	}{
		{"fetch", Options{Name: "x", Action: Fetch}, false, "", ""},
		{"fetch, sparse, link", Options{Name: "x", Action: Fetch, SkipPreallocate: true}, true, "", ""},
		{"start over, replace", Options{Name: "x", Action: StartOver, Replace: true}, false, "old", "left"},
		{"resume, cut", Options{Name: "x", Action: Resume}, false, "", strings.Repeat("left", 20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Size, c.o.ChunkSize = int64(len(content)), testChunk
			reached := map[string]bool{}
			for n := 0; ; n++ { // the n-th call fails
				fsys := newTestFS(t)
				if c.old != "" {
					fsys.put(t, "x", c.old)
				}
				if c.left != "" {
					fsys.put(t, "x.part", c.left)
				}
				count, failed := 0, ""
				fsys.before = func(op, _ string) error {
					count++
					if count == n+1 {
						failed = op
						return syscall.EIO
					}
					if op == "renamenoreplace" && c.link {
						return errors.ErrUnsupported
					}
					return nil
				}
				err := wholeRun(fsys, c.o, content)
				checkFinal(t, fsys, c.old, content)
				if failed == "" {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				reached[failed] = true
				if err == nil && slices.Contains([]string{"free", "allocate", "truncate", "close scratch"}, failed) { // truncate: the tail
					fsys.want(t, "x", content)
					continue
				}
				if !errors.Is(err, syscall.EIO) || !IsDiskError(err) {
					t.Fatalf("call %d, %s: error %v, want %v", n, failed, err, syscall.EIO)
				}
				e := wantReason(t, err, System)
				if !strings.Contains(e.Name, fsys.path) {
					t.Errorf("call %d, %s: name %q", n, failed, e.Name)
				}
			}
			if c.left == "" && !reached["free"] { // else the part's own space suffices
				t.Error("free space was never refused")
			}
			for _, op := range []string{"lstat", "lock", "stat", "write", "sync", "syncdir", "close"} {
				if !reached[op] {
					t.Errorf("%s never failed", op)
				}
			}
		})
	}
}

// wholeRun is a complete download through this package.
func wholeRun(fsys FS, o Options, content string) error {
	if _, err := Look(fsys, o.Name); err != nil {
		return err
	}
	f, err := Open(context.Background(), fsys, o)
	if err != nil {
		return err
	}
	err = fill(f, content)
	if err == nil {
		_, err = f.Commit()
	}
	return errors.Join(err, f.Close())
}

func checkFinal(t *testing.T, fsys *testFS, old, content string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(fsys.path, "x"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && old == "":
	case err != nil:
		t.Fatal(err)
	case string(got) != content && (old == "" || string(got) != old):
		t.Fatalf("final name holds %q", got)
	}
}

func TestErrorText(t *testing.T) {
	fsys := newTestFS(t)
	_, _, err := OpenFinal(fsys, "x")
	if got, want := err.Error(), `open "`+filepath.Join(fsys.path, "x")+`": file does not exist`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	err = failure(fsys, "rename", "x", &os.LinkError{Op: "renameat", Old: "a", New: "b", Err: syscall.EIO})
	if got, want := err.Error(), `rename "`+filepath.Join(fsys.path, "x")+`": `+syscall.EIO.Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if IsDiskError(errors.New("other")) || IsDiskError(nil) {
		t.Error("not every error is the disk's")
	}
}
