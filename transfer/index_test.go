package transfer

import (
	"context"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// A name is a source under which one file can take the place of another, as by
// a rename. It counts the files that are open.
type name struct {
	mu   sync.Mutex
	file *source
	open int
}

func (n *name) Stat() (fs.FileInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file.Stat()
}

func (n *name) Open() (localfile.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open++
	return &openFile{source: n.file, name: n}, nil
}

// rename gives the name to another file.
func (n *name) rename(to *source) {
	n.mu.Lock()
	defer n.mu.Unlock()
	to.mtime = n.file.mtime.Add(time.Hour)
	n.file = to
}

func (n *name) opened() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

type openFile struct {
	*source
	name *name
}

func (f *openFile) Close() error {
	f.name.mu.Lock()
	defer f.name.mu.Unlock()
	f.name.open--
	return nil
}

func TestIndexInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(file(chunk+1, 1))
		n := &name{file: src}
		ready := make(chan Ready, 10)
		ix := newIndex(n, "x", nil, func(e ServeEvent) { ready <- e.(Ready) })
		v, made, err := ix.acquire(t.Context()) // nobody runs it yet
		if v != nil || err != nil || ix.isReady() {
			t.Fatal("a version before run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan error, 1)
		go func() { returned <- ix.run(ctx) }()
		<-made
		first, _, _ := ix.acquire(t.Context())
		if told := <-ready; first.offer.Checksum != checksum(src.data) || first.offer.Name != "x" ||
			first.offer.Size != chunk+1 || first.offer.Digest != manifest.Digest(first.manifest) ||
			told.Checksum != first.offer.Checksum || told.Size != chunk+1 || told.Offered != "x" {
			t.Errorf("first version = %+v, told %+v, want that of the file", first.offer, told)
		}
		if again, _, _ := ix.acquire(t.Context()); again != first || !first.isIntact() {
			t.Error("the first version is not current")
		}
		ix.release(first)
		src.replace(file(chunk+1, 2))
		second := readyVersion(t.Context(), ix)
		if first.isIntact() || ix.version(first.offer.Checksum) != nil {
			t.Error("the first version is still held, the time has changed")
		}
		ix.changed(first) // by several ranges at once
		<-ready
		ix.changed(first) // and by one that comes late
		synctest.Wait()
		if second == first || second.offer.Checksum != checksum(src.data) {
			t.Errorf("second version = %+v, want that of the changed file", second)
		}
		if len(ready) != 0 {
			t.Errorf("%d versions more", len(ready))
		}
		if got := ix.progress(); got != (wire.Indexing{Done: chunk + 1, Total: chunk + 1}) {
			t.Errorf("progress = %+v, want all", got)
		}
		if got := n.opened(); got != 2 {
			t.Errorf("%d files are open, want both versions'", got)
		}
		ix.release(first)
		cancel()
		if err := <-returned; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
		if got := n.opened(); got != 1 {
			t.Errorf("%d files are open, want that of the version in use", got)
		}
		ix.release(second)
		if got := n.opened(); got != 0 {
			t.Errorf("%d files are open, want none", got)
		}
	})
}

// A file that another one takes the place of is served to the end to those who
// were offered it; others are offered the new one.
func TestReplacedSource(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, next := file(12*chunk, 1), file(5*chunk, 2)
		n := &name{file: newSource(data)}
		s := w.serve(n.file, 0, 1, ServeConfig{Source: n})
		slow(200<<10, s)
		var second *outcome
		done := make(chan struct{})
		first := w.get(GetConfig{Targets: s.targets, Events: at(0.1, func() {
			n.rename(newSource(next))
			go func() {
				defer close(done)
				second = w.get(GetConfig{Targets: s.targets})
			}()
		})})
		first.has("data.bin", data)
		none[Lost](first)
		<-done
		second.has("data.bin", next)
		if got := len(serveEvents[Ready](s)); got != 2 {
			t.Errorf("ready was told %d times, want 2", got)
		}
		if got := n.opened(); got != 2 {
			t.Errorf("%d files are open, want the new one and the one before it", got)
		}
		time.Sleep(forgetTime + time.Second)
		if got := n.opened(); got != 1 {
			t.Errorf("%d files are open, want the new one only: nobody has asked for the old one", got)
		}
		s.cancel()
		<-s.done
		if got := n.opened(); got != 0 {
			t.Errorf("%d files are open behind the end, want none", got)
		}
	})
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

// A version that was replaced is held for as long as somebody asks for it, and
// the one before it at most once: clients that stay connected keep no more files.
func TestReplacedVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &name{file: newSource(file(chunk, 1))}
		ix := newIndex(n, "x", nil, func(ServeEvent) {})
		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan error, 1)
		go func() { returned <- ix.run(ctx) }()
		var sums [][32]byte
		for i := range 6 {
			if i > 0 {
				n.rename(newSource(file(chunk, byte(i+1))))
			}
			v := readyVersion(ctx, ix)
			sums = append(sums, v.offer.Checksum)
			ix.release(v)
			if got := n.opened(); got > 2 {
				t.Errorf("after %d versions %d files are open, want at most 2", i+1, got)
			}
		}
		current, previous := ix.version(sums[5]), ix.version(sums[4])
		if current == nil || previous == nil || ix.version(sums[3]) != nil {
			t.Error("held are other versions than the last two")
		}
		ix.release(current)
		ix.release(previous)
		for range 5 { // asked for now and then
			time.Sleep(forgetTime - time.Minute)
			v := ix.version(sums[4])
			if v == nil {
				t.Fatal("a version was let go of although somebody asks for it")
			}
			ix.release(v)
		}
		time.Sleep(forgetTime + time.Second)
		if ix.version(sums[4]) != nil || n.opened() != 1 {
			t.Errorf("the version that nobody asks for is held, %d files are open", n.opened())
		}
		cancel()
		<-returned
	})
}

// A name that cannot be looked at, since its file system hangs, holds nobody up.
func TestNameThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &hangingName{source: newSource(file(chunk, 1)), hang: make(chan struct{})}
		ix := newIndex(src, "x", nil, func(ServeEvent) {})
		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan error, 1)
		go func() { returned <- ix.run(ctx) }()
		ix.release(readyVersion(ctx, ix))
		src.hangs.Store(true)
		for range 3 {
			began := time.Now()
			v, _, err := ix.acquire(ctx)
			if v == nil || err != nil || time.Since(began) != lookTime {
				t.Errorf("after %v: %v, %v, want the version after %v", time.Since(began), v, err, lookTime)
			}
			ix.release(v)
		}
		cancel()
		if err := <-returned; err != nil {
			t.Error(err)
		}
		close(src.hang)
	})
}

type hangingName struct {
	*source
	hangs atomic.Bool
	hang  chan struct{}
}

func (n *hangingName) Open() (localfile.File, error) { return n.source, nil }

func (n *hangingName) Stat() (fs.FileInfo, error) {
	if n.hangs.Load() {
		<-n.hang
	}
	return n.source.Stat()
}

// A file that changes all the time is hashed less and less often.
func TestFileThatAlwaysChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newSource(file(chunk, 1))
		var hashed atomic.Int64
		src.indexing = func() error {
			hashed.Add(1)
			src.replace(src.data)
			return nil
		}
		ix := newIndex(src, "x", nil, func(ServeEvent) {})
		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan error, 1)
		go func() { returned <- ix.run(ctx) }()
		time.Sleep(10 * time.Hour)
		if n := hashed.Load(); n < 100 || n > 400 {
			t.Errorf("hashed %d times in 10 h, want about 120, twice a read", n)
		}
		cancel()
		<-returned
	})
}
