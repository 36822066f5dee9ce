package fetch

import (
	"context"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/wire"
)

// A treeStore is the chunkStore in the unfinished output of a tree.
type treeStore struct{ *partfile.Tree }

func (s treeStore) Claim(chunk int) (chunkClaim, bool) { return claimOf(s.Tree.Claim(chunk)) }

func (s treeStore) TakeOver(chunk int) (chunkClaim, bool) { return claimOf(s.Tree.TakeOver(chunk)) }

func (treeStore) Records() bool { return true }

// getTree copies the directory that was voted for.
func (s *Session) getTree(b Ballot, out Output, fsys partfile.FS) error {
	if out.SHA256 != nil { // it is of one file
		return &TreeOfferedError{Name: s.download.result.Name}
	}
	if err := s.download.settle(fsys, out); err != nil {
		return err
	}
	if err := s.obtainTree(b); err != nil {
		return err
	}
	decision, err := s.decideTree(fsys, out)
	if err != nil || s.download.result.AlreadyRight {
		return err
	}
	f := &treeFilling{Disk: out.Disk, fsys: fsys, decision: decision}
	if f.times, err = s.wantedTimes(out.Disk); err != nil {
		return err
	}
	return s.fillTree(f)
}

// decideTree settles what to do about what lies there already. If nothing has
// to be fetched, it does it.
func (s *Session) decideTree(fsys partfile.FS, out Output) (partfile.Decision, error) {
	d, name := s.download, s.download.result.Name
	decision, err := s.weighTree(fsys, out)
	if err != nil || decision.Action != partfile.AlreadyRight {
		return decision, err
	}
	if err := s.loop.do(func(context.Context) error { return partfile.FinishTree(fsys, name) }); err != nil {
		return decision, err
	}
	d.result.AlreadyRight, d.result.Path = true, fsys.Path(name)
	return decision, nil
}

// weighTree says what decideTree would do, and writes nothing.
func (s *Session) weighTree(fsys partfile.FS, out Output) (partfile.Decision, error) {
	d, name := s.download, s.download.result.Name
	found, err := obtain(s.loop, func(context.Context) (partfile.TreeFound, error) { return partfile.LookTree(fsys, name) })
	if err != nil {
		return partfile.Decision{}, err
	}
	if found.CutOff {
		s.emit(SetAside{Path: fsys.Path(name + partfile.ReplacedSuffix), CutOff: true})
	}
	header := partfile.TreeHeader(d.tree, d.treeSum())
	final, part := found.FinalState(header), found.PartState(header)
	decision := partfile.DecideTree(final, part, found.Replaced, out.Resume, out.Force)
	if decision.Action == partfile.Refuse {
		return decision, s.treeInTheWay(fsys, found, header, decision)
	}
	return decision, nil
}

// treeInTheWay is the error of a target that is not free.
func (s *Session) treeInTheWay(fsys partfile.FS, found partfile.TreeFound, h partfile.Header, decision partfile.Decision) error {
	name := s.download.result.Name
	final, part := found.FinalState(h), found.PartState(h)
	if final == partfile.FinalNone {
		if err := s.loop.do(func(context.Context) error { return partfile.InUse(fsys, name) }); err != nil {
			return err
		}
	}
	path := fsys.Path(name)
	switch {
	case decision.Hint == partfile.HintReplaced:
		path = fsys.Path(name + partfile.ReplacedSuffix)
	case final == partfile.FinalNone, final != partfile.FinalOther && part == partfile.PartOther:
		path = fsys.Path(name + partfile.PartSuffix)
	}
	return &TargetError{Path: path, Tree: true, Final: final, Part: part, Unfinished: found.Header, Hint: decision.Hint}
}

// A treeFilling is a tree on its way to its final name.
type treeFilling struct {
	Disk
	fsys     partfile.FS
	decision partfile.Decision
	times    *wire.Times    // nil: when it is written
	old      *oldFiles      // that are replaced; nil: none
	part     *partfile.Tree // nil before it is open
}

// fillTree fetches what is missing and gives the tree its name.
func (s *Session) fillTree(f *treeFilling) (err error) {
	d := s.download
	post := d.post
	options := partfile.TreeOptions{
		Name: d.result.Name, Tree: d.tree, Listing: d.treeSum(), Action: f.decision.Action, Replace: f.decision.Replace,
		SkipPreallocate: f.SkipPreallocate, SkipSpaceCheck: f.SkipSpaceCheck,
		Lacks: func(l partfile.Lack) { post(func() { s.emit(Lacks(l)) }) },
	}
	if f.times != nil {
		options.Times = *f.times
	}
	f.part, err = obtain(s.loop, func(ctx context.Context) (*partfile.Tree, error) { return partfile.OpenTree(ctx, f.fsys, options) })
	defer func() { err = s.leaveTree(f, err) }()
	if err != nil {
		return err
	}
	if err := s.fetchTree(f); err != nil {
		return err
	}
	if err := s.readBackTree(f); err != nil {
		return err
	}
	s.emit(Finishing{})
	d.result.Path, err = obtain(s.loop, func(ctx context.Context) (string, error) { return f.part.Commit(ctx) })
	if d.result.Path == "" {
		return err
	}
	s.tellMoved(f.fsys.Path(d.result.Name), d.result.Path)
	if path := f.part.Replaced(); path != "" {
		s.emit(SetAside{Path: path})
	}
	_ = s.loop.until(func() bool { return !s.judging() }) // as after a file
	return nil
}

