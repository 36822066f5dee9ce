package fetch

import (
	"context"
	"runtime"
	"sync/atomic"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/wire"
)

// A Plan is what [Session.Get] would do.
type Plan struct {
	Name          string // as voted or chosen
	Path          string // of the finished file
	Size          int64  // in bytes
	ChunkSize     int64  // in bytes
	Chunks        int
	Checksum      [32]byte
	Action        partfile.Action // AlreadyRight, Fetch, Resume or StartOver
	Replace       bool            // a file that is there would be replaced
	Kept          int64           // bytes that are there and right
	Missing       int64           // bytes that would be fetched
	MissingChunks int
	Servers       []ServerReport // in StateServing: those that would be asked
	// Tree is of a directory. Then the chunk size is that of the largest
	// one.
	Tree TreeReport
}

// Plan does what [Session.Get] does before it writes: it connects, lets the
// sources vote, and reads what is already there. It writes nothing. Its errors
// are those with which Get would begin.
func (s *Session) Plan(b Ballot, out Output) (*Plan, error) {
	s.anew()
	root, err := openDir(out.Dir)
	if err != nil {
		return nil, err
	}
	defer s.closeRoot(root)
	fsys := out.open(root)
	isTree, err := s.agreeOnAny(b, nil)
	if err != nil {
		return nil, err
	}
	if isTree {
		return s.planTree(b, out, fsys)
	}
	decision, err := s.weigh(fsys, out)
	if err != nil {
		return nil, err
	}
	d := s.download
	p := &Plan{
		Name: d.result.Name, Path: fsys.Path(d.result.Name), Size: d.content.Size(), ChunkSize: manifest.ChunkSize(d.offer.Size),
		Chunks: d.content.Chunks(), Checksum: d.offer.Checksum, Action: decision.Action, Replace: decision.Replace,
	}
	missing := p.Chunks
	switch decision.Action {
	case partfile.AlreadyRight:
		p.Kept, missing = p.Size, 0
	case partfile.Resume:
		if p.Kept, missing, err = s.wouldKeep(fsys); err != nil {
			return nil, err
		}
	}
	p.Missing, p.MissingChunks = p.Size-p.Kept, missing
	p.Servers = s.reports()
	return p, nil
}

// wouldKeep reads what an earlier run left. kept is how many bytes of it are
// right, missing how many chunks are not.
func (s *Session) wouldKeep(fsys partfile.FS) (kept int64, missing int, err error) {
	d := s.download
	records, err := partfile.ReadRecords(fsys, d.result.Name, d.header())
	if err != nil {
		return 0, 0, err
	}
	if !records.Whole {
		if err := s.obtainValues(); err != nil {
			return 0, 0, err
		}
	}
	part, size, err := partfile.OpenFinal(fsys, d.result.Name+partfile.PartSuffix)
	if err != nil {
		return 0, 0, err
	}
	defer part.Close()
	var bytes, chunks atomic.Int64
	whole, values, path := d.offer.Size, d.values, fsys.Path(d.result.Name+partfile.PartSuffix)
	err = s.hashing(min(size, whole), func(ctx context.Context, done *atomic.Int64) error {
		err := keepable(ctx, part, whole, values, records, done, func(chunk int) {
			_, n := manifest.Span(whole, chunk)
			bytes.Add(n)
			chunks.Add(1)
		})
		if err != nil {
			return &localfile.Error{Op: "read", Path: path, Err: err}
		}
		return nil
	})
	return bytes.Load(), d.content.Chunks() - int(chunks.Load()), err
}

// keepable calls right for each chunk of an unfinished file that a resumed run
// would keep. These are:
//   - chunks whose records match
//   - chunks without a record that match their values, where such may be right
//
// right is called from several goroutines.
func keepable(ctx context.Context, part partfile.Reader, size int64, values wire.Values, r partfile.Records, done *atomic.Int64, right func(chunk int)) error {
	workers := max(1, runtime.GOMAXPROCS(0)-1)
	each := func(yield func(int, [16]byte) bool) error {
		for chunk, xxh := range r.XXH3 {
			if !yield(chunk, xxh) {
				break
			}
		}
		return nil
	}
	err := manifest.Reread(ctx, part, size, each, workers, done, func(chunk int, ok bool) {
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
	return manifest.Match(ctx, part, size, values, o, func(chunk int, ok bool, _ [16]byte) {
		if ok {
			right(chunk)
		}
	})
}
