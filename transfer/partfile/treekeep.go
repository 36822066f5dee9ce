package partfile

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"
)

// KeepableTree calls right for each chunk of an unfinished tree that a run
// which resumes it would keep; from several goroutines, and for each chunk
// once. It takes no lock and changes nothing: its result is a hint. Of o it
// uses Name, Tree and Listing. The bytes read are added to done. Errors are
// those with which OpenTree and [Tree.Survey] would fail to read what is there.
func KeepableTree(ctx context.Context, fsys FS, o TreeOptions, done *atomic.Int64, right func(chunk int)) error {
	o.Action = Resume
	t, err := newTree(fsys, o)
	if err != nil {
		return err
	}
	records, err := ReadRecords(fsys, o.Name, t.header)
	if err != nil {
		return err
	}
	d, err := t.parent.OpenDir(t.part)
	if err != nil {
		return failure(fsys, "open", t.part, err)
	}
	t.folders.root, t.folders.look = d, true
	defer d.Close()
	defer t.folders.close()
	t.state.syncedAll = true // nothing is synced
	if err := t.scan(ctx); err != nil {
		return err
	}
	chunks := slices.Sorted(maps.Keys(records.XXH3))
	for file := range t.content.Files() {
		if t.state.whole.has(file) {
			chunks = append(chunks, t.content.FirstChunk(file))
		}
	}
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			l := looker{surveyor: surveyor{t: t, buf: make([]byte, readAtOnce), done: done}}
			defer l.close()
			for {
				i := int(next.Add(1) - 1)
				if i >= len(chunks) {
					return nil
				}
				ok, err := l.isRight(ctx, chunks[i], records.XXH3[chunks[i]])
				if err != nil {
					return err
				}
				if ok {
					right(chunks[i])
				}
			}
		})
	}
	return g.Wait()
}

// A looker is a surveyor that opens files only to read them, and keeps the last
// one of several chunks open.
type looker struct {
	surveyor
	handle Handle // nil: none
	file   int    // of handle
}

func (l *looker) isRight(ctx context.Context, chunk int, xxh [16]byte) (bool, error) {
	place := l.t.content.Place(chunk)
	if l.t.isSmall(place.File) {
		return l.isRightSmall(ctx, place.File)
	}
	if !l.t.state.there.has(place.File) {
		return false, nil
	}
	if err := l.open(place.File); err != nil {
		return false, err
	}
	sum := xxh3.New()
	whole, err := l.read(ctx, l.handle, place.Offset, place.Length, sum)
	if err != nil {
		return false, l.t.failed("read", place.File, err)
	}
	return whole && sum.Sum128().Bytes() == xxh, nil
}

func (l *looker) open(file int) error {
	if l.handle != nil && l.file == file {
		return nil
	}
	l.close()
	path := l.t.pathOf(file)
	dir, name := split(path)
	return l.t.in(dir, "read", path, func(d Folder) (err error) {
		l.handle, _, err = openExisting(d, name, false)
		l.file = file
		return err
	})
}

func (l *looker) close() {
	if l.handle != nil {
		l.handle.Close()
		l.handle = nil
	}
}
