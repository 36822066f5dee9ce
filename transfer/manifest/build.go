package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"malcolm/wire"
)

// BuildOptions are the choices that [Build] leaves to its caller. The zero
// value is the default.
type BuildOptions struct {
	Workers int           // chunks hashed at once; 0 or less: GOMAXPROCS
	Done    *atomic.Int64 // gets the bytes hashed added as they are, unless nil
	// SHA256 gets the SHA-256 of the file, unless it is nil. It is made of
	// the bytes that the values are made of, in one reading. It needs them
	// in order, so it bounds the rate to that of one core.
	SHA256 *[32]byte
}

// Build reads a file of size bytes from src and returns its values and its
// checksum. Chunks are taken from the front, several at once, so src must
// allow concurrent ReadAt; a worker holds about 300 KiB.
//
// Errors: a size over [wire.MaxFileSize] (or negative); [io.ErrUnexpectedEOF],
// wrapped, when src ends before size; what src returned, wrapped with the
// chunk; ctx.Err() within one buffer of its end. No worker is left behind.
func Build(ctx context.Context, src io.ReaderAt, size int64, o BuildOptions) (wire.Values, [32]byte, error) {
	if !validSize(size) {
		return wire.Values{}, [32]byte{}, fmt.Errorf("a file of %d bytes cannot be hashed: the limit is %d (16 TiB)",
			size, int64(wire.MaxFileSize))
	}
	return build(ctx, src, size, ChunkSize(size), o)
}

func build(ctx context.Context, src io.ReaderAt, size, chunkSize int64, o BuildOptions) (wire.Values, [32]byte, error) {
	values := wire.NewValues(count(size, chunkSize))
	s := scan{src: src, size: size, chunkSize: chunkSize, done: o.Done}
	s.each = func(chunk int, h *Hasher, whole bool) error {
		if !whole {
			return tooShort(chunk, values.Len(), size)
		}
		value, _ := h.Sum()
		values.Set(chunk, value)
		return nil
	}
	run := s.run
	if o.SHA256 != nil {
		run = func(ctx context.Context, n int) error { return inOrder(ctx, &s, n, values, o.SHA256) }
	}
	if err := run(ctx, o.Workers); err != nil {
		return wire.Values{}, [32]byte{}, err
	}
	return values, Checksum(values), nil
}

func tooShort(chunk, chunks int, size int64) error {
	return fmt.Errorf("read chunk %d of %d: the source has fewer than %d bytes: %w", chunk, chunks, size, io.ErrUnexpectedEOF)
}

// MatchOptions are the choices that [Match] leaves to its caller. The zero
// value is the default.
type MatchOptions struct {
	Workers int                  // chunks hashed at once; 0 or less: GOMAXPROCS
	Done    *atomic.Int64        // gets the bytes hashed added as they are, unless nil
	Skip    func(chunk int) bool // true: the chunk is neither read nor reported; nil: never
	XXH3    bool                 // report gets the xxh3-128 of chunks that are ok, else zeros

	// Unreadable decides about a chunk for which src returned an error.
	// True means that it is not ok, false that Match fails. It must allow
	// concurrent calls. nil: always false.
	Unreadable func(chunk int, err error) bool
}

// Match reads every chunk of a file of size bytes from src and calls report
// once for each. ok says whether its BLAKE3 value is that of values, which
// should have passed [Check]. A chunk that src does not hold whole is not ok,
// and no error. Match does not read bytes of src behind size.
//
// Chunks are taken from the front, several at once: src must allow concurrent
// ReadAt, and report must allow concurrent calls. All calls have returned when
// Match returns; after an error, some chunks have not been reported. Errors: a
// [*CheckError] when a file of size bytes has another number of chunks; what
// src returned, wrapped with the chunk, unless o.Unreadable takes it; ctx.Err()
// within one buffer of its end.
func Match(ctx context.Context, src io.ReaderAt, size int64, values wire.Values, o MatchOptions, report func(chunk int, ok bool, xxh [16]byte)) error {
	if err := CheckLen(values, size); err != nil {
		return err
	}
	return match(ctx, src, size, ChunkSize(size), values, o, report)
}

