package transfer

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/manifest/cache"
	"malcolm/transfer/partfile"
	"malcolm/wire"
)

// longSize is the smallest size, in bytes, whose chunks have hugeChunk bytes,
// the largest there are, without a rest.
const longSize = 32<<30 + hugeChunk

// A longFile is a file of longSize bytes, as source and as part file. The
// journal of the part file records all its chunks but a few, which are in
// memory.
type longFile struct {
	*countingFS
	info     fs.FileInfo
	missing  map[int][]byte // what the source holds
	fetched  map[int][]byte // what the part file holds; under countingFS.mu
	values   wire.Values
	checksum [32]byte
}

// longInfo changes the size of a file.
type longInfo struct{ fs.FileInfo }

func (longInfo) Size() int64 { return longSize }

func newLongFile(t *testing.T, root *os.Root, missing ...int) *longFile {
	t.Helper()
	l := &longFile{missing: make(map[int][]byte), fetched: make(map[int][]byte)}
	l.countingFS = &countingFS{FS: partfile.Dir(root), gate: make(chan struct{}), written: make(map[int]int64), size: longSize}
	name := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	l.info = longInfo{info}
	l.values = wire.NewValues(manifest.Count(longSize))
	for c := range l.values.Len() {
		l.values.Set(c, [32]byte{byte(c), byte(c >> 8)})
	}
	var h manifest.Hasher
	for _, c := range missing {
		l.missing[c], l.fetched[c] = file(hugeChunk, byte(c)), make([]byte, hugeChunk)
		h.Reset(longSize, c)
		if _, err := h.Write(l.missing[c]); err != nil {
			t.Fatal(err)
		}
		value, _ := h.Sum()
		l.values.Set(c, value)
	}
	l.checksum = manifest.Checksum(l.values)
	return l
}

// journal leaves a journal with a record of every chunk that is not missing.
func (l *longFile) journal(t *testing.T) {
	t.Helper()
	f := l.part(t)
	for c := range f.Chunks() {
		if l.missing[c] == nil {
			f.MarkExisting(c, [16]byte{byte(c)})
		}
	}
	f.SurveyDone()
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func (l *longFile) part(t *testing.T) *partfile.File {
	t.Helper()
	f, err := partfile.Open(context.Background(), l, partfile.Options{
		Name: simName, Size: longSize, ChunkSize: hugeChunk, Checksum: l.checksum, Action: partfile.Resume, SkipSpaceCheck: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// serve starts a server that has the hashes in its cache.
func (l *longFile) serve(t *testing.T, w *world) *server {
	t.Helper()
	key, ok := cache.KeyOf(l.info)
	if !ok {
		t.Skip("this system does not tell versions of a file apart, so that it would have to be hashed")
	}
	kept := &cache.Cache{Dir: filepath.Join(t.TempDir(), "cache")}
	if err := kept.Store(key, l.values); err != nil {
		t.Fatal(err)
	}
	return w.serve(newSource(nil), 0, 1, serve.Config{Source: longSource{l}, Name: simName, Hashes: serve.Hashes{Cache: kept}})
}

// A longSource is the server's side of a longFile.
type longSource struct{ l *longFile }

func (s longSource) Open() (localfile.File, error) { return s, nil }
func (s longSource) Close() error                  { return nil }
func (s longSource) Stat() (fs.FileInfo, error)    { return s.l.info, nil }

func (s longSource) ReadAt(p []byte, off int64) (int, error) {
	data := s.l.missing[int(off/hugeChunk)]
	if off %= hugeChunk; int64(len(p)) > int64(len(data))-off {
		return 0, errors.New("a chunk that is not missing was asked for")
	}
	return copy(p, data[off:]), nil
}

func (l *longFile) OpenWrite(name string) (partfile.Handle, error) {
	if name == simPart {
		return longPart{countingFile{l.countingFS}, l}, nil
	}
	return l.FS.OpenWrite(name)
}

// A longPart is the client's side of a longFile.
type longPart struct {
	countingFile
	l *longFile
}

func (p longPart) WriteAt(b []byte, off int64) (int, error) {
	p.l.mu.Lock()
	copy(p.l.fetched[int(off/hugeChunk)][off%hugeChunk:], b)
	p.l.mu.Unlock()
	return p.countingFile.WriteAt(b, off)
}

// One server behind 1 Mbit/s is silent for 3 s of every 20 s and killed every
// 60 s, while a chunk of 16 MiB takes longer than two minutes. Every chunk
// arrives, and hardly a byte comes twice.
func TestProgressOnBadLink(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	const (
		rate     = 1e6 / 8
		every    = 20 * time.Second
		silence  = 3 * time.Second
		lifetime = time.Minute
	)
	bubble(t, func(t *testing.T, w *world) {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		long := newLongFile(t, root, 3, 1024, 2048)
		long.journal(t)
		clear(long.written)
		s := long.serve(t, w)
		slow(rate, s)
		l := s.links[0]
		size := int64(len(long.missing)) * hugeChunk
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		end := func(cause error) {
			cancel(cause)
			close(long.gate)
		}
		tooLate := time.AfterFunc(maxVirtual/2, func() { end(errForever) })
		defer tooLate.Stop()
		var began, ended time.Time
		var before, carried int64
		silences, kills := 0, 0
		o := w.getUnder(ctx, getConfig{
			Targets: s.targets, Dir: root.Name(), Resume: true, SkipSpaceCheck: true, Interval: 100 * time.Millisecond,
			open: func(*os.Root) partfile.FS { return long },
			Events: func(e fetch.Event) {
				switch e := e.(type) {
				case fetch.Started:
					began, before = time.Now(), l.way(fromServer).carried
				case progress:
					if began.IsZero() || !ended.IsZero() {
						return
					}
					if e.Good == size {
						ended, carried = time.Now(), l.way(fromServer).carried-before
						tooLate.Stop()
						end(errInterrupted)
						return
					}
					past := time.Since(began)
					silent := past%every >= every-silence
					l.set(func(l *link) {
						if silent && !l.hole {
							silences++
						}
						l.hole = silent
					})
					if int(past/lifetime) > kills {
						kills++
						s.kill()
					}
				}
			},
		})
		if o.err != errInterrupted || o.Fetched != size {
			t.Fatalf("error = %v, fetched %d, want %d bytes", o.err, o.Fetched, size)
		}
		t.Logf("%v, %d silences, %d kills, %.3f of the size arrived", ended.Sub(began), silences, kills, float64(carried)/float64(size))
		if least := int(float64(size) / rate / every.Seconds()); silences < least || kills < least/3 {
			t.Errorf("%d silences and %d kills, want %d and %d at least", silences, kills, least, least/3)
		}
		if dialled := w.port - firstPort + 1; dialled <= kills {
			t.Errorf("%d connections were dialled, want one more than the %d kills", dialled, kills)
		}
		if carried > size*11/10 {
			t.Errorf("%d bytes arrived for %d", carried, size)
		}
		ideal := float64(size) / rate / (1 - silence.Seconds()/every.Seconds())
		if took := ended.Sub(began).Seconds(); took > 1.25*ideal {
			t.Errorf("took %.0f s where the link needs %.0f", took, ideal)
		}
		long.wantFetched(t)
	})
}

// wantFetched fails the test unless the missing chunks are there and recorded.
func (l *longFile) wantFetched(t *testing.T) {
	t.Helper()
	f := l.part(t)
	defer f.Close()
	for c, want := range l.missing {
		if !bytes.Equal(l.fetched[c], want) || !f.Claimed(c) {
			t.Errorf("chunk %d differs, or is not recorded: %t", c, f.Claimed(c))
		}
	}
}
