package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"malcolm/transfer/fetch"

	"malcolm/transfer/localfile"
)

// Verify names the wrong chunks of a local file, and says whether its size is
// wrong.
func TestVerify(t *testing.T) {
	t.Parallel()
	data := file(5*chunk+9, 1)
	span := func(c int) fetch.Span {
		return fetch.Span{Chunk: c, Offset: int64(c) * chunk, Length: min(chunk, int64(len(data))-int64(c)*chunk)}
	}
	for _, test := range []struct {
		name  string
		local []byte
		bad   []fetch.Span
		size  bool
	}{
		{"right", data, nil, false},
		{"one byte", corrupted(t, data, 3*chunk), []fetch.Span{span(3)}, false},
		{"first and last byte", corrupted(t, corrupted(t, data, 0), len(data)-1), []fetch.Span{span(0), span(5)}, false},
		{"one byte shorter", data[:len(data)-1], []fetch.Span{span(5)}, true},
		{"cut in a chunk", data[:4*chunk-1], []fetch.Span{span(3), span(4), span(5)}, true},
		{"empty", nil, []fetch.Span{span(0), span(1), span(2), span(3), span(4), span(5)}, true},
		{"longer", append(slices.Clone(data), 0), nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				s := w.holders(data)[0]
				r, err := w.localFile(test.local).verify(getConfig{Targets: s.targets})
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

// wantMismatch fails the test unless err is that of bad wrong chunks.
func wantMismatch(t *testing.T, err error, bad int, size bool) {
	t.Helper()
	if bad == 0 && !size {
		if err != nil {
			t.Errorf("error = %v, want none", err)
		}
		return
	}
	e, ok := errors.AsType[*fetch.MismatchError](err)
	if !ok || e.Bad != bad || e.Size != size || fetch.KindOf(err) != fetch.KindIntegrity {
		t.Errorf("error = %#v, want a mismatch of %d chunks, the size: %t", err, bad, size)
	}
}

// An empty file is verified like any other.
func TestVerifyEmpty(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.holders(nil)[0]
		r, err := w.localFile(nil).verify(getConfig{Targets: s.targets})
		if err != nil || !r.Right() {
			t.Errorf("result = %+v, error %v, want it right", r, err)
		}
		r, err = w.localFile([]byte{0}).verify(getConfig{Targets: s.targets})
		if r == nil || r.Right() {
			t.Errorf("result = %+v, want it wrong", r)
		}
		wantMismatch(t, err, 0, true)
	})
}

// unreadableAt is a file with chunks that the disk cannot read.
func unreadableAt(data []byte, errno error, chunks func(int64) bool) brokenFile {
	return brokenFile{readAt: func(p []byte, off int64) (int, error) {
		if chunks(off / chunk) {
			return 0, &os.PathError{Op: "read", Path: "data.bin", Err: errno}
		}
		return readerAt(data).ReadAt(p, off)
	}}
}

// A missing file, and a directory, are local errors.
func TestVerifyMissing(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "missing"), dir} {
		_, err := Verify(t.Context(), getConfig{}, path)
		if e, ok := errors.AsType[*localfile.Error](err); !ok || e.Path != path || fetch.KindOf(err) != fetch.KindLocal {
			t.Errorf("%q: error = %v, want one of the file", path, err)
		}
		if _, err := fetch.VerifyChecksum(t.Context(), path, [32]byte{}, nil); fetch.KindOf(err) != fetch.KindLocal {
			t.Errorf("%q: error = %v, want one of the file", path, err)
		}
	}
}

// Without a majority nothing is verified.
func TestVerifyUndecided(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		servers := w.holders(file(chunk, 1), file(chunk, 2))
		r, err := w.localFile(file(chunk, 1)).verify(getConfig{Targets: targetsOf(servers...)})
		if r != nil || fetch.KindOf(err) != fetch.KindVote {
			t.Errorf("result %+v, error %v, want no majority", r, err)
		}
	})
}

// VerifyChecksum compares a file with a checksum, without a server.
func TestVerifyChecksum(t *testing.T) {
	dir, data := t.TempDir(), file(3*chunk+1, 1)
	write(t, dir, "x", data)
	path := filepath.Join(dir, "x")
	var done atomic.Int64
	size, err := fetch.VerifyChecksum(t.Context(), path, checksum(data), &done)
	if size != int64(len(data)) || err != nil || done.Load() != size {
		t.Errorf("size %d, error %v, %d bytes counted, want it right", size, err, done.Load())
	}
	_, err = fetch.VerifyChecksum(t.Context(), path, [32]byte{1}, nil)
	wantMismatchOf(t, err, path)
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if _, err := fetch.VerifyChecksum(ended, path, checksum(data), nil); err != errInterrupted {
		t.Errorf("error = %v, want the cause", err)
	}
}

func wantMismatchOf(t *testing.T, err error, path string) {
	t.Helper()
	if e, ok := errors.AsType[*fetch.MismatchError](err); !ok || e.Path != path || e.Bad != 0 || e.Size {
		t.Errorf("error = %#v, want a mismatch of %q and no more", err, path)
	}
}

// An interrupted Verify says so. It does not say that the file could not be
// read.
func TestVerifyInterrupted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		cfg := getConfig{Targets: w.holders(data)[0].targets, Network: w, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Voted); ok {
				cancel(errInterrupted)
			}
		}}
		if r, err := Verify(ctx, cfg, w.localFile(data).path); r != nil || err != errInterrupted {
			t.Errorf("result %+v, error %v, want the cause with which it was ended", r, err)
		}
		synctest.Wait()
	})
}

// The words of a mismatch name the number of chunks and the size.
func TestMismatchErrorSaysWhatDiffers(t *testing.T) {
	for _, test := range []struct {
		err  fetch.MismatchError
		want string
	}{
		{fetch.MismatchError{Path: "a b"}, `"a b" does not have the checksum`},
		{fetch.MismatchError{Path: "x", Bad: 1}, `"x" is not right: 1 chunk differs`},
		{fetch.MismatchError{Path: "x", Bad: 2}, `"x" is not right: 2 chunks differ`},
		{fetch.MismatchError{Path: "x", Bad: 2, Size: true}, `"x" is not right: 2 chunks differ, and the size`},
		{fetch.MismatchError{Path: "x", Size: true}, `"x" is not right: the size differs`},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// A file that changes while it is read is neither right nor wrong, and is not
// repaired.
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
			var once sync.Once
			_, err = Verify(context.Background(), getConfig{
				Targets: w.holders(data)[0].targets, Network: w,
				read: func(f localfile.File) localfile.File {
					return brokenFile{f, func(p []byte, off int64) (int, error) {
						n, err := f.ReadAt(p, off)
						once.Do(func() { err = errors.Join(err, test.change(writer)) })
						return n, err
					}}
				},
			}, l.path)
			if err == nil || !strings.Contains(err.Error(), "changed while it was read") || fetch.KindOf(err) != fetch.KindLocal {
				t.Errorf("%s: error = %v, want that it changed", test.name, err)
			}
		})
	}
}
