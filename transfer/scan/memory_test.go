package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"malcolm/transfer/localfile"
)

// A crowd is a directory of n files in directories of a hundred.
type crowd int

func (c crowd) Stat() (fs.FileInfo, error) { return fstest.MapFS{"x/y": {}}.Stat("x") }
func (c crowd) Close() error               { return nil }

func (c crowd) Readlink(string) (string, error) { return "", errors.New("no link") }

func (c crowd) List(dir string, each func(fs.FileInfo)) error {
	if dir != "" {
		for i := range 100 {
			each(crowdFile(fmt.Sprintf("a-file-with-a-usual-name-%05d.safetensors", i)))
		}
		return nil
	}
	for i := range int(c) / 100 {
		info, _ := fstest.MapFS{fmt.Sprintf("directory-%05d/x", i): {}}.Stat(fmt.Sprintf("directory-%05d", i))
		each(info)
	}
	return nil
}

func (c crowd) Open(path string) (localfile.File, error) { return crowdFile(path), nil }

// A crowdFile is a file that holds its name, and the directory in which it was
// opened.
type crowdFile string

func (f crowdFile) Name() string               { return string(f) }
func (f crowdFile) Size() int64                { return 58 }
func (f crowdFile) Mode() fs.FileMode          { return 0o644 }
func (f crowdFile) ModTime() time.Time         { return time.Unix(1e9, 0) }
func (f crowdFile) IsDir() bool                { return false }
func (f crowdFile) Sys() any                   { return nil }
func (f crowdFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f crowdFile) Close() error               { return nil }

func (f crowdFile) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, string(f))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A watchedCrowd calls a function when the last of its files is opened.
type watchedCrowd struct {
	crowd
	opened *int
	last   func()
}

func (c watchedCrowd) Open(path string) (localfile.File, error) {
	if *c.opened++; *c.opened == int(c.crowd) {
		c.last()
	}
	return c.crowd.Open(path)
}

// A snapshot holds at most 200 bytes an entry, so does a scan that makes one,
// and a scan that finds nothing new next to none.
func TestMemory(t *testing.T) {
	const n = 100_000
	before, opened := heap(), 0
	held := func() int64 { return (int64(heap()) - int64(before)) / n }
	var hashing int64
	in := watchedCrowd{crowd(n), &opened, func() { hashing = held() }}
	s := New(Config{Workers: 1, Parts: []Part{{Open: func() (Dir, error) { return in, nil }}}})
	snapshot, err := s.Scan(t.Context(), nil, new(Progress))
	if err != nil {
		t.Fatal(err)
	}
	took := held()
	if files := snapshot.Totals().Files; files != n {
		t.Fatalf("%d files; left out: %+v", files, snapshot.LeftOut().First)
	}
	look, err := s.Look(t.Context(), snapshot)
	if err != nil || !look.Same() {
		t.Fatalf("a second look: %v, want that nothing has changed", err)
	}
	again := held() - took
	if took > 200 || hashing == 0 || hashing > 200 || again > 1 {
		t.Errorf("%d bytes an entry, %d while they are hashed, want at most 200; %d more when nothing has changed, want 0", took, hashing, again)
	}
	t.Logf("%d bytes an entry, %d while they are hashed, %d more for another look", took, hashing, again)
	if !bytes.Contains(snapshot.Listing().Bytes(), []byte("directory-00999/")) {
		t.Error("the listing is another one")
	}
	look.Close()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
