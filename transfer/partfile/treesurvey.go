package partfile

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"malcolm/transfer/manifest"
)

// Found reports whether an earlier run may have left the right bytes of a
// chunk: its journal claims the chunk, or there is a file of one chunk with the
// right size. Any other chunk is missing. It does not change until
// [Tree.Survey].
func (t *Tree) Found(chunk int) bool {
	if t.claimed.has(chunk) {
		return true
	}
	file := t.content.Place(chunk).File
	return t.isSmall(file) && t.state.whole.has(file)
}

// readAtOnce is the number of bytes that a survey reads at once.
const readAtOnce = 256 << 10

// Survey reads each chunk that is [Tree.Found], marks it if it is right, and
// reports it once. Files of one chunk are right if their BLAKE3 is, the other
// chunks if they have the xxh3 of their record. A chunk that somebody claimed
// meanwhile is not ok. workers chunks are read at once, GOMAXPROCS if that is
// not positive; report must allow concurrent calls. The bytes read are added to
// done unless it is nil. All calls have returned when Survey returns. Errors
// are those of reading; ctx's cause within one buffer of its end.
func (t *Tree) Survey(ctx context.Context, workers int, done *atomic.Int64, report func(chunk int, ok bool)) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	type found struct {
		chunk int
		xxh   [16]byte // zero: of a file of one chunk
	}
	todo := make(chan found, workers)
	g, gctx := errgroup.WithContext(ctx)
	next := func(chunk int, xxh [16]byte) bool {
		select {
		case todo <- found{chunk, xxh}:
			return true
		case <-gctx.Done():
			return false
		}
	}
	g.Go(func() error {
		defer close(todo)
		for file := range t.content.Files() {
			if t.state.whole.has(file) && !next(t.content.FirstChunk(file), [16]byte{}) {
				return nil
			}
		}
		return t.EachRecord(next)
	})
	for range workers {
		g.Go(func() error {
			s := surveyor{t: t, buf: make([]byte, readAtOnce), done: done}
			for f := range todo {
				ok, err := s.isRight(gctx, f.chunk, f.xxh)
				if err != nil {
					return err
				}
				report(f.chunk, ok && t.MarkExisting(f.chunk, f.xxh))
			}
			return nil
		})
	}
	err := g.Wait()
	if ended := context.Cause(ctx); ended != nil {
		return ended
	}
	return err
}

// A surveyor reads chunks. One goroutine uses it.
type surveyor struct {
	t      *Tree
	buf    []byte
	hasher manifest.Hasher
	done   *atomic.Int64
}

func (s *surveyor) isRight(ctx context.Context, chunk int, xxh [16]byte) (bool, error) {
	place := s.t.content.Place(chunk)
	if s.t.isSmall(place.File) {
		return s.isRightSmall(ctx, place.File)
	}
	if !s.t.state.there.has(place.File) {
		return false, nil
	}
	h, err := s.t.large.use(s.t, place.File)
	if err != nil {
		return false, err
	}
	defer s.t.large.done(h)
	sum := xxh3.New()
	whole, err := s.read(ctx, h.handle, place.Offset, place.Length, sum)
	if err != nil {
		return false, s.t.failed("read", place.File, err)
	}
	return whole && sum.Sum128().Bytes() == xxh, nil
}

// isRightSmall reads a file of one chunk from the disk.
func (s *surveyor) isRightSmall(ctx context.Context, number int) (bool, error) {
	t, f := s.t, s.t.content.File(number)
	s.hasher.Reset(f.Size, 0)
	whole := false
	path := t.pathOf(number)
	dir, name := split(path)
	err := t.in(dir, "read", path, func(d Folder) error {
		h, info, err := openExisting(d, name, !t.state.syncedAll)
		if errors.Is(err, errReplaced) || errors.Is(err, errNotRegular) || errors.Is(err, errLinks) || err == nil && info.Size != f.Size {
			if err == nil {
				err = h.Close()
			} else {
				err = nil // another program's doing: it is not right
			}
			return err
		}
		if err != nil {
			return err
		}
		defer h.Close()
		if err := s.uncache(h); err != nil {
			return err
		}
		whole, err = s.read(ctx, h, 0, f.Size, &s.hasher)
		return err
	})
	if err != nil || !whole {
		return false, err
	}
	sum, _ := s.hasher.Sum()
	return sum == f.Checksum, nil
}

// uncache makes sure that the next reads come from the disk: after a failed
// sync the cache can show bytes that are not there.
func (s *surveyor) uncache(h Handle) error {
	if !s.t.state.syncedAll {
		if err := h.Datasync(); err != nil && !isAny(err, noSyncErrors) {
			return err
		}
	}
	if err := h.Forget(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// read passes length bytes from offset off on to a sum. whole is false if the
// file ends before.
func (s *surveyor) read(ctx context.Context, from io.ReaderAt, off, length int64, sum io.Writer) (whole bool, err error) {
	for end := off + length; off < end; {
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
		n, err := from.ReadAt(s.buf[:min(int64(len(s.buf)), end-off)], off)
		sum.Write(s.buf[:n]) // no more than length bytes
		off += int64(n)
		if s.done != nil {
			s.done.Add(int64(n))
		}
		if err != nil && err != io.EOF {
			return false, err
		}
		if n == 0 {
			return false, nil
		}
	}
	return true, nil
}

// readSmall reads from a file of one chunk.
func (t *Tree) readSmall(file int, p []byte, off int64) (n int, err error) {
	path := t.pathOf(file)
	dir, name := split(path)
	ended := false
	err = t.in(dir, "read", path, func(d Folder) error {
		h, _, err := openExisting(d, name, false)
		if err != nil {
			return err
		}
		defer h.Close()
		n, err = h.ReadAt(p, off)
		if ended = err == io.EOF; ended {
			err = nil
		}
		return err
	})
	if err == nil && ended {
		err = io.EOF
	}
	return n, err
}