// fetchTree fetches every chunk that is missing.
func (s *Session) fetchTree(f *treeFilling) error {
	d, part := s.download, f.part
	s.begin(treeStore{part})
	toCheck, old := int64(0), newChunkSet(d.content.Chunks())
	for c := range d.content.Chunks() {
		switch n := d.content.Length(c, 1); {
		case part.Found(c):
			toCheck += n
		case f.old.has(d.content.Place(c).File):
			toCheck += n
			old.add(c, n)
		default:
			d.schedule.Add(c)
		}
	}
	d.checks.toCheck = toCheck
	s.emit(Started{Name: d.result.Name, Tree: true, Totals: d.tally.files.totals, Size: d.content.Size(), Chunks: d.content.Chunks(), Check: toCheck})
	s.publish()
	s.invite()
	s.surveyTree(part, f.old, old)
	s.checkpoint(part)
	return s.fetchQueued(d.complete)
}

// surveyTree checks, beside the loop, what is here already: of an earlier run,
// and of the files that are replaced.
func (s *Session) surveyTree(part *partfile.Tree, old *oldFiles, chunks *chunkSet) {
	d, ctx := s.download, s.download.ctx
	post := d.post
	found := func(chunk int, ok bool) { post(func() { d.found(chunk, ok) }) }
	failed := func(err error) { post(func() { s.loop.fail(err) }) }
	var replaced *oldCopier
	if chunks.bytes > 0 {
		replaced = s.oldCopier(old, chunks)
	}
	d.beside(func() {
		err := part.Survey(ctx, 0, nil, found)
		if err == nil {
			part.SurveyDone()
			if replaced != nil {
				err = replaced.run(ctx)
			}
		}
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
	})
}

// leaveTree ends the use of the unfinished output, as leavePart does.
func (s *Session) leaveTree(f *treeFilling, err error) error {
	d, ending := s.download, s.loop.ending
	d.halt()
	unfinished := d.result.Path == ""
	var failed error
	switch {
	case ending.left: // the disk hangs: it is not asked again
	case f.part == nil:
		return err
	case ending.run(func() {
		if unfinished {
			failed = f.part.Checkpoint()
		}
		f.part.Close()
	}):
		if failed != nil && KindOf(err) != KindLocal {
			err = failed
		}
		if info, looked := f.fsys.Lstat(d.result.Name + partfile.PartSuffix); looked != nil || info.Kind != partfile.Directory {
			return err
		}
	}
	if unfinished {
		d.result.Part = f.fsys.Path(d.result.Name + partfile.PartSuffix)
	}
	return err
}

// readBackTree reads the finished files again if that was asked for.
func (s *Session) readBackTree(f *treeFilling) error {
	if !f.Recheck {
		return nil
	}
	part, all := f.part, s.download.content
	s.emit(ReadingBack{Size: all.Size()})
	return s.hashing(all.Size(), func(ctx context.Context, done *atomic.Int64) error {
		if err := part.Sync(); err != nil {
			return err
		}
		var bad atomic.Int64
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(treeReaders)
		for i := range all.Files() {
			g.Go(func() error {
				ok, err := reread(ctx, part, all.FirstChunk(i), all.File(i).Size, all.File(i).Checksum, done)
				if !ok && err == nil {
					bad.Add(1)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if bad.Load() > 0 {
			return &FinishedError{Bad: int(bad.Load())}
		}
		return nil
	})
}

// treeReaders bounds the files that are read back at a time.
const treeReaders = 4

// reread reads a file of a tree from the disk and compares its checksum.
func reread(ctx context.Context, part *partfile.Tree, first int, size int64, want [32]byte, done *atomic.Int64) (bool, error) {
	src := treeFile{part, first, manifest.ChunkSize(size), size}
	_, sum, err := manifest.Build(ctx, src, size, manifest.BuildOptions{Workers: 1, Done: done})
	if err != nil && KindOf(err) != KindLocal {
		err = &localfile.Error{Op: "read", Path: part.PartPath(), Err: err}
	}
	return sum == want, err
}

// A treeFile reads a file of an unfinished tree, by its first chunk.
type treeFile struct {
	part      *partfile.Tree
	first     int
	chunkSize int64
	size      int64
}

func (f treeFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < f.size {
		chunk := off / f.chunkSize
		at := off - chunk*f.chunkSize
		most := min(int64(len(p)-n), f.chunkSize-at, f.size-off)
		k, err := f.part.ReadChunk(f.first+int(chunk), p[n:n+int(most)], at)
		n, off = n+k, off+int64(k)
		if err != nil && (err != io.EOF || k == 0) {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
