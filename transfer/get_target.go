package transfer

import (
	"context"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
)

// decide settles the file's name and what to do about what lies there already.
func (g *getting) decide(ctx context.Context, t *clocks, fsys partfile.FS) (partfile.Decision, error) {
	if err := g.settleName(); err != nil {
		return partfile.Decision{}, err
	}
	name := g.result.Name
	found, err := partfile.Look(fsys, name)
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
	switch d.Action {
	case partfile.AlreadyRight:
		g.result.AlreadyRight = true
		g.result.Path = fsys.Path(name)
		_ = partfile.FinishLeftover(fsys, name) // the file is right, whatever stays beside it
	case partfile.Refuse:
		path := fsys.Path(name)
		if final == partfile.FinalNone || final != partfile.FinalOther && part == partfile.PartOther {
			path = fsys.Path(name + partfile.PartSuffix)
		}
		return d, &TargetError{Path: path, Final: final, Part: part, Unfinished: found.Header, Hint: d.Hint}
	}
	return d, nil
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
	err := g.do(ctx, t, func() error {
		f, size, err := partfile.OpenFinal(fsys, name)
		if err != nil {
			return err
		}
		defer f.Close()
		if size != g.layout.Size {
			return nil
		}
		_, sum, err := manifest.Build(ctx, f, g.layout.Size, manifest.BuildOptions{Done: &done})
		if err != nil && ctx.Err() == nil {
			return &FileError{Op: "read", Path: fsys.Path(name), Err: err}
		}
		if sum == g.result.Checksum {
			state = partfile.FinalRight
		}
		return nil
	})
	return state, err
}

// checkPart looks, beside the loop, at what an earlier run left in the part
// file, and tells the loop of each chunk whether it is good.
func (g *getting) checkPart(ctx context.Context, have int64) {
	src := io.NewSectionReader(g.part, 0, have)
	o := manifest.MatchOptions{Workers: max(1, runtime.GOMAXPROCS(0)-1)}
	err := manifest.Match(ctx, src, g.manifest, o, func(chunk int, ok bool) {
		if ok {
			xxh, err := g.ownXXH3(chunk)
			ok = err == nil && g.part.MarkExisting(chunk, xxh)
		}
		g.post(func() { g.found(chunk, ok) })
	})
	if err != nil && ctx.Err() == nil {
		g.post(func() { g.fail(&FileError{Op: "read", Path: g.part.PartPath(), Err: err}) })
	}
}

// ownXXH3 reads a chunk from the part file. What the journal is told is never taken from a peer's list.
func (g *getting) ownXXH3(chunk int) (xxh [16]byte, err error) {
	offset, n := manifest.Span(g.layout.Size, chunk)
	h := xxh3.New()
	if _, err := io.Copy(h, io.NewSectionReader(g.part, offset, n)); err != nil {
		return xxh, err
	}
	return h.Sum128().Bytes(), nil
}

// found runs in the loop: a chunk of an earlier run is good, or is not.
func (g *getting) found(chunk int, ok bool) {
	offset, n := manifest.Span(g.layout.Size, chunk)
	g.checked += max(0, min(n, g.toCheck-offset)) // a short part lacks the rest
	if ok {
		g.schedule.Good(chunk)
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
