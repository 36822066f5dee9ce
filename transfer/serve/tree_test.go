package serve

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/hostile"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

// A treeWorld is a world that offers a directory.
type treeWorld struct {
	*world
	dir    string
	conn   *fakeConn
	told   chan Event
	tree   *treeIndex
	opened atomic.Int64
}

// newTreeWorld offers a directory of files by their path.
func newTreeWorld(t *testing.T, files map[string][]byte) *treeWorld {
	t.Helper()
	w := &treeWorld{dir: t.TempDir(), told: make(chan Event, 1000)}
	for path, data := range files {
		w.write(t, path, data)
	}
	source, err := localfile.OfferDirectory(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	part := scan.Part{Path: w.dir, Open: func() (scan.Dir, error) {
		d, err := source.Open()
		if err != nil {
			return nil, err
		}
		return countedDir{d, &w.opened}, nil
	}}
	w.world = newWorld(t, nil, Config{
		Tree:   &Tree{Scan: scan.Config{Parts: []scan.Part{part}, AllowEmpty: true}},
		Events: func(e Event) { w.told <- e },
	})
	w.tree = w.srv.index.(*treeIndex)
	w.conn = w.open()
	return w
}

// A countedDir is a directory that counts the files opened in it.
type countedDir struct {
	scan.Dir
	opened *atomic.Int64
}

func (d countedDir) Open(path string) (localfile.File, error) {
	d.opened.Add(1)
	return d.Dir.Open(path)
}

func (w *treeWorld) write(t *testing.T, path string, data []byte) {
	t.Helper()
	full := filepath.Join(w.dir, path)
	os.MkdirAll(filepath.Dir(full), 0o755)
	if err := os.WriteFile(full, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// offer asks for the offer.
func (w *treeWorld) offer(t *testing.T) wire.Offer {
	t.Helper()
	w.conn = w.open() // which asks for one, too
	r := bytes.NewReader(w.conn.request(wire.StatRequest{}).end())
	h, err := wire.ReadHeader(r)
	for err == nil && h.Status == wire.StatusIndexing {
		if _, err = wire.ReadIndexing(r, h); err == nil {
			h, err = wire.ReadHeader(r)
		}
	}
	if err != nil || h.Status != wire.StatusOK {
		t.Fatalf("no offer: %v, %v", h.Status, err)
	}
	o, err := wire.ReadOffer(r, h)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// fetch asks for the whole of bytes with a checksum.
func (w *treeWorld) fetch(t *testing.T, sum [32]byte, size int64) hostile.SpanReply {
	t.Helper()
	spans := []wire.Span{{Checksum: sum, Length: size}}
	got, err := hostile.ReadSpans(bytes.NewReader(w.conn.request(wire.RangesRequest{Spans: spans}).end()), spans)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// entries asks for the listing that is offered, and returns its entries by
// path.
func (w *treeWorld) entries(t *testing.T) map[string]wire.Entry {
	t.Helper()
	o := w.offer(t)
	if o.Kind != wire.KindTree || o.Name != "data" {
		t.Fatalf("offered %+v", o)
	}
	got := w.fetch(t, o.Checksum, o.Size)
	if got.Failed != nil || sumOf(got.Data) != o.Checksum {
		t.Fatalf("the listing fails: %v", got.Failed)
	}
	list, err := wire.ParseListing(got.Data)
	if err != nil {
		t.Fatal(err)
	}
	entries := make(map[string]wire.Entry)
	for _, e := range list {
		entries[e.Path] = e
	}
	return entries
}

// has checks that bytes come, or what their failure is.
func (w *treeWorld) has(t *testing.T, what string, data []byte, want wire.Status) {
	t.Helper()
	got := w.fetch(t, sumOf(data), int64(len(data)))
	status := wire.StatusOK
	if got.Failed != nil {
		status = got.Failed.Status
	}
	if status != want || want == wire.StatusOK && !bytes.Equal(got.Data, data) || want != wire.StatusOK && len(got.Data) > 0 {
		t.Errorf("%s: %v and %d bytes, want %v", what, status, len(got.Data), want)
	}
}

// A tree is offered as its listing. The listing, the times and each file come
// by their checksum, a large file has values.
func TestTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := map[string][]byte{
			"a": numbers(1000, 1), "d/b": numbers(oneChunk, 2), "d/large": numbers(3*oneChunk+5, 3), "same": numbers(1000, 1), "\xff\n": numbers(3, 4),
		}
		w := newTreeWorld(t, files)
		entries := w.entries(t)
		if got := slices.Sorted(maps.Keys(entries)); !slices.Equal(got, slices.Sorted(maps.Keys(files))) {
			t.Errorf("listed: %q", got)
		}
		for path, data := range files {
			if e := entries[path]; e.Checksum != sumOf(data) || e.Size != int64(len(data)) {
				t.Errorf("%q is listed as %+v", path, e)
			}
			w.has(t, path, data, wire.StatusOK)
		}
		o := w.offer(t)
		times := w.fetch(t, o.Times, o.TimesSize)
		if _, err := wire.ParseTimes(times.Data, len(entries)); err != nil || sumOf(times.Data) != o.Times {
			t.Errorf("times: %v", err)
		}
		large := files["d/large"]
		reply := w.conn.request(wire.ValuesRequest{Checksum: sumOf(large), First: 1, Count: 3}).end()
		values, err := wire.ReadValues(bytes.NewReader(reply), 3)
		if err != nil || values.At(0) != sumOfChunk(large, 1) || values.At(2) != sumOfChunk(large, 3) {
			t.Errorf("values: %v", err)
		}
		for path, want := range map[string]wire.Status{"a": wire.StatusOutOfRange, "d/large": wire.StatusOutOfRange} {
			got := readRefusal(t, w.conn.request(wire.ValuesRequest{Checksum: sumOf(files[path]), First: 3, Count: 2}).end())
			if got.Status != want {
				t.Errorf("values of %s: %v, want %v", path, got.Status, want)
			}
		}
		if reply := w.conn.request(wire.RecheckRequest{Checksum: sumOf(large), Chunk: 2}).end(); reply[0] != byte(wire.StatusOK) {
			t.Errorf("recheck: %v", reply)
		}
		for e := range w.told {
			if ready, ok := e.(Ready); ok {
				if ready.Tree.Files != 5 || ready.Size != 1000+oneChunk+3*oneChunk+5+1000+3 || ready.Checksum != o.Checksum {
					t.Errorf("told %+v", ready)
				}
				break
			}
		}
	})
}

// A change is found by a scan, which is made at most every ten seconds. Old
// clients get every file that is as it was, new ones the new listing.
func TestTreeChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after, other := numbers(5000, 1), numbers(6000, 2), numbers(7000, 3)
		w := newTreeWorld(t, map[string][]byte{"x": before, "y": other})
		first := w.offer(t)
		w.write(t, "new", numbers(5, 5))
		w.write(t, "x", after)
		if w.offer(t).Checksum != first.Checksum {
			t.Error("scanned again within ten seconds")
		}
		time.Sleep(DefaultRescan)
		if got := w.entries(t); len(got) != 3 || got["x"].Checksum != sumOf(after) {
			t.Errorf("the new listing is %v", got)
		}
		w.has(t, "what has changed", before, wire.StatusChanged)
		w.has(t, "what it is now", after, wire.StatusOK)
		w.has(t, "what is as it was", other, wire.StatusOK)
		if old := w.fetch(t, first.Checksum, first.Size); old.Failed != nil {
			t.Errorf("the old listing: %v", old.Failed)
		}
		time.Sleep(forgetTime + time.Second)
		synctest.Wait()
		if old := w.fetch(t, first.Checksum, first.Size); old.Failed == nil {
			t.Error("the old listing is held although nobody asks for it")
		}
		if n := w.tree.current.users; n != 2+w.tree.open.order.Len() {
			t.Errorf("the current version has %d users, %d files are open", n, w.tree.open.order.Len())
		}
	})
}

