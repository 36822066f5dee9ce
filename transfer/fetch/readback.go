package fetch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync/atomic"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/wire"
)

// A FinishedError says that a file whose chunks had all arrived and matched is
// not what was asked for. It did not get its name.
type FinishedError struct {
	Bad    int       // chunks that read back differently; 0 when the SHA-256 differs
	SHA256 *[32]byte // what the file has; nil when chunks differ
	// Streamed says that it was written to a stream all the same.
	Streamed bool
}

func (e *FinishedError) Error() string {
	if e.SHA256 != nil {
		return fmt.Sprintf("the file that the servers agree on has another SHA-256: %x", *e.SHA256)
	}
	if e.Bad == 1 {
		return "1 chunk is read back from the disk differently than it was written"
	}
	return fmt.Sprintf("%d chunks are read back from the disk differently than they were written", e.Bad)
}

// readBack reads the finished file again if that was asked for.
func (s *Session) readBack(f *filling) error {
	if !f.Recheck && f.SHA256 == nil {
		return nil
	}
	size, values := s.download.offer.Size, s.download.values
	s.emit(ReadingBack{Size: size})
	return s.hashing(size, func(ctx context.Context, done *atomic.Int64) error {
		if err := f.part.Sync(); err != nil {
			return err
		}
		if f.Recheck {
			if err := recheck(ctx, f.part, size, values, done); err != nil {
				return err
			}
		}
		if f.SHA256 != nil {
			done.Store(0)
			return checkSHA256(ctx, f.part, size, *f.SHA256, done)
		}
		return nil
	})
}

// recheck compares what the disk gives back with the values.
func recheck(ctx context.Context, part *partfile.File, size int64, values wire.Values, done *atomic.Int64) error {
	part.Forget()
	var bad atomic.Int64
	o := manifest.MatchOptions{Done: done}
	err := manifest.Match(ctx, part, size, values, o, func(_ int, ok bool, _ [16]byte) {
		if !ok {
			bad.Add(1)
		}
	})
	switch {
	case err != nil:
		return readFailure(part, err)
	case bad.Load() > 0:
		return &FinishedError{Bad: int(bad.Load())}
	}
	return nil
}

func checkSHA256(ctx context.Context, part *partfile.File, size int64, want [32]byte, done *atomic.Int64) error {
	h := sha256.New()
	src := io.NewSectionReader(part, 0, size)
	buf := make([]byte, 1<<20)
	for {
		n, err := src.Read(buf)
		h.Write(buf[:n])
		done.Add(int64(n))
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return readFailure(part, err)
		}
	}
	if sum := [32]byte(h.Sum(nil)); sum != want {
		return &FinishedError{SHA256: &sum}
	}
	return nil
}
