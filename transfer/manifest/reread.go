package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"
)

// Records yields chunks and the xxh3-128 that their bytes had, until yield
// returns false.
type Records func(yield func(chunk int, xxh [16]byte) bool) error

// Reread reads each of the records' chunks of a file of size bytes from src and
// calls report once for each. ok says whether its bytes have the xxh3-128 of
// the record. Use it for bytes that were found good once: it finds accidents,
// and proves nothing about bytes that somebody chose. A chunk that src does not
// hold whole is not ok, and no error.
//
// Chunks are taken in the order of the records, several at once: src must allow
// concurrent ReadAt, and report concurrent calls. All calls have returned when
// Reread returns. It reads workers chunks at once, GOMAXPROCS if that is not
// positive, and adds the bytes read to done unless that is nil. Errors: those
// of records and, wrapped with the chunk, of src; ctx.Err() within one buffer
// of its end.
func Reread(ctx context.Context, src io.ReaderAt, size int64, records Records, workers int, done *atomic.Int64, report func(chunk int, ok bool)) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	type record struct {
		chunk int
		xxh   [16]byte
	}
	todo := make(chan record, workers)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(todo)
		return records(func(chunk int, xxh [16]byte) bool {
			select {
			case todo <- record{chunk, xxh}:
				return true
			case <-ctx.Done():
				return false
			}
		})
	})
	for range workers {
		g.Go(func() error {
			r := rereader{src: src, h: xxh3.New(), buf: make([]byte, readLen), done: done}
			for next := range todo {
				offset, length := Span(size, next.chunk)
				xxh, whole, err := r.hash(ctx, offset, length)
				if err != nil {
					return fmt.Errorf("read chunk %d: %w", next.chunk, err)
				}
				report(next.chunk, whole && xxh == next.xxh)
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// A rereader is what one worker of Reread needs.
type rereader struct {
	src  io.ReaderAt
	h    *xxh3.Hasher
	buf  []byte
	done *atomic.Int64 // may be nil
}

// hash reads a piece of the source. whole is false, without an error, if the
// source ends before the piece does.
func (r *rereader) hash(ctx context.Context, offset, length int64) (xxh [16]byte, whole bool, err error) {
	r.h.Reset()
	for end := offset + length; offset < end; {
		if err := ctx.Err(); err != nil {
			return xxh, false, err
		}
		b := r.buf[:min(int64(len(r.buf)), end-offset)]
		n, err := r.src.ReadAt(b, offset)
		switch {
		case n == len(b):
		case errors.Is(err, io.EOF):
			return xxh, false, nil
		case err == nil:
			return xxh, false, io.ErrNoProgress
		default:
			return xxh, false, err
		}
		r.h.Write(b)
		offset += int64(n)
		if r.done != nil {
			r.done.Add(int64(n))
		}
	}
	return r.h.Sum128().Bytes(), true, nil
}