// A read that finds a changed file has the tree scanned at once: nobody is told
// an old listing for ten seconds.
func TestReadFindsChange(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 3) },
		"link": func(path string) error {
			os.Remove(path)
			return os.Symlink("y", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := numbers(5000, 1)
				w := newTreeWorld(t, map[string][]byte{"x": x, "y": numbers(5000, 2)})
				first := w.offer(t)
				w.has(t, "before", x, wire.StatusOK)
				if err := change(filepath.Join(w.dir, "x")); err != nil {
					t.Fatal(err)
				}
				if name == "truncated" {
					w.has(t, "through the open file", x, wire.StatusChanged)
				} else {
					w.tree.open.forgetAll(w.tree.current)
					w.has(t, "by its name", x, wire.StatusChanged)
				}
				time.Sleep(soonest)
				synctest.Wait()
				if w.offer(t).Checksum == first.Checksum {
					t.Error("the old listing is offered although a read found a change")
				}
			})
		})
	}
}

// A file that changes at each look, and with it the listing, does not keep the
// others from being served.
func TestTreeThatAlwaysChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		still := numbers(5000, 1)
		w := newTreeWorld(t, map[string][]byte{"log": {}, "still": still})
		seen := make(map[[32]byte]bool)
		for i := range 20 {
			w.write(t, "log", numbers(i+1, 7))
			seen[w.offer(t).Checksum] = true
			w.has(t, "still", still, wire.StatusOK)
			time.Sleep(DefaultRescan / 2)
		}
		if len(seen) < 9 || len(seen) > 12 {
			t.Errorf("%d listings in 20 looks 5 s apart, want about 10", len(seen))
		}
	})
}

