package fetch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// Without a server, and without values, a chunk that arrives cannot be checked.
// With a checksum of the whole file, malcolm still fetches the file and proves
// it at the end. A wrong byte shows only then, and not who sent it.
//
// Mirrors then decide on the size by a vote of their hosts. The journal of such
// a download has a name of its own, so that a run that can check chunks never
// takes them for checked.

// A Whole is what proves a file whose chunks nobody can check.
type Whole struct {
	Sum    [32]byte
	SHA256 bool // Sum is a SHA-256; else it is a BLAKE3
}

// named is the checksum in the journal of a download that w proves.
func (w *Whole) named() [32]byte {
	kind := "blake3"
	if w.SHA256 {
		kind = "sha256"
	}
	return manifest.Sum([]byte("malcolm: proved at the end by "+kind+"\n"), w.Sum[:])
}

// SizeAgreed says that a file is fetched that is proved only at the end, by
// [Ballot].Whole. Mirrors agree on its size; the others are left out.
type SizeAgreed struct {
	Targets []source.Target
	Result  vote.Result // of the sizes; numbers of servers are indexes into Targets
	Whole   Whole
	// Untied are mirrors whose ranges nothing but the size ties together:
	// they may be of several versions.
	Untied []source.Target
}

func (SizeAgreed) event() {}

// A NoProofError says that nothing proves what mirrors would send.
type NoProofError struct {
	Mirrors int
	Tree    bool // a directory was asked for
}

func (e *NoProofError) Error() string {
	return "nothing proves what mirrors send: no malcolm server is named, and no mirror has a file of values"
}

// An UnprovedError says that a file of which everything had arrived is not what
// was asked for.
type UnprovedError struct {
	Got      [32]byte
	SHA256   bool // Got is a SHA-256; else it is a BLAKE3
	Streamed bool // it was written to a stream all the same
}

func (e *UnprovedError) Error() string {
	kind := "BLAKE3"
	if e.SHA256 {
		kind = "SHA-256"
	}
	return fmt.Sprintf("what the mirrors sent does not have the checksum asked for: its %s is %x", kind, e.Got)
}

// isUnproved reports whether no server is named and the mirrors have nothing
// that proves their bytes.
func (s *Session) isUnproved(r vote.Result) bool {
	return r.Reason == vote.NobodyAnswered && s.roster.any(func(v *server) bool { return !v.votes() }) &&
		!s.roster.any(func(v *server) bool { return !v.target.IsMirror() && v.votes() })
}

// agreeOnSize lets mirrors vote on the size of a file that is proved at the
// end.
func (s *Session) agreeOnSize(b Ballot) error {
	voters := make([]vote.Server, len(s.roster.servers))
	for i, v := range s.roster.servers {
		is, _ := v.source.Voter()
		voters[i] = voter(is)
	}
	ballot := vote.New(voters, vote.Options{Quorum: b.Quorum})
	s.whole = b.Whole
	s.poll = &poll{ballot: ballot, most: b.maxSize(), sizes: true}
	for _, v := range s.roster.servers {
		if v.left || v.votes() || v.state == StateNotReached || v.state == StateRefused {
			ballot.Fail(v.index, time.Now())
		}
	}
	s.askOfMirrors(source.Ask{Bare: true})
	err := s.loop.until(func() bool { return ballot.Closed(time.Now()) })
	r := ballot.Result()
	s.poll = nil
	for i := range r.Groups {
		r.Groups[i].IDs = nil
	}
	switch {
	case err != nil:
		return err
	case r.Winner < 0:
		err := s.undecided(r, Parts{}, b.Quorum)
		if e, ok := err.(*UndecidedError); ok {
			e.Sizes = true
		}
		return err
	}
	group := &r.Groups[r.Winner]
	s.renew(group)
	d := s.download
	d.result.Name, d.result.Unproved, d.whole = r.Name, true, b.Whole
	e := SizeAgreed{Targets: s.targets(), Result: r, Whole: *b.Whole}
	for _, i := range group.Servers {
		if c := s.roster.servers[i].conns.first(); c != nil && c.way.Traits().Untied {
			e.Untied = append(e.Untied, e.Targets[i])
		}
	}
	s.emit(e)
	if most := b.maxSize(); group.Size > most {
		return &TooLargeError{Size: group.Size, Max: most}
	}
	s.admitAll(r)
	s.publish()
	return nil
}

