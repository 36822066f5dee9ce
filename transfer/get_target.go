package transfer

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
)

// decide settles the file's name and what to do about what lies there already,
// and does it if nothing has to be fetched.
func (g *getting) decide(ctx context.Context, t *clocks, fsys partfile.FS) (partfile.Decision, error) {
	d, err := g.weigh(ctx, t, fsys)
	if err == nil && d.Action == partfile.AlreadyRight {
		path := fsys.Path(g.result.Name)
		err = g.alreadyRight(ctx, t, fsys, path)
		if now, moved := partfile.PathNow(fsys, g.result.Name); err == nil && moved == nil {
			g.result.Path = now
			g.tellMoved(path, now)
		} else if err == nil {
			err = moved
		}
	}
	return d, err
}

// weigh settles the file's name, and what is to be done about what lies there
// already; it changes nothing.
func (g *getting) weigh(ctx context.Context, t *clocks, fsys partfile.FS) (partfile.Decision, error) {
	if err := g.settleName(); err != nil {
		return partfile.Decision{}, err
	}
	name := g.result.Name
	found, err := obtain(ctx, g, t, func(context.Context) (partfile.Found, error) { return partfile.Look(fsys, name) })
	if err != nil {
		return partfile.Decision{}, err
	}
	final := found.FinalState(g.layout.Size)
	if partfile.NeedsHash(final, g.cfg.Resume) {
		if final, err = g.hashFinal(ctx, t, fsys, name); err != nil {
			return partfile.Decision{}, err
		}
	}
	part := found.PartState(g.header())
	d := partfile.Decide(final, part, g.cfg.Resume, g.cfg.Force)
	if g.takesPart(part, found) {
		if d = partfile.Decide(final, partfile.PartNone, g.cfg.Resume, g.cfg.Force); d.Action == partfile.Fetch {
			d.Action = partfile.StartOver
		}
	}
	if d.Action != partfile.Refuse {
		return d, nil
	}
	if final == partfile.FinalNone {
		if err := g.do(ctx, t, func(context.Context) error { return partfile.InUse(fsys, name) }); err != nil {
			return d, err
		}
	}
	path := fsys.Path(name)
	if final == partfile.FinalNone || final != partfile.FinalOther && part == partfile.PartOther {
		path = fsys.Path(name + partfile.PartSuffix)
	}
	return d, &TargetError{Path: path, Final: final, Part: part, Unfinished: found.Header, Hint: d.Hint}
}

// alreadyRight ends a run that found the right file, and what an earlier run
// left beside it. That the file's name could not be made durable is an error;
// what could not be removed stays.
func (g *getting) alreadyRight(ctx context.Context, t *clocks, fsys partfile.FS, path string) error {
	err := g.do(ctx, t, func(context.Context) error { return partfile.FinishLeftover(fsys, g.result.Name) })
	if e, ok := errors.AsType[*partfile.Error](err); err != nil && (!ok || e.Op != "remove" && e.Reason != partfile.Locked) {
		return err
	}
	g.result.AlreadyRight, g.result.Path = true, path
	return nil
}

// header is what the journal of this download says of it.
func (g *getting) header() partfile.Header {
	return partfile.Header{Size: g.layout.Size, ChunkSize: g.layout.ChunkSize, Checksum: g.result.Checksum}
}

func (g *getting) settleName() error {
	if g.cfg.Name != "" {
		g.result.Name = g.cfg.Name
		return CheckName(g.cfg.Name)
	}
	if err := checkOffered(g.result.Name); err != nil {
		g.result.Name = ""
		return err
	}
	return nil
}

// hashFinal reads the file that has the final name and says whether it is the
// one that was voted for.
func (g *getting) hashFinal(ctx context.Context, t *clocks, fsys partfile.FS, name string) (partfile.FinalState, error) {
	g.toCheck, g.checked = g.layout.Size, 0
	defer func() { g.toCheck, g.hashed = 0, nil }()
	var done atomic.Int64
	g.hashed = &done
	state := partfile.FinalWrong
	err := g.do(ctx, t, func(ctx context.Context) error {
		f, size, err := partfile.OpenFinal(fsys, name)
		if err != nil {
			return err
		}
		defer f.Close()
		if size != g.layout.Size {
			return nil
		}
		_, sum, err := manifest.Build(ctx, f, g.layout.Size, manifest.BuildOptions{Done: &done})
		if err != nil {
			return &localfile.Error{Op: "read", Path: fsys.Path(name), Err: err}
		}
		if sum == g.result.Checksum {
			state = partfile.FinalRight
		}
		return nil
	})
	return state, err
}

