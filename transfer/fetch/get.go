package fetch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/pace"
	"malcolm/transfer/partfile"
)

// checkpointTime is the time between two checkpoints of the part file.
const checkpointTime = 2 * time.Second

// Result is what [Session.Get] did. A run that failed has one too, of what it
// did until then.
type Result struct {
	Path         string // of the finished file; empty without one
	Part         string // of the unfinished file that was kept; empty without one
	Name         string // as voted or chosen; empty before the vote
	Size         int64  // in bytes; of a directory's files, those of the same bytes once
	Checksum     [32]byte
	Tree         TreeReport // of a directory: then the checksum is that of its listing
	Refusals     []ChunkRefused
	Unproved     bool          // only a checksum of the whole proves it: see [Whole]
	AlreadyRight bool          // the right file was there: nothing was fetched
	Elapsed      time.Duration // since the session began
	Amounts
	Servers []ServerReport
	Map     ChunkMap // nil unless Watch.Map asked for it
}

// Amounts are the bytes of a run, by what became of them.
type Amounts struct {
	Fetched   int64 // that were fetched and found good
	Resumed   int64 // that were kept from an earlier run
	Duplicate int64 // wasted: second copies, and the rest of what was cancelled
	Refetched int64 // fetched again: refused chunks, and damage to an earlier run's
}

// Get copies the file that most sources hold. It returns when the file lies
// under its final name and is durable, or with an error whose class [KindOf]
// returns. When the session's context ends, it keeps the unfinished file and
// returns within two seconds.
func (s *Session) Get(b Ballot, out Output) (*Result, error) {
	return s.overSizes(b, func() error { return s.get(b, out) })
}

func (s *Session) get(b Ballot, out Output) error {
	root, err := obtain(s.loop, func(context.Context) (*os.Root, error) { return OpenOutput(out.Dir) })
	if err != nil {
		return err
	}
	defer s.closeRoot(root)
	fsys := out.open(root)
	free := func(offered string) bool { return isFree(fsys, out.Name, offered) }
	isTree, err := s.agreeOnAny(b, &early{room: maxAhead, free: free, trees: true})
	if err != nil {
		return err
	}
	if isTree {
		return s.getTree(b, out, fsys)
	}
	if s.sizes.retried {
		if err := s.obtainValues(); err != nil {
			return err
		}
		if err := s.proveSize(); err != nil {
			return err
		}
	}
	decision, err := s.decide(fsys, out)
	if err != nil || s.download.result.AlreadyRight {
		return err
	}
	if !s.sizes.retried {
		if err := s.obtainValues(); err != nil {
			return err
		}
	}
	return s.fill(&filling{Disk: out.Disk, fsys: fsys, decision: decision})
}

// closeRoot closes a directory, unless something left behind still uses it.
func (s *Session) closeRoot(root *os.Root) {
	if !s.loop.ending.left {
		root.Close()
	}
}

// A filling is a part file on its way to its final name.
type filling struct {
	Disk
	fsys     partfile.FS
	decision partfile.Decision
	local    *localCopy     // a local file that has chunks already; nil: none
	original *partfile.Info // the file that is repaired; nil: none
	part     *partfile.File // nil before it is open
}

// fill fetches what is missing and gives the file its name.
func (s *Session) fill(f *filling) (err error) {
	d := s.download
	post := d.post
	var modTime *time.Time
	if f.RemoteTime {
		if modTime = s.remoteTime(); modTime == nil {
			s.emit(NoModTime{})
		}
	}
	options := partfile.Options{
		Name: d.result.Name, Size: d.offer.Size, ChunkSize: manifest.ChunkSize(d.offer.Size), Checksum: d.header().Checksum,
		Action: f.decision.Action, Replace: f.decision.Replace, Original: f.original, ModTime: modTime,
		SkipPreallocate: f.SkipPreallocate, SkipSpaceCheck: f.SkipSpaceCheck,
		Lacks:    func(l partfile.Lack) { post(func() { s.emit(Lacks(l)) }) },
		Reserved: func(done int64) { post(func() { d.space.reached(done, time.Now()) }) },
	}
	f.part, err = obtain(s.loop, func(ctx context.Context) (*partfile.File, error) { return partfile.Open(ctx, f.fsys, options) })
	defer func() { err = s.leavePart(f, err) }()
	if err != nil {
		return err
	}
	s.tellLost(f.part, nil)
	if err := s.fetchAll(f); err != nil {
		return err
	}
	if err := s.prove(f); err != nil {
		return err
	}
	if err := s.readBack(f); err != nil {
		return err
	}
	s.emit(Finishing{})
	told := f.part.Lost()
	d.result.Path, err = obtain(s.loop, func(context.Context) (string, error) { return f.part.Commit() })
	if d.result.Path == "" {
		return err
	}
	s.tellLost(f.part, told)
	s.tellMoved(f.fsys.Path(d.result.Name), d.result.Path)
	// The file is there, even if the context ended meanwhile. Only the
	// verdict on a server with a wrong chunk is awaited and told; it
	// changes nothing.
	_ = s.loop.until(func() bool { return !s.judging() })
	return nil
}

