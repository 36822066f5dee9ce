package fetch

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
)

// A Mend says how [Session.Repair] writes.
type Mend struct {
	// SplitLinks allows replacing a file that has other names, which keep
	// the old bytes.
	SplitLinks bool
	Disk
}

// Repair makes a local file equal to what most of the sources hold. It copies
// the right chunks of it into a part file beside it, fetches what differs, and
// replaces the file in one step. Until then the file stays as it is. Errors and
// the end of the session's context are as with [Session.Get]. A file that is
// already right is left alone.
func (s *Session) Repair(b Ballot, l Local, m Mend) (*Result, error) {
	s.anew()
	err := s.repair(b, l, m)
	return s.finish(), err
}

func (s *Session) repair(b Ballot, l Local, m Mend) error {
	at, err := s.openMending(l, m)
	if err != nil {
		return err
	}
	defer s.closeMending(at)
	if err := s.agreeOnFile(b, nil); err != nil {
		return err
	}
	d := s.download
	d.result.Name = at.name
	if err := s.obtainValues(); err != nil {
		return err
	}
	original, err := at.named()
	if err != nil {
		return err
	}
	bad, err := s.compare(at.file)
	if err != nil {
		return err
	}
	if at.file.info.Size == d.offer.Size && len(bad) == 0 {
		return s.alreadyRight(at.fsys, l.Path)
	}
	header := d.header()
	decision, err := obtain(s.loop, func(context.Context) (partfile.Decision, error) {
		return at.decide(m.SplitLinks, header)
	})
	if err != nil {
		return err
	}
	local := newLocalCopy(at.file, d.content.Chunks(), bad)
	return s.fill(&filling{Disk: m.Disk, fsys: at.fsys, decision: decision, local: local, original: &original})
}

// A mending is a local file that may be replaced, and where it lies.
type mending struct {
	file *ownFile
	root *os.Root // the directory
	fsys partfile.FS
	name string // in it
}

// openMending opens a local file and its directory.
func (s *Session) openMending(l Local, m Mend) (*mending, error) {
	file, err := openOwn(l)
	if err != nil {
		return nil, err
	}
	dir, name := filepath.Split(l.Path)
	if dir == "" {
		dir = "."
	}
	at := &mending{file: file, name: name}
	if err = CheckName(name); err == nil {
		if at.root, err = os.OpenRoot(dir); err != nil {
			err = &localfile.Error{Op: "open", Path: dir, Err: err}
		}
	}
	if err == nil {
		at.fsys = m.open(at.root)
		_, err = at.named()
	}
	if err != nil {
		s.closeMending(at)
		return nil, err
	}
	return at, nil
}

// named returns what has the file's name now, which must be the file.
func (m *mending) named() (partfile.Info, error) { return m.file.named(m.root, m.fsys) }

func (s *Session) closeMending(m *mending) {
	if m.root != nil {
		s.closeRoot(m.root)
	}
	m.file.Close()
}

// RehearseRepair is [Session.Verify] for a file that [Session.Repair] is to
// mend. If Repair would refuse to replace the file, or to use the part file
// that is there, RehearseRepair returns that error too, with a result.
func (s *Session) RehearseRepair(b Ballot, l Local, m Mend) (*VerifyResult, error) {
	r, err := s.Verify(b, l)
	if !isMismatch(err) {
		return r, err
	}
	if refused := s.mayRepair(l, m); refused != nil {
		return r, refused
	}
	return r, err
}

func isMismatch(err error) bool {
	_, ok := errors.AsType[*MismatchError](err)
	return ok
}

// mayRepair returns why a wrong file would not be repaired.
func (s *Session) mayRepair(l Local, m Mend) error {
	at, err := s.openMending(l, m)
	if err != nil {
		return err
	}
	defer s.closeMending(at)
	header := s.download.header()
	_, err = obtain(s.loop, func(context.Context) (partfile.Decision, error) {
		return at.decide(m.SplitLinks, header)
	})
	return err
}

