package transfer

import (
	"io/fs"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"

	"malcolm/transfer/localfile"
)

// A renamable is a source whose file can be replaced, as by a rename. It counts
// the files that are open.
type renamable struct {
	file atomic.Pointer[heldFile]
	open atomic.Int64
}

func renamableOf(first *heldFile) *renamable {
	n := &renamable{}
	n.file.Store(first)
	return n
}

// rename gives the name to another file.
func (n *renamable) rename(to *heldFile) {
	to.mtime = n.file.Load().mtime.Add(time.Hour)
	n.file.Store(to)
}

func (n *renamable) Stat() (fs.FileInfo, error) { return n.file.Load().Stat() }

func (n *renamable) Open() (localfile.File, error) {
	n.open.Add(1)
	return &renamed{n.file.Load(), n}, nil
}

// A renamed is an open file that had the name once.
type renamed struct {
	*heldFile
	name *renamable
}

func (f *renamed) Close() error {
	f.name.open.Add(-1)
	return nil
}

// A file that is replaced is served to the end for those who were offered it.
// Others are offered the new one.
func TestReplacedSource(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data, next := file(12*chunk, 1), file(5*chunk, 2)
		before := newSource(data)
		n := renamableOf(before)
		s := w.serve(before, 0, 1, serve.Config{Source: n})
		slow(200<<10, s)
		var second *outcome
		done := make(chan struct{})
		first := w.get(getConfig{Targets: s.targets, Events: at(0.1, func() {
			n.rename(newSource(next))
			go func() {
				defer close(done)
				second = w.get(getConfig{Targets: s.targets})
			}()
		})})
		first.has("data.bin", data)
		none[fetch.Lost](first)
		<-done
		second.has("data.bin", next)
		if got := len(serveEvents[serve.Ready](s)); got != 2 {
			t.Errorf("ready was told %d times, want 2", got)
		}
		if got := n.open.Load(); got != 2 {
			t.Errorf("%d files are open, want the new one and the one before it", got)
		}
		time.Sleep(10*time.Minute + time.Second)
		if got := n.open.Load(); got != 1 {
			t.Errorf("%d files are open, want the new one only: nobody has asked for the old one", got)
		}
		s.cancel()
		<-s.done
		if got := n.open.Load(); got != 0 {
			t.Errorf("%d files are open behind the end, want none", got)
		}
	})
}