// fetchAll fetches every chunk that is missing.
func (s *Session) fetchAll(f *filling) error {
	d := s.download
	size := d.offer.Size
	found, err := obtain(s.loop, func(context.Context) (*survey, error) { return newSurvey(f.part, f.local, size), nil })
	if err != nil {
		return err
	}
	if err := s.place(partStore{f.part}, found.bytes() == 0); err != nil {
		return err
	}
	s.begin(partStore{f.part})
	for c := range d.content.Chunks() {
		if found.missing.has(c) {
			d.schedule.Add(c)
		}
	}
	d.checks.toCheck = found.bytes()
	s.emit(Started{
		Name: d.result.Name, Size: d.content.Size(), Chunks: d.content.Chunks(), Check: d.checks.toCheck,
		Sparse: f.part.Sparse() && !f.SkipPreallocate,
	})
	s.publish()
	s.check(f, found)
	s.checkpoint(f.part)
	return s.fetchQueued(d.complete)
}

// checkpoint makes marked chunks durable from time to time, beside the loop.
func (s *Session) checkpoint(part checkpointer) {
	d, ctx := s.download, s.download.ctx
	post := d.post
	failed := func(err error) { post(func() { s.loop.fail(err) }) }
	times := &s.means.checkpoints
	d.beside(func() {
		if err := checkpoints(ctx, part, times); err != nil {
			failed(err)
		}
	})
}

// A checkpointer is an unfinished output.
type checkpointer interface {
	// Checkpoint makes what is marked durable, and fails if the output is
	// no longer there.
	Checkpoint() error
}

// check checks, beside the loop, what is here already.
func (s *Session) check(f *filling, found *survey) {
	d := s.download
	post := d.post
	c := &checker{
		job: d.job, part: f.part, values: d.values, survey: found, local: f.local,
		found:   func(chunk int, ok bool) { post(func() { d.found(chunk, ok) }) },
		damaged: func(chunk int) { post(func() { d.damaged(chunk) }) },
	}
	failed := func(err error) { post(func() { s.loop.fail(err) }) }
	ctx := d.ctx
	d.beside(func() {
		if err := c.run(ctx); err != nil {
			failed(err)
		}
	})
}

// checkpoints makes marked chunks durable every checkpointTime, beside the
// loop, and checks that the part file is still there. times gets how long each
// checkpoint took.
func checkpoints(ctx context.Context, part checkpointer, times *pace.Times) error {
	for pace.Sleep(ctx, checkpointTime) == nil {
		began := time.Now()
		if err := part.Checkpoint(); err != nil {
			return err
		}
		times.Took(time.Since(began))
	}
	return nil
}

// tellLost tells what of the replaced file cannot be kept, except what is in
// told.
func (s *Session) tellLost(part *partfile.File, told []partfile.Lost) {
	for _, lost := range part.Lost() {
		if !slices.ContainsFunc(told, func(l partfile.Lost) bool { return l.What == lost.What }) {
			s.emit(NotKept{Path: part.Path(), What: lost.What, Err: lost.Err})
		}
	}
}

// leavePart ends the use of the part file. It first makes the marks of an
// unfinished one durable. If that fails, the user is told, unless err is worse.
func (s *Session) leavePart(f *filling, err error) error {
	d, ending := s.download, s.loop.ending
	d.halt()
	unfinished, name := d.result.Path == "", d.result.Name
	var failed error
	var path string
	switch {
	case ending.left: // the disk hangs: it is not asked again
	case f.part == nil:
		return err
	case ending.run(func() {
		if unfinished {
			failed = f.part.Checkpoint()
		}
		f.part.Close()
		if unfinished {
			path = existing(f.fsys, name)
		}
	}):
		d.result.Part = path
		if failed != nil && KindOf(err) != KindLocal {
			err = failed
		}
		return err
	}
	if unfinished {
		d.result.Part = f.fsys.Path(name + partfile.PartSuffix)
	}
	return err
}

// tellMoved tells that a path is not the one the user expects.
func (s *Session) tellMoved(from, to string) {
	if from != to {
		s.emit(OutputMoved{Path: to})
	}
}

// existing returns the path of the part file if there is one.
func existing(fsys partfile.FS, name string) string {
	name += partfile.PartSuffix
	if info, err := fsys.Lstat(name); err != nil || info.Kind != partfile.Regular {
		return ""
	}
	if path, err := partfile.PathNow(fsys, name); err == nil {
		return path
	}
	return fsys.Path(name)
}

// OpenOutput opens the directory into which files are written. If the path ends
// in a slash and nothing is there, it makes the directory first, with those
// above it. Errors are [*NotDirectoryError] and [*localfile.Error]. Any
// goroutine may call it.
func OpenOutput(dir string) (*os.Root, error) {
	if dir != "" && os.IsPathSeparator(dir[len(dir)-1]) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return nil, &localfile.Error{Op: "mkdir", Path: dir, Err: err}
			}
		}
	}
	return openDir(dir)
}

func openDir(dir string) (*os.Root, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotDirectoryError{Path: dir, Missing: true}
	}
	if err != nil {
		return nil, &localfile.Error{Op: "open", Path: dir, Err: err}
	}
	if !info.IsDir() {
		return nil, &NotDirectoryError{Path: dir}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &localfile.Error{Op: "open", Path: dir, Err: err}
	}
	return root, nil
}
