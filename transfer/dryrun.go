package transfer

import (
	"context"
	"runtime"
	"sync/atomic"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
)

// A Plan is what [Get] would do.
type Plan struct {
	Name          string // as voted or chosen
	Path          string // that the finished file would have, or has
	Size          int64  // in bytes
	ChunkSize     int64  // in bytes
	Chunks        int
	Checksum      [32]byte
	Action        partfile.Action // AlreadyRight, Fetch, Resume or StartOver
	Replace       bool            // a file that is there would be replaced
	Kept          int64           // bytes that are there and right
	Missing       int64           // bytes that would be fetched
	MissingChunks int
	Servers       []ServerReport // those that would be asked are serving
}

// DryRun does what [Get] does before it writes: it connects, lets the servers
// vote, and looks at what is there already, all of which it reads. It writes
// nothing, also not what is known of servers. The errors are those that Get
// would begin with.
func DryRun(ctx context.Context, cfg GetConfig) (*Plan, error) {
	cfg.Trust.ReadOnly = true
	g := newGetting(ctx, cfg)
	root, err := openDir(g.cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	ctx, t := g.begin(ctx)
	defer g.end(t)
	if err := g.vote(ctx, t); err != nil {
		return nil, err
	}
	fsys := g.cfg.open(root)
	d, err := g.weigh(ctx, t, fsys)
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Name: g.result.Name, Path: fsys.Path(g.result.Name), Size: g.layout.Size, ChunkSize: g.layout.ChunkSize,
		Chunks: g.layout.Chunks, Checksum: g.result.Checksum, Action: d.Action, Replace: d.Replace,
	}
	missing := p.Chunks
	switch d.Action {
	case partfile.AlreadyRight:
		p.Kept, missing = p.Size, 0
	case partfile.Resume:
		if p.Kept, missing, err = g.wouldKeep(ctx, t, fsys); err != nil {
			return nil, err
		}
	}
	p.Missing, p.MissingChunks = p.Size-p.Kept, missing
	p.Servers = g.reports()
	return p, nil
}

// wouldKeep reads what an earlier run left, and returns how many bytes of it are
// right and how many chunks are not.
func (g *getting) wouldKeep(ctx context.Context, t *clocks, fsys partfile.FS) (kept int64, missing int, err error) {
	records, err := partfile.ReadRecords(fsys, g.result.Name, g.header())
	if err != nil {
		return 0, 0, err
	}
	if !records.Whole {
		if err := g.obtainManifest(ctx, t); err != nil {
			return 0, 0, err
		}
	}
	part, size, err := partfile.OpenFinal(fsys, g.result.Name+partfile.PartSuffix)
	if err != nil {
		return 0, 0, err
	}
	defer part.Close()
	var done, bytes, chunks atomic.Int64
	g.toCheck, g.hashed = min(size, g.layout.Size), &done
	defer func() { g.toCheck, g.hashed = 0, nil }()
	err = g.do(ctx, t, func(ctx context.Context) error {
		err := g.survey(ctx, part, records, &done, func(chunk int) {
			_, n := manifest.Span(g.layout.Size, chunk)
			bytes.Add(n)
			chunks.Add(1)
		})
		if err != nil {
			return &localfile.Error{Op: "read", Path: fsys.Path(g.result.Name + partfile.PartSuffix), Err: err}
		}
		return err
	})
	return bytes.Load(), g.layout.Chunks - int(chunks.Load()), err
}

// survey calls right for each chunk of an unfinished file that a run that resumes
// it would keep: those whose records match, and, where chunks without a record
// may be right, those of them that are by the manifest. right is called from
// several goroutines.
func (g *getting) survey(ctx context.Context, part partfile.Reader, r partfile.Records, done *atomic.Int64, right func(chunk int)) error {
	workers := max(1, runtime.GOMAXPROCS(0)-1)
	each := func(yield func(int, [16]byte) bool) error {
		for chunk, xxh := range r.XXH3 {
			if !yield(chunk, xxh) {
				break
			}
		}
		return nil
	}
	err := manifest.Reread(ctx, part, g.layout.Size, each, workers, done, func(chunk int, ok bool) {
		if ok {
			right(chunk)
		}
	})
	if err != nil || r.Whole {
		return err
	}
	skip := func(chunk int) bool {
		_, has := r.XXH3[chunk]
		return has
	}
	o := manifest.MatchOptions{Workers: workers, Skip: skip, Done: done}
	return manifest.Match(ctx, part, g.manifest, o, func(chunk int, ok bool, _ [16]byte) {
		if ok {
			right(chunk)
		}
	})
}
