package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"malcolm/transfer/localfile"
)

func TestVerify(t *testing.T) {
	data := file(5*chunk+9, 1)
	span := func(c int) Span {
		return Span{Chunk: c, Offset: int64(c) * chunk, Length: min(chunk, int64(len(data))-int64(c)*chunk)}
	}
	for _, test := range []struct {
		name  string
		local []byte
		bad   []Span
		size  bool
	}{
		{"right", data, nil, false},
		{"one byte", corrupted(t, data, 3*chunk), []Span{span(3)}, false},
		{"first and last byte", corrupted(t, corrupted(t, data, 0), len(data)-1), []Span{span(0), span(5)}, false},
		{"one byte shorter", data[:len(data)-1], []Span{span(5)}, true},
		{"cut in a chunk", data[:4*chunk-1], []Span{span(3), span(4), span(5)}, true},
		{"empty", nil, []Span{span(0), span(1), span(2), span(3), span(4), span(5)}, true},
		{"longer", append(slices.Clone(data), 0), nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				s := w.holders(data)[0]
				r, err := w.localFile(test.local).verify(GetConfig{Targets: s.targets})
				if r == nil {
					t.Fatalf("no result, error %v", err)
				}
				if !slices.Equal(r.Bad, test.bad) || r.Size != int64(len(data)) || r.LocalSize != int64(len(test.local)) || r.Checksum != checksum(data) {
					t.Errorf("result = %+v, want the chunks %+v", r, test.bad)
				}
				wantMismatch(t, err, len(test.bad), test.size)
				if got := s.src.sent(); got != 0 {
					t.Errorf("%d bytes of the file were fetched, want none", got)
				}
			})
		})
	}
}

// wantMismatch demands the error that belongs to so many bad chunks.
func wantMismatch(t *testing.T, err error, bad int, size bool) {
	t.Helper()
	if bad == 0 && !size {
		if err != nil {
			t.Errorf("error = %v, want none", err)
		}
		return
	}
	e, ok := errors.AsType[*MismatchError](err)
	if !ok || e.Bad != bad || e.Size != size || KindOf(err) != KindIntegrity {
		t.Errorf("error = %#v, want a mismatch of %d chunks, the size: %t", err, bad, size)
	}
}

func TestVerifyEmpty(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.holders(nil)[0]
		r, err := w.localFile(nil).verify(GetConfig{Targets: s.targets})
		if err != nil || !r.Right() {
			t.Errorf("result = %+v, error %v, want it right", r, err)
		}
		r, err = w.localFile([]byte{0}).verify(GetConfig{Targets: s.targets})
		if r == nil || r.Right() {
			t.Errorf("result = %+v, want it wrong", r)
		}
		wantMismatch(t, err, 0, true)
	})
}

// unreadableAt is a file of which the disk does not give some chunks.
func unreadableAt(data []byte, errno error, chunks func(int64) bool) brokenFile {
	return brokenFile{readAt: func(p []byte, off int64) (int, error) {
		if chunks(off / chunk) {
			return 0, &os.PathError{Op: "read", Path: "data.bin", Err: errno}
		}
		return readerAt(data).ReadAt(p, off)
	}}
}

// A chunk that the disk does not give is one that differs; a disk that is gone is
// no file that is wrong.
func TestVerifyReadError(t *testing.T) {
	data := file(5*chunk, 1)
	m, _ := hashes(data)
	var done atomic.Int64
	var holes unreadable
	bad, err := mismatches(t.Context(), unreadableAt(data, mediaError, func(c int64) bool { return c == 2 || c == 3 }), m, &done, &holes)
	if err != nil || len(bad) != 2 || bad[0].Chunk != 2 || !bad[0].Unreadable || bad[1].Chunk != 3 || !bad[1].Unreadable {
		t.Errorf("bad = %+v, error %v, want chunks 2 and 3 unreadable", bad, err)
	}
	if len(holes.chunks) != 2 || !errors.Is(holes.err, mediaError) {
		t.Errorf("%v cannot be read, for %v, want two chunks, and the disk's error", holes.chunks, holes.err)
	}
	other := unreadableAt(data, syscall.ESTALE, func(c int64) bool { return c == 2 })
	if _, err := mismatches(t.Context(), other, m, &done, new(unreadable)); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("error = %v, want that of the file system", err)
	}
	short := brokenFile{readAt: readerAt(data[:3*chunk+1]).ReadAt}
	bad, err = mismatches(t.Context(), short, m, &done, new(unreadable))
	if err != nil || len(bad) != 2 || bad[0].Chunk != 3 || bad[1].Chunk != 4 || bad[0].Unreadable {
		t.Errorf("bad = %+v, error %v, want the last two chunks", bad, err)
	}
}

func TestVerifyDiskIsGone(t *testing.T) {
	const chunks = 2*mostUnreadable + 8
	data := file(chunks*chunk, 1)
	m, _ := hashes(data)
	var done atomic.Int64
	gone := unreadableAt(data, mediaError, func(c int64) bool { return c > 4 })
	if _, err := mismatches(t.Context(), gone, m, &done, new(unreadable)); !errors.Is(err, mediaError) {
		t.Errorf("error = %v, want that of the disk", err)
	}
	scratched := unreadableAt(data, mediaError, func(c int64) bool { return c%8 == 1 })
	bad, err := mismatches(t.Context(), scratched, m, &done, new(unreadable))
	if err != nil || len(bad) != chunks/8 {
		t.Errorf("%d chunks are bad, error %v, want %d", len(bad), err, chunks/8)
	}
}

