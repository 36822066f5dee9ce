package transfer

import (
	"context"
	"io/fs"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

func (n *name) Open() (File, error) {
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
		v, made, err := ix.acquire()
		if v != nil || err != nil || ix.isReady() {
			t.Fatal("a version before run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan error, 1)
		go func() { returned <- ix.run(ctx) }()
		<-made
		first, _, _ := ix.acquire()
		if told := <-ready; first.offer.Checksum != checksum(src.data) || first.offer.Name != "x" ||
			first.offer.Size != chunk+1 || first.offer.Digest != manifest.Digest(first.manifest) ||
			told.Checksum != first.offer.Checksum || told.Size != chunk+1 || told.Offered != "x" {
			t.Errorf("first version = %+v, told %+v, want that of the file", first.offer, told)
		}
		if !ix.isCurrent(first) || !first.isIntact() {
			t.Error("the first version is not current")
		}
		src.replace(file(chunk+1, 2))
		if ix.isCurrent(first) || first.isIntact() {
			t.Error("the first version is still current, the time has changed")
		}
		ix.invalidate(first)
		ix.invalidate(first) // by several ranges at once
		<-ready
		ix.invalidate(first) // and by one that comes late
		synctest.Wait()
		second, _, _ := ix.acquire()
		if second == first || !ix.isCurrent(second) || second.offer.Checksum != checksum(src.data) {
			t.Errorf("second version = %+v, want that of the changed file", second.offer)
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
		time.Sleep(time.Second) // the server notices that the clients have gone
		if got := n.opened(); got != 1 {
			t.Errorf("%d files are open, want the new one only", got)
		}
		s.cancel()
		<-s.done
		if got := n.opened(); got != 0 {
			t.Errorf("%d files are open behind the end, want none", got)
		}
	})
}
