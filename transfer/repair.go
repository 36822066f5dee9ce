package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
)

// Repair makes a local file what most of the servers of cfg hold: it copies
// what is right of it into a part file beside it, fetches what differs, and
// replaces it in one step. The local file stays as it is until then. cfg's
// fields that name what is written mean nothing here. Errors and the end of ctx
// are as with [Get]; a file that is right already is left alone.
func Repair(ctx context.Context, cfg GetConfig, path string) (*Result, error) {
	cfg.Dir, cfg.Name = filepath.Split(path)
	if cfg.Dir == "" {
		cfg.Dir = "."
	}
	g := newGetting(ctx, cfg)
	err := g.repair(ctx, path)
	return g.finish(), err
}

func (g *getting) repair(ctx context.Context, path string) error {
	file, err := openOwn(path)
	if err != nil {
		return err
	}
	defer file.Close()
	root, err := os.OpenRoot(g.cfg.Dir)
	if err != nil {
		return &localfile.Error{Op: "open", Path: g.cfg.Dir, Err: err}
	}
	defer root.Close()
	if err := CheckName(g.cfg.Name); err != nil {
		return err
	}
	fsys := g.cfg.open(root)
	if _, err := file.named(root, fsys); err != nil {
		return err
	}
	ctx, t := g.begin(ctx)
	defer g.end(t)
	if err := g.vote(ctx, t); err != nil {
		return err
	}
	g.result.Name = g.cfg.Name
	if err := g.obtainManifest(ctx, t); err != nil {
		return err
	}
	original, err := file.named(root, fsys)
	if err != nil {
		return err
	}
	bad, err := g.compare(ctx, t, file)
	if err != nil {
		return err
	}
	if file.info.Size == g.layout.Size && len(bad) == 0 {
		return g.alreadyRight(ctx, t, fsys, path)
	}
	decision, err := obtain(ctx, g, t, func(context.Context) (partfile.Decision, error) { return g.decideRepair(fsys, file) })
	if err != nil {
		return err
	}
	g.seed = newSeed(file, g.layout.Chunks, bad)
	g.original = &original
	return g.fill(ctx, t, fsys, decision)
}

// decideRepair settles, before anything is fetched, whether the file can be
// replaced, and what is to be done about the part file that is there.
func (g *getting) decideRepair(fsys partfile.FS, file *ownFile) (partfile.Decision, error) {
	if err := file.mendable(fsys, g.cfg.SplitLinks); err != nil {
		return partfile.Decision{}, err
	}
	found, err := partfile.Look(fsys, g.cfg.Name)
	if err != nil {
		return partfile.Decision{}, err
	}
	part := found.OwnPartState(g.header())
	d := partfile.DecideRepair(part)
	if d.Action != partfile.Refuse {
		return d, nil
	}
	if err := partfile.InUse(fsys, g.cfg.Name); err != nil {
		return d, err
	}
	return d, &TargetError{
		Path: fsys.Path(g.cfg.Name + partfile.PartSuffix), Part: part, Unfinished: found.Header, Hint: d.Hint,
	}
}

// A seed is a local file that has chunks of the file to be written.
type seed struct {
	file localfile.File
	path string
	bad  *chunkSet // chunks that it does not have
}

func newSeed(file *ownFile, chunks int, bad []Span) *seed {
	s := &seed{file: file.system, path: file.path, bad: newChunkSet(chunks)}
	for _, b := range bad {
		s.bad.add(b.Chunk, b.Length)
	}
	return s
}

// has reports whether the seed was found to have a chunk. A nil seed has none.
func (s *seed) has(chunk int) bool { return s != nil && !s.bad.has(chunk) }

// plant runs beside the loop: it copies the chunks of a set from the seed into
// the part file. Each is hashed after it was copied, or on its way, so that it
// does not matter whether the seed is still what it was.
func (g *getting) plant(ctx context.Context, chunks *chunkSet) error {
	var next atomic.Int64
	workers, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			var hasher manifest.Hasher
			for {
				chunk := int(next.Add(1) - 1)
				if chunk >= g.layout.Chunks {
					return nil
				}
				if !chunks.has(chunk) {
					continue
				}
				ok, err := g.plantChunk(ctx, &hasher, chunk)
				if err != nil {
					return err
				}
				g.post(func() { g.found(chunk, ok) })
			}
		})
	}
	return workers.Wait()
}

// plantChunk copies one chunk; it is false when the seed has something else in
// its place by now, or the disk no longer gives it.
func (g *getting) plantChunk(ctx context.Context, hasher *manifest.Hasher, chunk int) (bool, error) {
	claim, ok := g.part.Claim(chunk)
	if !ok {
		return g.part.Marked(chunk), nil
	}
	defer claim.Release()
	hasher.Reset(g.layout.Size, chunk)
	err := claim.CopyFrom(g.seed.file)
	switch {
	case err == nil:
		err = g.hashCopy(ctx, hasher, claim)
	case errors.Is(err, errors.ErrUnsupported), localfile.IsMediaError(err): // on one of the two disks
		offset, _ := manifest.Span(g.layout.Size, chunk)
		err = g.copyHashing(ctx, hasher, claim, offset)
	}
	lost, ofSeed := errors.AsType[*seedError](err)
	switch {
	case isEnd(err), ofSeed && localfile.IsMediaError(err):
		return false, nil
	case ofSeed:
		return false, &localfile.Error{Op: "read", Path: g.seed.path, Err: lost.err}
	case err != nil:
		return false, err
	}
	value, xxh := hasher.Sum()
	if value != g.manifest.Value(chunk) {
		return false, nil
	}
	return true, claim.Mark(xxh)
}

// hashCopy reads back what the system has copied.
func (g *getting) hashCopy(ctx context.Context, hasher *manifest.Hasher, claim *partfile.Claim) error {
	return g.pass(ctx, hasher, func(p []byte, at int64) error {
		n, err := claim.ReadBack(p, at)
		if n == len(p) {
			return nil
		}
		return err
	})
}

// copyHashing copies the chunk that begins at an offset of the seed.
func (g *getting) copyHashing(ctx context.Context, hasher *manifest.Hasher, claim *partfile.Claim, offset int64) error {
	return g.pass(ctx, hasher, func(p []byte, at int64) error {
		n, err := g.seed.file.ReadAt(p, offset+at)
		if n == len(p) {
			return claim.WriteAt(p, at)
		}
		return &seedError{err}
	})
}

// A seedError says that the seed could not be read.
type seedError struct{ err error }

func (e *seedError) Error() string { return e.err.Error() }
func (e *seedError) Unwrap() error { return e.err }

// pass hashes a chunk in pieces, which fill makes: at is where in the chunk.
func (g *getting) pass(ctx context.Context, hasher *manifest.Hasher, fill func(p []byte, at int64) error) error {
	buf, err := g.pieces.get(ctx)
	if err != nil {
		return err
	}
	defer g.pieces.put(buf)
	for at := int64(0); hasher.Remaining() > 0; {
		p := (*buf)[:min(int64(len(*buf)), hasher.Remaining())]
		if err := fill(p, at); err != nil {
			return err
		}
		if _, err := hasher.Write(p); err != nil {
			return err
		}
		at += int64(len(p))
	}
	return nil
}
