package serve

import (
	"bytes"
	"context"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
)

// oneChunk is the size of a chunk in these tests, in bytes.
const oneChunk = manifest.MinChunkSize

// filled returns a file of n bytes, different for each seed.
func filled(n int, seed byte) []byte { return bytes.Repeat([]byte{seed}, n) }

// sumOf returns the checksum of a file.
func sumOf(data []byte) [32]byte {
	_, sum, err := manifest.Build(context.Background(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{Workers: 1})
	if err != nil {
		panic(err)
	}
	return sum
}

// A memFile is a file in memory, and a source of itself.
type memFile struct {
	reading func() // called before each read; nil: nothing. Set before it is read

	mu    sync.Mutex
	data  []byte
	mtime time.Time
	read  int64 // bytes
}

func newMemFile(data []byte) *memFile { return &memFile{data: data, mtime: time.Unix(1e9, 0)} }

func (f *memFile) Open() (localfile.File, error) { return f, nil }

func (f *memFile) Close() error { return nil }

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fstest.MapFS{"x": {Data: f.data, ModTime: f.mtime}}.Stat("x")
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if f.reading != nil {
		f.reading()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := bytes.NewReader(f.data).ReadAt(p, off)
	f.read += int64(n)
	return n, err
}

// replace changes the file, like an editor that writes it anew.
func (f *memFile) replace(data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data, f.mtime = data, f.mtime.Add(time.Second)
}

// A memName is a source under which one file can replace another, as by a
// rename. It counts open files.
type memName struct {
	mu   sync.Mutex
	file *memFile
	open int
}

func (n *memName) Stat() (fs.FileInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file.Stat()
}

func (n *memName) Open() (localfile.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open++
	return &memOpen{memFile: n.file, name: n}, nil
}

// rename gives the name to another file.
func (n *memName) rename(to *memFile) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to.mtime = n.file.mtime.Add(time.Hour)
	n.file = to
}

func (n *memName) opened() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// A memOpen is an open file of a memName.
type memOpen struct {
	*memFile
	name *memName
}

func (f *memOpen) Close() error {
	f.name.mu.Lock()
	defer f.name.mu.Unlock()
	f.name.open--
	return nil
}

// runIndex runs an index until stop is called, which closes it.
func runIndex(t *testing.T, ix *index) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- ix.run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-returned; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
		ix.close()
	}
}

// readyVersion returns the current version, acquired, once there is one.
func readyVersion(ctx context.Context, ix *index) *version {
	for {
		v, made, _ := ix.acquire(ctx)
		if v != nil {
			return v
		}
		<-made
	}
}

// sumOfChunk returns the value of a chunk of a file.
func sumOfChunk(data []byte, chunk int) [32]byte {
	values, _, err := manifest.Build(context.Background(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{Workers: 1})
	if err != nil {
		panic(err)
	}
	return values.At(chunk)
}
