package partfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func TestPreallocates(t *testing.T) {
	const size = 5 << 20
	fsys := newTestFS(t)
	f := openTest(t, fsys, Options{Name: "x", Size: size, ChunkSize: 1 << 20})
	info, err := f.handle.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != size+tailLen {
		t.Errorf("%d bytes long, want %d", info.Size, size+tailLen)
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
	fsys.wantPart(t, strings.Repeat("\x00", 10))
}

// A reservation that fails half-way gives back what it took and keeps what was
// there.
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
			_, err := Open(context.Background(), fsys, Options{Name: "x", Size: 10, ChunkSize: 4, Action: c.action})
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
			_, err := Open(context.Background(), fsys, Options{Name: "x", Size: size, ChunkSize: size, Action: c.action})
			e := wantReason(t, err, NoSpace)
			if e.Have != 5 || e.Need <= size-1<<16 || e.Need > size+recordsAt+recordLen || !IsDiskError(err) {
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

// Space that the part file occupies already is not asked for again.
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
		f, err := Open(context.Background(), fsys, Options{Name: "x", Size: size + 100, ChunkSize: size, Action: action})
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

// A full disk in the middle of a chunk says how much room is missing.
func TestWriteWithoutSpace(t *testing.T) {
	fsys := newTestFS(t)
	const size = 1 << 20
	f := openTest(t, fsys, Options{Name: "x", Size: size, ChunkSize: size, SkipPreallocate: true})
	fsys.before = func(op, _ string) error {
		switch op {
		case "write":
			return syscall.ENOSPC
		case "free":
			return fixedFree(4096)
		}
		return nil
	}
	claim, _ := f.Claim(0)
	err := claim.WriteAt([]byte("x"), 0)
	e := wantReason(t, err, NoSpace)
	if e.Op != "write" || e.Need != size || e.Have != 4096 || !errors.Is(err, syscall.ENOSPC) || !IsDiskError(err) {
		t.Errorf("error %+v, want what is missing", e)
	}
	fsys.before = func(op, _ string) error {
		if op == "write" {
			return syscall.EIO
		}
		return nil
	}
	if e := wantReason(t, claim.WriteAt([]byte("x"), 0), System); e.Need != 0 || !IsDiskError(e) {
		t.Errorf("error %+v, want one of the disk", e)
	}
}

func TestHasData(t *testing.T) {
	fsys := newTestFS(t)
	const step = 1 << 20
	f := openTest(t, fsys, Options{Name: "x", Size: 4 * step, ChunkSize: step, SkipPreallocate: true})
	put(t, f, 2, []byte(strings.Repeat("x", step)))
	if _, err := f.handle.NextData(0); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this file system does not tell holes")
	}
	for _, c := range []struct {
		off, n int64
		want   bool
	}{{0, step, false}, {step, step, false}, {step, step + 1, true}, {2 * step, 1, true}, {3 * step, step, false}, {0, 1 << 62, true}, {2 * step, 0, false}} {
		if got := f.HasData(c.off, c.n); got != c.want {
			t.Errorf("data among %d bytes from %d on: %t, want %t", c.n, c.off, got, c.want)
		}
	}
	for _, err := range []error{errors.ErrUnsupported, syscall.EIO} {
		fsys.before = func(op, _ string) error {
			if op == "nextdata" {
				return err
			}
			return nil
		}
		if !f.HasData(0, step) {
			t.Errorf("no data, with the error %v", err)
		}
	}
}

func TestSpaceIsReservedInSteps(t *testing.T) {
	const size = 2*allocateStep + 5
	fsys := newTestFS(t)
	var next int64
	f := &File{extent: extent{size: size}, handle: allocator(func(off, n int64) error {
		if off != next || n <= 0 || n > allocateStep {
			t.Errorf("allocation of %d at %d, want one at %d", n, off, next)
		}
		next = off + n
		return nil
	})}
	f.fs, f.part = fsys, "x.part"
	if err := f.reserve(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if next != size {
		t.Errorf("%d bytes reserved, want %d", next, size)
	}
}

// A run that ends while space is reserved waits for one step at most, and the
// reserved space is given back.
func TestReservationEnds(t *testing.T) {
	const size = 5 * allocateStep
	for at := range 3 {
		fsys := newTestFS(t)
		ctx, cancel := context.WithCancelCause(context.Background())
		ended := errors.New("ended")
		var told []int64
		fsys.before = func(op, _ string) error {
			switch op {
			case "allocate":
				if fsys.called("allocate") == at+1 {
					cancel(ended)
				}
			case "free":
				return fixedFree(size * 2)
			}
			return nil
		}
		o := Options{Name: "x", Size: size, ChunkSize: 1 << 20, Reserved: func(done int64) { told = append(told, done) }}
		dry := dryFS{fsys}
		if _, err := Open(ctx, dry, o); err != ended {
			t.Errorf("error %v, want %v", err, ended)
		}
		if n := fsys.called("allocate"); n != at+1 {
			t.Errorf("ended in step %d, and there were %d", at+1, n)
		}
		for i, done := range told {
			if done != int64(i)*allocateStep {
				t.Errorf("told of %d bytes in step %d", done, i+1)
			}
		}
		if len(told) != at+1 {
			t.Errorf("told %d times of %d steps", len(told), at+1)
		}
		fsys.wantNames(t)
	}
}

// A dryFS reserves space without taking it.
type dryFS struct{ *testFS }

func (f dryFS) Create(name string) (Handle, error) {
	h, err := f.testFS.Create(name)
	if err != nil {
		return nil, err
	}
	return dryHandle{h.(*testHandle)}, nil
}

type dryHandle struct{ *testHandle }

func (h dryHandle) Allocate(off, n int64) error { return h.fs.step("allocate", h.name) }

// A reservation that signals end again and again is tried again, until nobody
// wants it any more.
func TestInterruptedReservation(t *testing.T) {
	fsys := newTestFS(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := errors.New("ended")
	tries := 0
	fsys.before = func(op, _ string) error {
		if op != "allocate" {
			return nil
		}
		if tries++; tries == 3 {
			cancel(ended)
		}
		return syscall.EINTR
	}
	if _, err := Open(ctx, fsys, Options{Name: "x", Size: 10, ChunkSize: 4}); err != ended || tries != 3 {
		t.Errorf("error %v after %d tries, want %v after 3", err, tries, ended)
	}
	fsys.wantNames(t)
	tries = 10
	fsys.before = func(op, _ string) error {
		if tries++; op == "allocate" && tries < 30 {
			return syscall.EINTR
		}
		return nil
	}
	f := openTest(t, fsys, Options{Name: "x", Size: 10, ChunkSize: 4})
	defer f.Close()
	if f.Sparse() {
		t.Error("sparse, want the space reserved in the end")
	}
}

type allocator func(off, n int64) error

func (a allocator) Allocate(off, n int64) error { return a(off, n) }

func (allocator) ReadAt([]byte, int64) (int, error)  { panic("read") }
func (allocator) WriteAt([]byte, int64) (int, error) { panic("write") }
func (allocator) Close() error                       { panic("close") }
func (allocator) Stat() (Info, error)                { panic("stat") }
func (allocator) Lock() (bool, error)                { panic("lock") }
func (allocator) LockShared() (bool, error)          { panic("lock shared") }
func (allocator) Truncate(int64) error               { panic("truncate") }
func (allocator) Datasync() error                    { panic("datasync") }
func (allocator) NextData(int64) (int64, error)      { panic("next data") }
func (allocator) Forget() error                      { panic("forget") }
func (allocator) Sync() error                        { panic("sync") }

// allocatedBy returns the bytes that do allocates.
func allocatedBy(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// All memory of a file with the most possible chunks, many of them marked.
func TestMemoryPerChunk(t *testing.T) {
	const chunks, perChunk = maxChunks, 12 // bytes
	fsys := newTestFS(t)
	o := Options{Name: "x", Size: chunks, ChunkSize: 1}
	var f *File
	got := allocatedBy(func() { f = openTest(t, fsys.FS, o) })
	if got > chunks*perChunk {
		t.Errorf("%d bytes allocated for %d chunks, want at most %d each", got, chunks, perChunk)
	}
	if got := f.Chunks(); got != chunks {
		t.Errorf("%d chunks, want %d", got, chunks)
	}
	var used, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&used)
	for chunk := range 16 * maxPending { // nobody calls Sync
		f.MarkExisting(chunk, [16]byte{1})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := int64(after.HeapAlloc) - int64(used.HeapAlloc) + int64(got); got > chunks*perChunk {
		t.Errorf("%d bytes held for %d chunks, want at most %d each", got, chunks, perChunk)
	}
	runtime.KeepAlive(f)
}