// However many files clients ask for at once, at most 256 are open, and each
// gets its bytes.
func TestOpenFiles(t *testing.T) {
	files := make(map[string][]byte)
	for i := range 1000 {
		files[fmt.Sprintf("d%d/f%d", i%10, i)] = fmt.Appendf(nil, "file %d", i)
	}
	w := newTreeWorld(t, files)
	w.offer(t)
	var wg sync.WaitGroup
	const clients = 8
	for range clients {
		wg.Go(func() {
			for _, data := range files {
				v, why := w.tree.hold(sumOf(data))
				if why != nil {
					t.Errorf("%s: %v", data, why)
					return
				}
				b := make([]byte, len(data))
				if v.file.ReadAt(b, 0); !bytes.Equal(b, data) {
					t.Errorf("read %q, want %q", b, data)
				}
				w.tree.release(v)
			}
		})
	}
	wg.Wait()
	// Clients that open one file at the same time take a place each. In the
	// end all but one of these are free.
	if o := w.tree.open; o.most > maxOpenFiles || o.n > maxOpenFiles || o.n <= maxOpenFiles-clients || o.order.Len() != o.n || len(o.files) != o.n {
		t.Errorf("%d files were open at once, now %d, of them %d kept", o.most, o.n, o.order.Len())
	}
	w.tree.close()
	if o := w.tree.open; o.n != 0 {
		t.Errorf("%d files are open at the end", o.n)
	}
}

// If all files that may be open are in use, the next one waits for one of them.
func TestOpenFileWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := make(map[string][]byte)
		for i := range maxOpenFiles + 1 {
			files[fmt.Sprint(i)] = fmt.Appendf(nil, "file %d", i)
		}
		w := newTreeWorld(t, files)
		w.offer(t)
		var held []*version
		for i := range maxOpenFiles {
			v, _ := w.tree.hold(sumOf(fmt.Appendf(nil, "file %d", i)))
			held = append(held, v)
		}
		last := make(chan *version)
		go func() {
			v, _ := w.tree.hold(sumOf(fmt.Appendf(nil, "file %d", maxOpenFiles)))
			last <- v
		}()
		synctest.Wait()
		select {
		case <-last:
			t.Fatal("one file more is open")
		default:
		}
		w.tree.release(held[100])
		if v := <-last; v == nil {
			t.Error("no file after one was given back")
		} else {
			w.tree.release(v)
		}
	})
}

// Clients that take nothing keep no file open: others get theirs at once.
func TestSlowClientsHoldNoFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := make(map[string][]byte)
		name := func(i int) []byte { return append(numbers(20<<10, byte(i)), byte(i>>8)) }
		const conns, streams = 150, 2
		for i := range conns*streams + 1 {
			files[fmt.Sprint(i)] = name(i)
		}
		w := newTreeWorld(t, files)
		w.offer(t)
		for i := range conns {
			c := w.open()
			for j := range streams {
				span := wire.Span{Checksum: sumOf(name(i*streams + j)), Length: 20<<10 + 1}
				c.ask(false, 1000, true, wire.AppendRequest(nil, wire.RangesRequest{Spans: []wire.Span{span}}))
			}
		}
		synctest.Wait()
		began := time.Now()
		w.has(t, "a quick client", name(conns*streams), wire.StatusOK)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("it waited %v for those that take nothing", waited)
		}
		if o := w.tree.open; o.most != maxOpenFiles || o.n != maxOpenFiles {
			t.Errorf("%d files were open at once, now %d, want %d", o.most, o.n, maxOpenFiles)
		}
		for e := w.tree.open.order.Front(); e != nil; e = e.Next() {
			if v := e.Value.(*version); v.users != 0 {
				t.Fatalf("entry %d is in use", v.entry)
			}
		}
	})
}

