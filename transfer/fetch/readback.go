package fetch

import (
	"context"
	"fmt"
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
		return "1 chunk comes back from the disk with other bytes than were written"
	}
	return fmt.Sprintf("%d chunks come back from the disk with other bytes than were written", e.Bad)
}

// readBack reads the finished file again if that was asked for.
func (s *Session) readBack(f *filling) error {
	size, values, sum := s.download.offer.Size, s.download.values, f.SHA256
	if w := s.download.whole; w != nil && w.SHA256 && sum != nil && *sum == w.Sum {
		sum = nil // that has proved the file
	}
	if !f.Recheck && sum == nil {
		return nil
	}
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
		if sum != nil {
			done.Store(0)
			return checkSHA256(ctx, f.part, size, *sum, done)
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
	sum, err := sha256Of(ctx, part, size, done)
	switch {
	case err != nil:
		return readFailure(part, err)
	case sum != want:
		return &FinishedError{SHA256: &sum}
	}
	return nil
}