// A survey is what may be on this machine already.
type survey struct {
	claimed int64     // bytes that the journal claims are in the part file
	unknown *chunkSet // chunks in the part file that are to be checked by their BLAKE3
	seeded  *chunkSet // chunks that a local file has
	missing *chunkSet
}

// bytes is how much of the file that is.
func (s *survey) bytes() int64 { return s.claimed + s.unknown.bytes + s.seeded.bytes }

// look runs beside the loop: it sorts the chunks by what is known of them.
func (g *getting) look() *survey {
	n := g.layout.Chunks
	s := &survey{unknown: newChunkSet(n), seeded: newChunkSet(n), missing: newChunkSet(n)}
	journal := g.part.UsableJournal()
	for c := range g.layout.Chunks {
		offset, n := manifest.Span(g.layout.Size, c)
		switch {
		case g.part.Claimed(c):
			s.claimed += n
		case g.seed.has(c):
			s.seeded.add(c, n)
		case journal || offset >= g.part.Prior() || !g.part.HasData(offset, n):
			s.missing.add(c, n)
		default:
			s.unknown.add(c, n)
		}
	}
	return s
}

// A chunkSet is a set of chunks; one bit a chunk. It does not change once it
// is shared.
type chunkSet struct {
	bits  []uint64
	bytes int64 // in its chunks
}

func newChunkSet(chunks int) *chunkSet { return &chunkSet{bits: make([]uint64, (chunks+63)/64)} }

// add puts a chunk of n bytes into the set, which does not have it.
func (s *chunkSet) add(chunk int, n int64) {
	s.bits[chunk/64] |= 1 << (chunk % 64)
	s.bytes += n
}

func (s *chunkSet) has(chunk int) bool { return s.bits[chunk/64]&(1<<(chunk%64)) != 0 }

// checkPart looks, beside the loop, at what an earlier run left in the part
// file, and tells the loop of each chunk whether it is good. What the journal
// claims is compared with its xxh3, the rest with the manifest.
func (g *getting) checkPart(ctx context.Context, s *survey) {
	workers := max(1, runtime.GOMAXPROCS(0)-1)
	report := func(chunk int, ok bool, xxh [16]byte) {
		ok = ok && g.part.MarkExisting(chunk, xxh)
		g.post(func() { g.found(chunk, ok) })
	}
	var err error
	if s.claimed > 0 {
		err = manifest.Reread(ctx, g.part, g.layout.Size, g.part.EachRecord, workers, nil, func(chunk int, ok bool) {
			report(chunk, ok, [16]byte{}) // the journal has its sum
			if _, n := manifest.Span(g.layout.Size, chunk); !ok {
				g.post(func() { g.result.Refetched += n })
			}
		})
	}
	if err == nil && s.unknown.bytes > 0 {
		skip := func(chunk int) bool { return !s.unknown.has(chunk) }
		err = manifest.Match(ctx, g.part, g.manifest, manifest.MatchOptions{Workers: workers, Skip: skip}, report)
	}
	if err == nil {
		g.part.SurveyDone()
		if s.seeded.bytes > 0 {
			err = g.plant(ctx, s.seeded)
		}
	}
	if err != nil && ctx.Err() == nil {
		g.post(func() { g.fail(g.readFailure(err)) })
	}
}

// found runs in the loop: a chunk of an earlier run is good, or is not.
func (g *getting) found(chunk int, ok bool) {
	_, n := manifest.Span(g.layout.Size, chunk)
	g.checked += n
	if ok {
		g.schedule.Good(chunk)
		g.result.Map.kept(chunk)
		g.result.Resumed += n
	} else {
		g.schedule.Add(chunk)
	}
}

// fail ends the run.
func (g *getting) fail(err error) {
	if g.fatal == nil {
		g.fatal = err
	}
}
