package serve

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// A version whose file was changed is no longer held, and another one is made.
func TestIndexInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data, next := filled(oneChunk+1, 1), filled(oneChunk+1, 2)
		src := newMemFile(data)
		n := &memName{file: src}
		ready := make(chan Ready, 10)
		ix := newIndex(n, "x", Hashes{}, func(e Event) { ready <- e.(Ready) })
		v, made, err := ix.acquire(t.Context()) // nobody runs it yet
		if v != nil || err != nil || ix.isReady() {
			t.Fatal("a version before run")
		}
		stop := runIndex(t, ix)
		<-made
		first, _, _ := ix.acquire(t.Context())
		if told := <-ready; first.offer.Checksum != sumOf(data) || first.offer.Name != "x" ||
			first.offer.Size != oneChunk+1 || manifest.Check(first.values, oneChunk+1, first.offer.Checksum) != nil ||
			told.Checksum != first.offer.Checksum || told.Size != oneChunk+1 || told.Offered != "x" {
			t.Errorf("first version = %+v, told %+v, want that of the file", first.offer, told)
		}
		if again, _, _ := ix.acquire(t.Context()); again != first || !first.isIntact() {
			t.Error("the first version is not current")
		}
		ix.release(first)
		src.replace(next)
		second := readyVersion(t.Context(), ix)
		if first.isIntact() || ix.version(first.offer.Checksum) != nil {
			t.Error("the first version is still held, the time has changed")
		}
		ix.changed(first) // by several ranges at once
		<-ready
		ix.changed(first) // and by one that comes late
		synctest.Wait()
		if second == first || second.offer.Checksum != sumOf(next) {
			t.Errorf("second version = %+v, want that of the changed file", second)
		}
		if len(ready) != 0 {
			t.Errorf("%d versions more", len(ready))
		}
		if got := ix.progress().Indexing; got != (wire.Indexing{Done: oneChunk + 1, Total: oneChunk + 1}) {
			t.Errorf("progress = %+v, want all", got)
		}
		if got := n.opened(); got != 2 {
			t.Errorf("%d files are open, want both versions'", got)
		}
		ix.release(first)
		stop()
		if got := n.opened(); got != 1 {
			t.Errorf("%d files are open, want that of the version in use", got)
		}
		ix.release(second)
		if got := n.opened(); got != 0 {
			t.Errorf("%d files are open, want none", got)
		}
	})
}

// A replaced version is held while somebody asks for it, and at most one of
// them: clients that stay connected keep no more files.
func TestReplacedVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &memName{file: newMemFile(filled(oneChunk, 1))}
		ix := newIndex(n, "x", Hashes{}, func(Event) {})
		stop := runIndex(t, ix)
		var sums [][32]byte
		for i := range 6 {
			if i > 0 {
				n.rename(newMemFile(filled(oneChunk, byte(i+1))))
			}
			v := readyVersion(t.Context(), ix)
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
		for range 5 { // asked for from time to time
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
		stop()
	})
}

// A name that cannot be looked at because its file system hangs delays nobody.
func TestNameThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &hangingName{memFile: newMemFile(filled(oneChunk, 1)), hang: make(chan struct{})}
		ix := newIndex(src, "x", Hashes{}, func(Event) {})
		stop := runIndex(t, ix)
		ix.release(readyVersion(t.Context(), ix))
		src.hangs.Store(true)
		for range 3 {
			began := time.Now()
			v, _, err := ix.acquire(t.Context())
			if v == nil || err != nil || time.Since(began) != nameCheckTime {
				t.Errorf("after %v: %v, %v, want the version after %v", time.Since(began), v, err, nameCheckTime)
			}
			ix.release(v)
		}
		stop()
		close(src.hang)
	})
}

type hangingName struct {
	*memFile
	hangs atomic.Bool
	hang  chan struct{}
}

func (n *hangingName) Open() (localfile.File, error) { return n.memFile, nil }

func (n *hangingName) Stat() (fs.FileInfo, error) {
	if n.hangs.Load() {
		<-n.hang
	}
	return n.memFile.Stat()
}

// A file that changes all the time is hashed less and less often.
func TestFileThatAlwaysChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := filled(oneChunk, 1)
		src := newMemFile(data)
		var hashed atomic.Int64
		src.reading = func() {
			hashed.Add(1)
			src.replace(data)
		}
		stop := runIndex(t, newIndex(src, "x", Hashes{}, func(Event) {}))
		time.Sleep(10 * time.Hour)
		if n := hashed.Load(); n < 100 || n > 400 {
			t.Errorf("hashed %d times in 10 h, want about 120, twice a read", n)
		}
		stop()
	})
}

// A server that gets needless requests to check its disk does so at most once a
// second.
func TestRecheckIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newMemFile(filled(3*oneChunk, 1))
		ix := newIndex(src, "x", Hashes{}, func(Event) {})
		stop := runIndex(t, ix)
		v := readyVersion(t.Context(), ix)
		before, looks := src.read, 0
		for range 100 {
			good, err := ix.examine(v, 1)
			if err == nil && !good {
				t.Fatal("a good chunk is taken for damaged")
			}
			var busy recheckBusy
			switch {
			case err == nil:
				looks++
			case !errors.As(err, &busy):
				t.Fatal(err)
			case busy.wait <= 0 || busy.wait > recheckEvery:
				t.Fatalf("come back in %v", busy.wait)
			}
			time.Sleep(recheckEvery / 10)
		}
		if read := src.read - before; looks == 0 || looks > 10 || read > int64(looks)*oneChunk {
			t.Errorf("%d looks read %d bytes in 10 s, want at most 10 of a chunk each", looks, read)
		}
		ix.release(v)
		stop()
	})
}