// A takenValues is the chunkValues of a file that is proved at the end: it
// takes the value of each chunk that arrived, whatever it is.
type takenValues struct{ wire.Values }

func (takenValues) check(context.Context, source.Conn, int, [32]byte) (right bool, err error) {
	return true, nil
}

func (takenValues) of(context.Context, source.Conn, int) (value [32]byte, err error) {
	return value, errNoTeller
}

func (takenValues) lacks(int) bool { return false }

func (takenValues) expect(context.Context, source.Conn, int) {}

func (v takenValues) took(chunk int, value [32]byte) { v.Set(chunk, value) }

func (takenValues) good(int) {}

// prove compares a file whose chunks nobody could check with what was asked
// for. Chunks of an earlier run are read from the disk; then their values are
// known.
func (s *Session) prove(f *filling) error {
	d := s.download
	if d.whole == nil {
		return nil
	}
	whole, size, values, resumed := *d.whole, d.offer.Size, d.values, d.result.Resumed > 0
	if !whole.SHA256 && !resumed {
		return s.proveTaken(false)
	}
	s.emit(ReadingBack{Size: size})
	var blake, sum [32]byte
	err := s.hashing(size, func(ctx context.Context, done *atomic.Int64) (err error) {
		switch {
		case !resumed:
			blake = manifest.Checksum(values)
			sum, err = sha256Of(ctx, f.part, size, done)
		case whole.SHA256:
			values, blake, err = manifest.Build(ctx, f.part, size, manifest.BuildOptions{Done: done, SHA256: &sum})
		default:
			values, blake, err = manifest.Build(ctx, f.part, size, manifest.BuildOptions{Done: done})
			sum = blake
		}
		if err != nil {
			return readFailure(f.part, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case sum != whole.Sum:
		return &UnprovedError{Got: sum, SHA256: whole.SHA256}
	}
	d.result.Checksum, d.values = blake, values
	return nil
}

// proveTaken compares the values of what arrived with the BLAKE3 asked for.
func (s *Session) proveTaken(streamed bool) error {
	d := s.download
	sum := manifest.Checksum(d.values)
	if !d.whole.SHA256 && sum != d.whole.Sum {
		return &UnprovedError{Got: sum, Streamed: streamed}
	}
	d.result.Checksum = sum
	return nil
}

// sha256Of returns the SHA-256 of a file, and counts what it has read.
func sha256Of(ctx context.Context, src io.ReaderAt, size int64, done *atomic.Int64) (sum [32]byte, err error) {
	h := sha256.New()
	r := io.NewSectionReader(src, 0, size)
	buf := make([]byte, 1<<20)
	for {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		done.Add(int64(n))
		if err == io.EOF {
			return [32]byte(h.Sum(nil)), nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return sum, err
		}
	}
}

// isOf reports whether a file has the checksum.
func (w Whole) isOf(ctx context.Context, f io.ReaderAt, size int64, done *atomic.Int64) (right bool, err error) {
	var sum [32]byte
	if w.SHA256 {
		sum, err = sha256Of(ctx, f, size, done)
	} else {
		_, sum, err = manifest.Build(ctx, f, size, manifest.BuildOptions{Done: done})
	}
	return err == nil && sum == w.Sum, err
}

// isOfUnproved reports whether the part file is of a run that could not check
// chunks, while this run can. Then what is there counts for nothing.
func (s *Session) isOfUnproved(part partfile.PartState, found partfile.Found) bool {
	d := s.download
	w := Whole{Sum: d.offer.Checksum}
	return d.whole == nil && part == partfile.PartOtherChecksum && found.Header.Checksum == w.named() && found.Header.Size == d.offer.Size
}
