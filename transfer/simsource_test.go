package transfer

import (
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// file returns n bytes that depend on the seed.
func file(n int, seed byte) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// hashes returns the values and the checksum of a file.
func hashes(data []byte) (wire.Values, [32]byte) {
	values, sum, err := manifest.Build(context.Background(), readerAt(data), int64(len(data)), manifest.BuildOptions{Workers: 1})
	if err != nil {
		panic(err)
	}
	return values, sum
}

func checksum(data []byte) [32]byte {
	_, sum := hashes(data)
	return sum
}

// readerAt reads from bytes.
type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(p, r[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A heldFile is a file in memory that can misbehave.
type heldFile struct {
	indexing func() error  // called before each read while there is no index; set before serving
	released chan struct{} // closed at the end of the world
	once     sync.Once
	mu       sync.Mutex
	data     []byte
	mtime    time.Time
	ready    bool                            // the index was made
	hook     func(p []byte, off int64) error // sees what a range reads, and may change it; called without mu
	reads    []read                          // of ranges
	aheads   []read                          // announced
}

// A read is one call for a range's bytes.
type read struct {
	off int64
	n   int
	at  time.Time
}

func newSource(data []byte) *heldFile {
	return &heldFile{data: data, mtime: time.Unix(1e9, 0), released: make(chan struct{})}
}

func (s *heldFile) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	data, hook, ready := s.data, s.hook, s.ready
	if ready {
		s.reads = append(s.reads, read{off, len(p), time.Now()})
	}
	s.mu.Unlock()
	if !ready && s.indexing != nil {
		if err := s.indexing(); err != nil {
			return 0, err
		}
	}
	n, err := readerAt(data).ReadAt(p, off)
	if ready && hook != nil && n > 0 {
		if err := hook(p[:n], off); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (s *heldFile) ReadAhead(off, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aheads = append(s.aheads, read{off, int(n), time.Now()})
}

func (s *heldFile) Open() (localfile.File, error) { return s, nil }

func (s *heldFile) Close() error { return nil }

func (s *heldFile) Stat() (fs.FileInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fileInfo{size: int64(len(s.data)), mtime: s.mtime}, nil
}

// served marks the reads from now on as those for clients.
func (s *heldFile) served() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
}

// replace changes the file, like an editor that writes it anew.
func (s *heldFile) replace(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.mtime, s.ready = data, s.mtime.Add(time.Second), false
}

// onRange sets the hook.
func (s *heldFile) onRange(hook func(p []byte, off int64) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// flips makes every read of a range wrong by one bit.
func (s *heldFile) flips() {
	s.onRange(func(p []byte, _ int64) error {
		p[len(p)/2] ^= 1
		return nil
	})
}

// block waits for the end of the world.
func (s *heldFile) block() { <-s.released }

func (s *heldFile) release() { s.once.Do(func() { close(s.released) }) }

// log returns the reads of ranges so far.
func (s *heldFile) log() []read {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reads)
}

// sent returns how many bytes were read for ranges.
func (s *heldFile) sent() (n int64) {
	for _, r := range s.log() {
		n += int64(r.n)
	}
	return n
}

// slowly makes an indexing function that lets one read pass every d.
func slowly(d time.Duration) func() error {
	turn := make(chan struct{}, 1)
	return func() error {
		turn <- struct{}{}
		time.Sleep(d)
		<-turn
		return nil
	}
}

type fileInfo struct {
	size  int64
	mtime time.Time
}

func (i fileInfo) Name() string       { return "data.bin" }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return 0o644 }
func (i fileInfo) ModTime() time.Time { return i.mtime }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }

// corrupted returns a copy of data with one byte changed.
func corrupted(t *testing.T, data []byte, at int) []byte {
	t.Helper()
	if at >= len(data) {
		t.Fatalf("no byte %d in %d", at, len(data))
	}
	b := slices.Clone(data)
	b[at] ^= 0x80
	return b
}