// decide checks, before anything is fetched, whether the file can be
// replaced, and decides what to do with a part file that is there.
func (m *mending) decide(split bool, header partfile.Header) (partfile.Decision, error) {
	if err := m.file.mendable(m.fsys, split); err != nil {
		return partfile.Decision{}, err
	}
	found, err := partfile.Look(m.fsys, m.name)
	if err != nil {
		return partfile.Decision{}, err
	}
	part := found.OwnPartState(header)
	d := partfile.DecideRepair(part)
	if d.Action != partfile.Refuse {
		return d, nil
	}
	if err := partfile.InUse(m.fsys, m.name); err != nil {
		return d, err
	}
	return d, &TargetError{
		Path: m.fsys.Path(m.name + partfile.PartSuffix), Part: part, Unfinished: found.Header, Hint: d.Hint,
	}
}

// A localCopy is a local file that has chunks of the file to be written.
type localCopy struct {
	file localfile.File
	path string
	bad  *chunkSet // chunks that it does not have
}

func newLocalCopy(file *ownFile, chunks int, bad []Span) *localCopy {
	s := &localCopy{file: file.File, path: file.path, bad: newChunkSet(chunks)}
	for _, b := range bad {
		s.bad.add(b.Chunk, b.Length)
	}
	return s
}

// has reports whether the file was found to have a chunk. A nil localCopy has
// none.
func (s *localCopy) has(chunk int) bool { return s != nil && !s.bad.has(chunk) }

// copyLocal copies the chunks that the local file has into the part file. Each
// is hashed as it is copied, or after, so the local file may have changed
// meanwhile.
func (c *checker) copyLocal(ctx context.Context) error {
	var next atomic.Int64
	workers, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			hasher := manifest.Hasher{XXH3: true}
			for {
				chunk := int(next.Add(1) - 1)
				if chunk >= c.content.Chunks() {
					return nil
				}
				if !c.survey.copied.has(chunk) {
					continue
				}
				ok, err := c.copyChunk(ctx, &hasher, chunk)
				if err != nil {
					return err
				}
				c.found(chunk, ok)
			}
		})
	}
	return workers.Wait()
}

// copyChunk copies one chunk; false: the local file has changed there, or the
// disk cannot read it any more.
func (c *checker) copyChunk(ctx context.Context, hasher *manifest.Hasher, chunk int) (bool, error) {
	claim, ok := c.part.Claim(chunk)
	if !ok {
		return c.part.Marked(chunk), nil
	}
	defer claim.Release()
	p := c.content.Place(chunk)
	hasher.Reset(c.content.File(p.File).Size, p.Chunk)
	err := claim.CopyFrom(c.local.file)
	switch {
	case err == nil:
		err = c.hashCopy(ctx, hasher, claim)
	case errors.Is(err, errors.ErrUnsupported), localfile.IsMediaError(err): // on one of the two disks
		err = c.copyHashing(ctx, hasher, claim, p.Offset)
	}
	lost, ofLocal := errors.AsType[*localError](err)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), ofLocal && localfile.IsMediaError(err):
		return false, nil
	case ofLocal:
		return false, &localfile.Error{Op: "read", Path: c.local.path, Err: lost.err}
	case err != nil:
		return false, err
	}
	value, xxh := hasher.Sum()
	if value != c.values.At(chunk) {
		return false, nil
	}
	return true, claim.Mark(xxh)
}

// hashCopy reads back what the system has copied.
func (c *checker) hashCopy(ctx context.Context, hasher *manifest.Hasher, claim *partfile.Claim) error {
	return c.pass(ctx, hasher, func(p []byte, at int64) error {
		n, err := claim.ReadBack(p, at)
		if n == len(p) {
			return nil
		}
		return err
	})
}

// copyHashing copies the chunk that begins at an offset of the local file.
func (c *checker) copyHashing(ctx context.Context, hasher *manifest.Hasher, claim *partfile.Claim, offset int64) error {
	return c.pass(ctx, hasher, func(p []byte, at int64) error {
		n, err := c.local.file.ReadAt(p, offset+at)
		if n == len(p) {
			return claim.WriteAt(p, at)
		}
		return &localError{err}
	})
}

// A localError says that the local file could not be read.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// pass hashes a chunk in pieces. fill makes each, at bytes from the chunk's
// start.
func (m *means) pass(ctx context.Context, hasher *manifest.Hasher, fill func(p []byte, at int64) error) error {
	buf, err := m.pieces.get(ctx)
	if err != nil {
		return err
	}
	defer m.pieces.put(buf)
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