// Spans of many small files come in one reply, of which no file stays in use.
func TestManySmallFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := make(map[string][]byte)
		var spans []wire.Span
		var want []byte
		for i := range wire.MaxSpans {
			data := numbers(4096, byte(i))
			data[0] = byte(i >> 8)
			files[fmt.Sprint(i)] = data
			spans = append(spans, wire.Span{Checksum: sumOf(data), Length: 4096})
			want = append(want, data...)
		}
		w := newTreeWorld(t, files)
		w.offer(t)
		got, err := hostile.ReadSpans(bytes.NewReader(w.conn.request(wire.RangesRequest{Spans: spans}).end()), spans)
		var all []byte
		for _, span := range got {
			all = append(all, span.Data...)
		}
		if err != nil || !bytes.Equal(all, want) {
			t.Errorf("other bytes, %v", err)
		}
		for e := w.tree.open.order.Front(); e != nil; e = e.Next() {
			if v := e.Value.(*version); v.users != 0 {
				t.Errorf("entry %d is in use", v.entry)
			}
		}
	})
}

// Bytes that are not those that were hashed, although the system says nothing,
// and values that were lost, are hashed anew.
func TestTreeIsDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large, other := numbers(3*oneChunk, 1), numbers(3*oneChunk, 9)
		w := newTreeWorld(t, map[string][]byte{"large": large})
		w.offer(t)
		v, _ := w.tree.hold(sumOf(large))
		v.file = otherFile{v.file, other} // what the disk gives from now on
		w.tree.release(v)
		got := readRefusal(t, w.conn.request(wire.RecheckRequest{Checksum: sumOf(large), Chunk: 1}).end())
		if got.Status != wire.StatusChanged {
			t.Errorf("recheck: %v", got.Status)
		}
		w.has(t, "what is doubted", large, wire.StatusChanged)
		opened := w.opened.Load()
		time.Sleep(soonest)
		synctest.Wait()
		w.has(t, "what was hashed anew", large, wire.StatusOK)
		if w.opened.Load() < opened+2 {
			t.Error("the file was not hashed anew")
		}
		found := false
		for range len(w.told) {
			d, ok := (<-w.told).(Damaged)
			found = found || ok && d.Path == "large" && d.Chunk == 1
		}
		if !found {
			t.Error("nobody is told")
		}
	})
}

type otherFile struct {
	localfile.File
	data []byte
}

func (f otherFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.data).ReadAt(p, off)
}

// A directory that is replaced by a link is not offered any more, nor one that
// is suddenly empty.
func TestTreeTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTreeWorld(t, map[string][]byte{"d/x": numbers(10, 1)})
		w.offer(t)
		os.Rename(w.dir, w.dir+"-gone")
		defer os.Rename(w.dir+"-gone", w.dir)
		defer os.Remove(w.dir)
		if err := os.Symlink("/", w.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(DefaultRescan)
		c := w.dial()
		reply := bytes.NewReader(c.ask(true, unread, true, wire.AppendRequest(wire.AppendRequest(nil, wire.Open{}), wire.StatRequest{})).end())
		opened(t, reply)
		rest, _ := io.ReadAll(reply)
		w.conn = c
		got := readRefusal(t, rest)
		if got.Status != wire.StatusUnreadable {
			t.Errorf("%v, want that it cannot be read", got.Status)
		}
		w.has(t, "a file of it", numbers(10, 1), wire.StatusChanged)
	})
}

var _ fs.FileInfo = memory{}

// What a file of memory says of itself is what a listing needs.
func TestMemoryFile(t *testing.T) {
	v, err := inMemory(t.Context(), bytes.NewReader(numbers(2*oneChunk, 1)), 2*oneChunk, time.Unix(5, 0))
	if err != nil || !v.isIntact() || v.offer.Checksum != sumOf(numbers(2*oneChunk, 1)) || v.chunks() != 2 ||
		manifest.Check(v.values, v.offer.Size, v.offer.Checksum) != nil {
		t.Errorf("%+v, %v", v.offer, err)
	}
}
