package transfer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync/atomic"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
)

// A FinishedError says that the file, all of whose chunks had arrived and
// matched, is not what was asked for. It did not get its name.
type FinishedError struct {
	Bad    int       // chunks that are read back differently than they were written; 0 when the SHA-256 is what differs
	SHA256 *[32]byte // what the file has; nil when it was not the SHA-256
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
func (g *getting) readBack(ctx context.Context, t *clocks) error {
	if !g.cfg.Recheck && g.cfg.SHA256 == nil {
		return nil
	}
	g.emit(ReadingBack{Size: g.layout.Size})
	var done atomic.Int64
	g.toCheck, g.hashed = g.layout.Size, &done
	defer func() { g.hashed = nil }()
	return g.do(ctx, t, func(ctx context.Context) error {
		if err := g.part.Sync(); err != nil {
			return err
		}
		if g.cfg.Recheck {
			if err := g.recheck(ctx, &done); err != nil {
				return err
			}
		}
		if g.cfg.SHA256 != nil {
			done.Store(0)
			return g.checkSHA256(ctx, &done)
		}
		return nil
	})
}

// recheck compares what the disk gives back with the manifest.
func (g *getting) recheck(ctx context.Context, done *atomic.Int64) error {
	g.part.Forget()
	var bad atomic.Int64
	o := manifest.MatchOptions{Done: done}
	err := manifest.Match(ctx, g.part, g.manifest, o, func(_ int, ok bool, _ [16]byte) {
		if !ok {
			bad.Add(1)
		}
	})
	switch {
	case err != nil:
		return g.readFailure(err)
	case bad.Load() > 0:
		return &FinishedError{Bad: int(bad.Load())}
	}
	return nil
}

func (g *getting) checkSHA256(ctx context.Context, done *atomic.Int64) error {
	h := sha256.New()
	src := io.NewSectionReader(g.part, 0, g.layout.Size)
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
			return g.readFailure(err)
		}
	}
	if sum := [32]byte(h.Sum(nil)); sum != *g.cfg.SHA256 {
		return &FinishedError{SHA256: &sum}
	}
	return nil
}

// readFailure names the part file in an error of reading it that names no file.
func (g *getting) readFailure(err error) error {
	if KindOf(err) == KindLocal {
		return err
	}
	return &localfile.Error{Op: "read", Path: g.part.PartPath(), Err: err}
}
