package partfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

const copyChunk = 3<<20 + 17 // the system copies it in several calls

// copySource is a file of two chunks and its bytes.
func copySource(t *testing.T) (*os.File, []byte) {
	t.Helper()
	data := make([]byte, 2*copyChunk-5)
	rand.NewChaCha8([32]byte{}).Read(data)
	path := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	src, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src, data
}

// openCopy opens a part file of that shape on the real system.
func openCopy(t *testing.T) *File {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return openTest(t, Dir(root), Options{Name: "x", Size: 2*copyChunk - 5, ChunkSize: copyChunk})
}

// copied copies a chunk, unless the system cannot.
func copied(t *testing.T, c *Claim, src io.ReaderAt) error {
	t.Helper()
	err := c.CopyFrom(src)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no copying by the system on %s, or not on this file system", runtime.GOOS)
	}
	return err
}

func TestCopyFrom(t *testing.T) {
	src, data := copySource(t)
	f := openCopy(t)
	for c := range 2 {
		claim, _ := f.Claim(c)
		if err := copied(t, claim, src); err != nil {
			t.Fatal(err)
		}
		want := data[c*copyChunk : min((c+1)*copyChunk, len(data))]
		got := make([]byte, len(want))
		if n, err := claim.ReadBack(got, 0); n != len(want) || err != nil && err != io.EOF {
			t.Fatalf("read back %d, %v", n, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("chunk %d differs", c)
		}
		if n, err := claim.ReadBack(got[:4], 8); n != 4 || err != nil || !bytes.Equal(got[:4], want[8:12]) {
			t.Errorf("chunk %d, from byte 8 on: %x, %v, want %x", c, got[:4], err, want[8:12])
		}
		if err := claim.Mark([16]byte{}); err != nil {
			t.Errorf("mark: %v", err)
		}
	}
}

// A source that ends too early leaves a chunk that cannot be marked but can be
// written.
func TestCopyFromShort(t *testing.T) {
	src, data := copySource(t)
	if err := os.Truncate(src.Name(), copyChunk+9); err != nil {
		t.Fatal(err)
	}
	f := openCopy(t)
	claim, _ := f.Claim(1)
	if err := copied(t, claim, src); err != io.ErrUnexpectedEOF {
		t.Errorf("error = %v, want the end of the source", err)
	}
	wantReason(t, claim.Mark([16]byte{}), Internal)
	if err := claim.WriteAt(data[copyChunk:], 0); err != nil {
		t.Error(err)
	}
	if err := claim.Mark([16]byte{}); err != nil {
		t.Error(err)
	}
}

func TestCopyFromOwner(t *testing.T) {
	src, _ := copySource(t)
	f := openCopy(t)
	claim, _ := f.Claim(0)
	owner, _ := f.TakeOver(0)
	if err := copied(t, claim, src); err != ErrNotOwner {
		t.Errorf("error = %v, want that of an ownership that was lost", err)
	}
	b := make([]byte, 8)
	if n, err := f.ReadAt(b, 0); n != 8 || err != nil || !bytes.Equal(b, make([]byte, 8)) {
		t.Errorf("%x, %v, want nothing written", b, err)
	}
	owner.Release()
}

// copyFS is a testFS whose handles can copy, with the results that the test
// sets.
type copyFS struct {
	*testFS
	copy func(n int64) (int64, error)
}

func (c copyFS) Create(name string) (Handle, error) {
	h, err := c.testFS.Create(name)
	return copyHandle{h, c.copy}, err
}

type copyHandle struct {
	Handle
	copy func(n int64) (int64, error)
}

func (c copyHandle) CopyFrom(_ *os.File, _, _, n int64) (int64, error) { return c.copy(n) }

func TestCopyFromErrors(t *testing.T) {
	src, _ := copySource(t)
	for _, test := range []struct {
		name    string
		src     io.ReaderAt
		err     error
		want    error
		isSpace bool
	}{
		{"no file", bytes.NewReader(nil), nil, errors.ErrUnsupported, false},
		{"not here", src, errors.ErrUnsupported, errors.ErrUnsupported, false},
		{"full", src, syscall.ENOSPC, syscall.ENOSPC, true},
		{"other", src, syscall.EACCES, syscall.EACCES, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			half := true
			fsys := copyFS{newTestFS(t), func(n int64) (int64, error) {
				if half = !half; half {
					return 0, test.err
				}
				return n / 2, nil
			}}
			fsys.before = func(op, _ string) error {
				if op == "free" {
					return fixedFree(0)
				}
				return nil
			}
			f := openTest(t, fsys, Options{Name: "x", Size: 2*copyChunk - 5, ChunkSize: copyChunk, SkipPreallocate: true, SkipSpaceCheck: true})
			claim, _ := f.Claim(0)
			err := claim.CopyFrom(test.src)
			if !errors.Is(err, test.want) {
				t.Errorf("error = %v, want %v", err, test.want)
			}
			if test.isSpace {
				if e := wantReason(t, err, NoSpace); e.Op != "copy" || e.Need == 0 {
					t.Errorf("error %+v, want what is missing", e)
				}
			}
			wantReason(t, claim.Mark([16]byte{}), Internal)
		})
	}
	f := openTest(t, newTestFS(t), Options{Name: "x", Size: copyChunk, ChunkSize: copyChunk})
	claim, _ := f.Claim(0)
	if err := claim.CopyFrom(src); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a handle that cannot copy: %v", err)
	}
}
