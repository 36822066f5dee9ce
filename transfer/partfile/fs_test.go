package partfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// testFS is an FS over a temporary directory that notes every call and can make
// any of them fail.
type testFS struct {
	FS
	path string
	root *os.Root
	// before is called ahead of each operation. If it returns an error the
	// operation is not done.
	before func(op, name string) error

	mu    sync.Mutex
	calls []string // under mu: names of operations, with " journal" or " scratch" added if they are about those
}

func newTestFS(t *testing.T) *testFS {
	t.Helper()
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &testFS{FS: Dir(root), path: path, root: root}
}

func (f *testFS) step(op, name string) error {
	switch {
	case strings.HasSuffix(name, JournalSuffix):
		op += " journal"
	case strings.HasSuffix(name, probeSuffix), strings.HasSuffix(name, triedSuffix):
		op += " scratch"
	}
	f.mu.Lock()
	f.calls = append(f.calls, op)
	f.mu.Unlock()
	if f.before == nil {
		return nil
	}
	return f.before(op, name)
}

// called returns how often op was called since the last forget.
func (f *testFS) called(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == op {
			n++
		}
	}
	return n
}

func (f *testFS) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = nil
}

// onlyCalls returns the recorded calls that are among ops, in order.
func (f *testFS) onlyCalls(ops ...string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.calls), func(c string) bool { return !slices.Contains(ops, c) })
}

func (f *testFS) Lstat(name string) (Info, error) {
	if err := f.step("lstat", name); err != nil {
		return Info{}, err
	}
	return f.FS.Lstat(name)
}

func (f *testFS) handle(op, name string, open func(string) (Handle, error)) (Handle, error) {
	if err := f.step(op, name); err != nil {
		return nil, err
	}
	h, err := open(name)
	if err != nil {
		return nil, err
	}
	return &testHandle{h, f, name}, nil
}

func (f *testFS) Create(name string) (Handle, error) { return f.handle("create", name, f.FS.Create) }

func (f *testFS) Open(name string) (Handle, error) { return f.handle("open", name, f.FS.Open) }

func (f *testFS) OpenWrite(name string) (Handle, error) {
	return f.handle("openwrite", name, f.FS.OpenWrite)
}

func (f *testFS) RenameNoReplace(from, to string) error {
	if err := f.step("renamenoreplace", to); err != nil {
		return err
	}
	return f.FS.RenameNoReplace(from, to)
}

func (f *testFS) Rename(from, to string) error {
	if err := f.step("rename", to); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *testFS) Link(from, to string) error {
	if err := f.step("link", to); err != nil {
		return err
	}
	return f.FS.Link(from, to)
}

func (f *testFS) Remove(name string) error {
	if err := f.step("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *testFS) SyncDir() error {
	if err := f.step("syncdir", "."); err != nil {
		return err
	}
	return f.FS.SyncDir()
}

func (f *testFS) Free() (int64, error) {
	if err := f.step("free", "."); err != nil {
		var n fixedFree
		if errors.As(err, &n) {
			return int64(n), nil
		}
		return 0, err
	}
	return f.FS.Free()
}

// fixedFree, returned by before for "free", is the free space to report.
type fixedFree int64

func (fixedFree) Error() string { return "not an error" }

type testHandle struct {
	Handle
	fs   *testFS
	name string
}

func (h *testHandle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.fs.step("read", h.name); err != nil {
		return 0, err
	}
	return h.Handle.ReadAt(p, off)
}

func (h *testHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.fs.step("write", h.name); err != nil {
		return 0, err
	}
	return h.Handle.WriteAt(p, off)
}

func (h *testHandle) Stat() (Info, error) {
	if err := h.fs.step("stat", h.name); err != nil {
		return Info{}, err
	}
	return h.Handle.Stat()
}

func (h *testHandle) Lock() (bool, error) {
	if err := h.fs.step("lock", h.name); err != nil {
		return false, err
	}
	return h.Handle.Lock()
}

func (h *testHandle) LockShared() (bool, error) {
	if err := h.fs.step("lock shared", h.name); err != nil {
		return false, err
	}
	return h.Handle.LockShared()
}

func (h *testHandle) Truncate(size int64) error {
	if err := h.fs.step("truncate", h.name); err != nil {
		return err
	}
	return h.Handle.Truncate(size)
}

func (h *testHandle) Allocate(off, n int64) error {
	if err := h.fs.step("allocate", h.name); err != nil {
		return err
	}
	return h.Handle.Allocate(off, n)
}

func (h *testHandle) NextData(off int64) (int64, error) {
	if err := h.fs.step("nextdata", h.name); err != nil {
		return 0, err
	}
	return h.Handle.NextData(off)
}

func (h *testHandle) Forget() error {
	if err := h.fs.step("forget", h.name); err != nil {
		return err
	}
	return h.Handle.Forget()
}

func (h *testHandle) Datasync() error {
	if err := h.fs.step("datasync", h.name); err != nil {
		return err
	}
	return h.Handle.Datasync()
}

func (h *testHandle) Sync() error {
	if err := h.fs.step("sync", h.name); err != nil {
		return err
	}
	return h.Handle.Sync()
}

func (h *testHandle) Close() error {
	return errors.Join(h.fs.step("close", h.name), h.Handle.Close())
}

func (f *testFS) put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.path, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// want fails the test unless name holds content.
func (f *testFS) want(t *testing.T, name, content string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(f.path, name))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != content {
		t.Fatalf("%s holds %q, want %q", name, got, content)
	}
}

// wantPart fails the test unless the unfinished file of x holds content, of the
// finished file's length.
func (f *testFS) wantPart(t *testing.T, content string) {
	t.Helper()
	f.want(t, "x.part", content+strings.Repeat("\x00", tailLen))
}

// wantNames fails the test unless the directory holds exactly these names,
// sorted.
func (f *testFS) wantNames(t *testing.T, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(f.path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Fatalf("directory holds %q, want %q", got, names)
	}
}

// wantReason fails the test unless err is an *Error with that reason, an
// operation and a name.
func wantReason(t *testing.T, err error, reason Reason) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error %v, want an *Error of reason %d", err, reason)
	}
	if e.Reason != reason || e.Op == "" || e.Name == "" {
		t.Fatalf("error %#v, want reason %d, an operation and a name", e, reason)
	}
	return e
}
