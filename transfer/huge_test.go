package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transport"
	"malcolm/wire"
)

const (
	hugeSize   = wire.MaxFileSize
	hugeChunk  = hugeSize / wire.MaxChunks
	bytesChunk = 48 // of memory a chunk, at most
	// hugeBesides is memory that does not grow with the file, in bytes:
	// buffers, 2 MiB of the part file, and what is under way between both
	// ends of a connection.
	hugeBesides = 8 << 20
)

// A countingFS is a directory in which the part file of data.bin stores nothing
// and is there from the start. Everything else is real.
type countingFS struct {
	partfile.FS
	gate    chan struct{} // reads wait until it is closed, and then find nothing
	mu      sync.Mutex
	written map[int]int64 // bytes by chunk
	size    int64
}

func (c *countingFS) info() partfile.Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	return partfile.Info{Kind: partfile.Regular, Size: c.size, Allocated: c.size, Links: 1, ID: partfile.ID{Volume: math.MaxUint64}}
}

func (c *countingFS) Lstat(name string) (partfile.Info, error) {
	if name == simPart {
		return c.info(), nil
	}
	return c.FS.Lstat(name)
}

func (c *countingFS) OpenWrite(name string) (partfile.Handle, error) {
	if name == simPart {
		return countingFile{c}, nil
	}
	return c.FS.OpenWrite(name)
}

func (c *countingFS) Free() (int64, error) { return math.MaxInt64, nil }

type countingFile struct{ *countingFS }

func (f countingFile) Stat() (partfile.Info, error) { return f.info(), nil }

func (f countingFile) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written[int(off/hugeChunk)] += int64(len(p))
	return len(p), nil
}

func (f countingFile) ReadAt([]byte, int64) (int, error) {
	<-f.gate
	return 0, io.EOF
}

func (f countingFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = size
	return nil
}

func (f countingFile) Allocate(off, n int64) error       { return f.Truncate(max(f.info().Size, off+n)) }
func (f countingFile) NextData(off int64) (int64, error) { return off, nil }
func (f countingFile) Lock() (bool, error)               { return true, nil }
func (f countingFile) LockShared() (bool, error)         { return true, nil }
func (f countingFile) Forget() error                     { return nil }
func (f countingFile) Datasync() error                   { return nil }
func (f countingFile) Sync() error                       { return nil }
func (f countingFile) Close() error                      { return nil }

// hugeMissing are the chunks that are to be fetched.
var hugeMissing = []int{3, wire.MaxChunks / 2, wire.MaxChunks - 1}

// hugePiece is what all chunks of the huge file consist of.
var hugePiece = bytes.Repeat([]byte("malcolm!"), 32<<10)

// hugeValues returns made-up values, but for the chunks that are fetched.
func hugeValues(t *testing.T) (wire.Values, [32]byte) {
	values := wire.NewValues(wire.MaxChunks)
	rng := rand.NewChaCha8([32]byte{1})
	var value [32]byte
	for c := range values.Len() {
		rng.Read(value[:])
		values.Set(c, value)
	}
	var h manifest.Hasher
	for _, c := range hugeMissing {
		h.Reset(hugeSize, c)
		for h.Remaining() > 0 {
			if _, err := h.Write(hugePiece); err != nil {
				t.Fatal(err)
			}
		}
		value, _ := h.Sum()
		values.Set(c, value)
	}
	return values, manifest.Checksum(values)
}