func TestVerifyMissing(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "missing"), dir} {
		_, err := Verify(t.Context(), GetConfig{}, path)
		if e, ok := errors.AsType[*localfile.Error](err); !ok || e.Path != path || KindOf(err) != KindLocal {
			t.Errorf("%q: error = %v, want one of the file", path, err)
		}
		if _, err := VerifyChecksum(t.Context(), path, [32]byte{}, nil); KindOf(err) != KindLocal {
			t.Errorf("%q: error = %v, want one of the file", path, err)
		}
	}
}

func TestVerifyUndecided(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		servers := w.holders(file(chunk, 1), file(chunk, 2))
		r, err := w.localFile(file(chunk, 1)).verify(GetConfig{Targets: targetsOf(servers...)})
		if r != nil || KindOf(err) != KindVote {
			t.Errorf("result %+v, error %v, want no majority", r, err)
		}
	})
}

func TestVerifyChecksum(t *testing.T) {
	dir, data := t.TempDir(), file(3*chunk+1, 1)
	write(t, dir, "x", data)
	path := filepath.Join(dir, "x")
	var done atomic.Int64
	size, err := VerifyChecksum(t.Context(), path, checksum(data), &done)
	if size != int64(len(data)) || err != nil || done.Load() != size {
		t.Errorf("size %d, error %v, %d bytes counted, want it right", size, err, done.Load())
	}
	_, err = VerifyChecksum(t.Context(), path, [32]byte{1}, nil)
	wantMismatchOf(t, err, path)
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if _, err := VerifyChecksum(ended, path, checksum(data), nil); err != errInterrupted {
		t.Errorf("error = %v, want the cause", err)
	}
}

func wantMismatchOf(t *testing.T, err error, path string) {
	t.Helper()
	if e, ok := errors.AsType[*MismatchError](err); !ok || e.Path != path || e.Bad != 0 || e.Size {
		t.Errorf("error = %#v, want a mismatch of %q and no more", err, path)
	}
}

// A Verify that is interrupted says so, and not that the file could not be
// read.
func TestVerifyInterrupted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		cfg := GetConfig{Targets: w.holders(data)[0].targets, Network: w, Events: func(e GetEvent) {
			if _, ok := e.(Voted); ok {
				cancel(errInterrupted)
			}
		}}
		if r, err := Verify(ctx, cfg, w.localFile(data).path); r != nil || err != errInterrupted {
			t.Errorf("result %+v, error %v, want the cause with which it was ended", r, err)
		}
		synctest.Wait()
	})
}

func TestMismatchWords(t *testing.T) {
	for _, test := range []struct {
		err  MismatchError
		want string
	}{
		{MismatchError{Path: "a b"}, `"a b" does not have the checksum`},
		{MismatchError{Path: "x", Bad: 1}, `"x" is not right: 1 chunk differs`},
		{MismatchError{Path: "x", Bad: 2}, `"x" is not right: 2 chunks differ`},
		{MismatchError{Path: "x", Bad: 2, Size: true}, `"x" is not right: 2 chunks differ, and the size`},
		{MismatchError{Path: "x", Size: true}, `"x" is not right: the size differs`},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// A file that is written to while it is read is neither right nor wrong, and is
// not repaired.
func TestVerifyFileThatChanges(t *testing.T) {
	data := file(3*chunk, 1)
	for _, test := range []struct {
		name   string
		change func(f *os.File) error
	}{
		{"grows", func(f *os.File) error { _, err := f.WriteAt([]byte("more"), int64(len(data))); return err }},
		{"is cut", func(f *os.File) error { return f.Truncate(chunk) }},
		{"is written to", func(f *os.File) error { _, err := f.WriteAt([]byte("other"), 7); return err }},
	} {
		bubble(t, func(t *testing.T, w *world) {
			l := w.localFile(data)
			writer, err := os.OpenFile(l.path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Close()
			own, err := openOwn(l.path)
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			changed := sync.OnceValue(func() error { return test.change(writer) })
			own.File = brokenFile{own.File, func(p []byte, off int64) (int, error) {
				n, err := own.system.ReadAt(p, off)
				return n, errors.Join(err, changed())
			}}
			g := newGetting(context.Background(), GetConfig{Targets: w.holders(data)[0].targets, Network: w})
			ctx, clocks := g.begin(context.Background())
			defer g.end(clocks)
			if err := errors.Join(g.vote(ctx, clocks), g.obtainManifest(ctx, clocks)); err != nil {
				t.Fatal(err)
			}
			_, err = g.compare(ctx, clocks, own)
			if !errors.Is(err, errChanging) || KindOf(err) != KindLocal {
				t.Errorf("%s: error = %v, want that it changed", test.name, err)
			}
		})
	}
}
