package fetch

import (
	"context"
	"errors"
	"sync/atomic"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
)

// decide settles the file's name and what to do about what lies there already.
// If nothing has to be fetched, it does it.
func (s *Session) decide(fsys partfile.FS, out Output) (partfile.Decision, error) {
	d, err := s.weigh(fsys, out)
	if err == nil && d.Action == partfile.AlreadyRight {
		name := s.download.result.Name
		path := fsys.Path(name)
		err = s.alreadyRight(fsys, path)
		if now, moved := partfile.PathNow(fsys, name); err == nil && moved == nil {
			s.download.result.Path = now
			s.tellMoved(path, now)
		} else if err == nil {
			err = moved
		}
	}
	return d, err
}

// weigh settles the file's name and what to do about what lies there already.
// It changes nothing.
func (s *Session) weigh(fsys partfile.FS, out Output) (partfile.Decision, error) {
	if err := s.download.settle(fsys, out); err != nil {
		return partfile.Decision{}, err
	}
	name := s.download.result.Name
	found, err := obtain(s.loop, func(context.Context) (partfile.Found, error) { return partfile.Look(fsys, name) })
	if err != nil {
		return partfile.Decision{}, err
	}
	final := found.FinalState(s.download.offer.Size)
	if partfile.NeedsHash(final, out.Resume) {
		if final, err = s.hashFinal(fsys, name); err != nil {
			return partfile.Decision{}, err
		}
	}
	part := found.PartState(s.download.header())
	d := partfile.Decide(final, part, out.Resume, out.Force)
	if s.isOfFalseSize(part, found) || s.isOfUnproved(part, found) {
		if d = partfile.Decide(final, partfile.PartNone, out.Resume, out.Force); d.Action == partfile.Fetch {
			d.Action = partfile.StartOver
		}
	}
	if d.Action != partfile.Refuse {
		return d, nil
	}
	if final == partfile.FinalNone {
		if err := s.loop.do(func(context.Context) error { return partfile.InUse(fsys, name) }); err != nil {
			return d, err
		}
	}
	path := fsys.Path(name)
	if final == partfile.FinalNone || final != partfile.FinalOther && part == partfile.PartOther {
		path = fsys.Path(name + partfile.PartSuffix)
	}
	return d, &TargetError{Path: path, Final: final, Part: part, Unfinished: found.Header, Hint: d.Hint}
}

// alreadyRight ends a run that found the right file, and removes what an
// earlier run left beside it. It fails if the file's name cannot be made
// durable. What cannot be removed stays.
func (s *Session) alreadyRight(fsys partfile.FS, path string) error {
	r := &s.download.result
	name := r.Name
	err := s.loop.do(func(context.Context) error { return partfile.FinishLeftover(fsys, name) })
	if e, ok := errors.AsType[*partfile.Error](err); err != nil && (!ok || e.Op != "remove" && e.Reason != partfile.Locked) {
		return err
	}
	r.AlreadyRight, r.Path = true, path
	return nil
}

// header is what the journal of this download says of it.
func (d *download) header() partfile.Header {
	h := partfile.Header{Size: d.offer.Size, ChunkSize: manifest.ChunkSize(d.offer.Size), Checksum: d.offer.Checksum}
	if d.whole != nil {
		h.Checksum = d.whole.named()
	}
	return h
}

// settleName takes the name that the user chose, or else that of the vote.
func (d *download) settleName(chosen string) error {
	if chosen != "" {
		d.result.Name = chosen
		return CheckName(chosen)
	}
	if err := checkOffered(d.result.Name); err != nil {
		d.result.Name = ""
		return err
	}
	return nil
}

// hashFinal reads the file that has the final name and says whether it is the
// voted one.
func (s *Session) hashFinal(fsys partfile.FS, name string) (partfile.FinalState, error) {
	size, want := s.download.offer.Size, Whole{Sum: s.download.offer.Checksum}
	if w := s.download.whole; w != nil {
		want = *w
	}
	state := partfile.FinalWrong
	err := s.hashing(size, func(ctx context.Context, done *atomic.Int64) error {
		f, found, err := partfile.OpenFinal(fsys, name)
		if err != nil {
			return err
		}
		defer f.Close()
		if found != size {
			return nil
		}
		right, err := want.isOf(ctx, f, size, done)
		if err != nil {
			return &localfile.Error{Op: "read", Path: fsys.Path(name), Err: err}
		}
		if right {
			state = partfile.FinalRight
		}
		return nil
	})
	if err != nil { // what sets state may have been left behind
		return partfile.FinalWrong, err
	}
	return state, nil
}

// hashing runs f beside the loop. f reads size bytes of a local file and counts
// them in done.
func (s *Session) hashing(size int64, f func(ctx context.Context, done *atomic.Int64) error) error {
	c := &s.download.checks
	var done atomic.Int64
	c.toCheck, c.checked, c.hashed = size, 0, &done
	defer func() { c.toCheck, c.hashed = 0, nil }()
	return s.loop.do(func(ctx context.Context) error { return f(ctx, &done) })
}