// hugeJournal leaves a journal with a record of every chunk but the missing
// ones.
func hugeJournal(t *testing.T, fsys partfile.FS, checksum [32]byte) partfile.Options {
	o := partfile.Options{
		Name: simName, Size: hugeSize, ChunkSize: hugeChunk, Checksum: checksum, Action: partfile.Resume, SkipSpaceCheck: true,
	}
	f, err := partfile.Open(context.Background(), fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	for c := range f.Chunks() {
		f.MarkExisting(c, [16]byte{byte(c)})
	}
	f.SurveyDone()
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if f, err = partfile.Open(context.Background(), fsys, o); err != nil {
		t.Fatal(err)
	}
	for _, c := range hugeMissing {
		claim, _ := f.Claim(c)
		if err := claim.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

// startReal starts a malicious server on a real socket: virtual time is no help
// with this number of packets.
func startReal(t *testing.T, m *hostile.Server) {
	pc, err := transport.ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	m.Target = source.Target{Host: "127.0.0.1", Port: uint16(pc.LocalAddr().(*net.UDPAddr).Port)}
	if err := m.Start(pc, testIDs[0]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
}

// A heap remembers the growth of memory in use since its start.
type heap struct {
	first uint64
	most  atomic.Uint64
}

func inUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (h *heap) look() {
	if now := inUse(); now > h.first && now-h.first > h.most.Load() {
		h.most.Store(now - h.first)
	}
}

// The largest possible file lacks three chunks, and then all turn out to be
// missing. Memory stays within its bound a chunk.
func TestHugeFile(t *testing.T) {
	withoutRace(t)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	fsys := &countingFS{FS: partfile.Dir(root), gate: make(chan struct{}), written: make(map[int]int64), size: hugeSize}
	m := &hostile.Server{}
	m.Values, m.Offer.Checksum = hugeValues(t)
	m.Offer.Size, m.Offer.Name, m.Offer.ModTime = hugeSize, simName, time.Unix(1e9, 0)
	options := hugeJournal(t, fsys, m.Offer.Checksum)
	clear(fsys.written)
	mem := &heap{first: inUse()}
	m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { sendSlices(st, m.Values.Bytes(), mem.look) }
	m.OnRanges = func(st transport.Stream, spans []wire.Span) {
		if !missingRange(spans[0]) {
			m.Wait() // a chunk of which only the survey says that it is missing
			return
		}
		for range spans[0].Length / int64(len(hugePiece)) {
			hostile.SendBytes(st, hugePiece)
		}
	}
	startReal(t, m)

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var started fetch.Started
	three, allChecked := false, false
	o := &outcome{t: t}
	o.Result, o.err = Get(ctx, getConfig{
		Targets: []source.Target{m.Target}, Dir: root.Name(), Resume: true, SkipSpaceCheck: true, Interval: 20 * time.Millisecond,
		open: func(*os.Root) partfile.FS { return fsys },
		Events: func(event fetch.Event) {
			switch event := event.(type) {
			case fetch.Started:
				started = event
				mem.look()
			case progress:
				if !three && event.Good == int64(len(hugeMissing))*hugeChunk {
					three = true
					mem.look()
					close(fsys.gate)
				}
				if three && !allChecked && event.Checked == event.Check {
					allChecked = true
					mem.look()
					cancel(errInterrupted)
				}
			}
		},
	})
	if o.err != errInterrupted || !three || !allChecked {
		t.Fatalf("error = %v, three chunks fetched: %t, all checked: %t", o.err, three, allChecked)
	}
	if want := hugeSize - int64(len(hugeMissing))*hugeChunk; started.Check != want || started.Chunks != wire.MaxChunks {
		t.Errorf("started = %+v, want %d bytes to be checked", started, want)
	}
	wantHugeChunks(t, fsys, options, o)
	t.Logf("%d bytes a chunk, %d MiB in all", mem.most.Load()/wire.MaxChunks, mem.most.Load()>>20)
	if got, want := mem.most.Load(), uint64(bytesChunk*wire.MaxChunks+hugeBesides); got > want {
		t.Errorf("%d bytes of memory in use, want at most %d", got, want)
	}
}

// wantHugeChunks fails the test unless the missing chunks, and no other, were
// written and recorded.
func wantHugeChunks(t *testing.T, fsys *countingFS, options partfile.Options, o *outcome) {
	t.Helper()
	if want := int64(len(hugeMissing)) * hugeChunk; o.Fetched != want {
		t.Errorf("fetched %d, want %d", o.Fetched, want)
	}
	f, err := partfile.Open(context.Background(), fsys, options)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range hugeMissing {
		if fsys.written[c] != hugeChunk || !f.Claimed(c) {
			t.Errorf("chunk %d: %d bytes written, recorded: %t", c, fsys.written[c], f.Claimed(c))
		}
	}
	if len(fsys.written) != len(hugeMissing) {
		t.Errorf("%d chunks were written to, want %d", len(fsys.written), len(hugeMissing))
	}
}

func missingRange(r wire.Span) bool {
	for _, c := range hugeMissing {
		if r.Offset == int64(c)*hugeChunk && r.Length == hugeChunk {
			return true
		}
	}
	return false
}

// sendSlices sends bytes, and calls look a few times meanwhile.
func sendSlices(st transport.Stream, b []byte, look func()) {
	for len(b) > 0 {
		n := min(len(b), 8<<20)
		hostile.SendBytes(st, b[:n])
		b = b[n:]
		look()
	}
}