func match(ctx context.Context, src io.ReaderAt, size, chunkSize int64, values wire.Values, o MatchOptions, report func(chunk int, ok bool, xxh [16]byte)) error {
	s := scan{src: src, size: size, chunkSize: chunkSize, xxh3: o.XXH3, done: o.Done, skip: o.Skip, unreadable: o.Unreadable}
	s.each = func(chunk int, h *Hasher, whole bool) error {
		if whole {
			value, xxh := h.Sum()
			report(chunk, value == values.At(chunk), xxh)
		} else {
			report(chunk, false, [16]byte{})
		}
		return nil
	}
	return s.run(ctx, o.Workers)
}

// readLen is the number of bytes that a worker reads at once: few enough to be
// still in the core's cache when they are hashed.
const readLen = 256 << 10

// A worker is what one goroutine of a scan needs. Between scans it waits in
// workers.
type worker struct {
	h   Hasher
	buf [readLen]byte
}

var workers = sync.Pool{New: func() any { return new(worker) }}

// A scan reads and hashes all chunks of a file, in parallel.
type scan struct {
	src       io.ReaderAt
	size      int64
	chunkSize int64
	xxh3      bool                 // also computed
	done      *atomic.Int64        // may be nil
	skip      func(chunk int) bool // may be nil

	unreadable func(chunk int, err error) bool // may be nil; see MatchOptions

	// each gets every chunk that was read, in no order, from several
	// goroutines. If whole is true h has the chunk's sums, until each
	// returns. It is false if src ended before the chunk did or could not
	// be read there. An error ends the scan.
	each func(chunk int, h *Hasher, whole bool) error

	next atomic.Int64 // the first chunk that no worker has taken
}

// run scans with n workers, GOMAXPROCS if n is not positive. It returns the
// first error when all of them have ended.
func (s *scan) run(ctx context.Context, n int) error {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	chunks := count(s.size, s.chunkSize)
	g, ctx := errgroup.WithContext(ctx)
	for range min(n, chunks) {
		g.Go(func() error { return s.work(ctx, chunks) })
	}
	return g.Wait()
}

func (s *scan) work(ctx context.Context, chunks int) error {
	w := workers.Get().(*worker)
	defer workers.Put(w)
	for {
		chunk := int(s.next.Add(1) - 1)
		if chunk >= chunks {
			return nil
		}
		if s.skip != nil && s.skip(chunk) {
			continue
		}
		whole, err := s.hash(ctx, w, chunk)
		if err != nil && (ctx.Err() != nil || s.unreadable == nil || !s.unreadable(chunk, err)) {
			return err
		}
		if err := s.each(chunk, &w.h, whole); err != nil {
			return err
		}
	}
}

// hash reads one chunk into w.h. whole is false, without an error, if the
// source ends before the chunk does.
func (s *scan) hash(ctx context.Context, w *worker, chunk int) (whole bool, err error) {
	w.h.XXH3 = s.xxh3
	w.h.reset(s.size, s.chunkSize, chunk)
	at := int64(chunk) * s.chunkSize
	for w.h.Remaining() > 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		b := w.buf[:min(readLen, w.h.Remaining())]
		if whole, err := s.read(b, at, chunk); !whole {
			return false, err
		}
		if _, err := w.h.Write(b); err != nil {
			return false, err
		}
		at += int64(len(b))
		if s.done != nil {
			s.done.Add(int64(len(b)))
		}
	}
	return true, nil
}

// read fills b with bytes of a chunk from at on. whole is false, without an
// error, if the source ends before.
func (s *scan) read(b []byte, at int64, chunk int) (whole bool, err error) {
	n, err := s.src.ReadAt(b, at)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return false, fmt.Errorf("read chunk %d at byte %d: %w", chunk, at, err)
	case n < len(b) && err == nil:
		return false, fmt.Errorf("read chunk %d at byte %d: %w", chunk, at, io.ErrNoProgress)
	}
	return n == len(b), nil
}
