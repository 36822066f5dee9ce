package fetch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/wire"
)

// A wanted checksum says which bytes a file has, and proves a list of chunk
// values. The size is one server's word until the last chunk has come, and the
// first server to answer may name a false one. So if no run with a size
// succeeded, servers that offer the same checksum with another size are tried.

// proofTime is how long the last chunk may make no progress while it is to
// prove a size.
const proofTime = 20 * time.Second

// sizes are what a session knows of the sizes it has tried for a checksum.
type sizes struct {
	retried bool // another size was tried before
	proved  bool // the size tried now is right

	duplicate, refetched int64 // bytes, see Counts: of the sizes before
}

// overSizes runs run for one size after the other. Its error is that of the
// last size that was proved, else of the first one.
func (s *Session) overSizes(b Ballot, run func() error) (*Result, error) {
	s.anew()
	err := run()
	result := s.finish()
	for last := err; s.loop.ctx.Err() == nil && s.hasOtherSize(b, last); {
		s.exclude()
		if last = run(); last == nil || s.sizes.proved {
			err, result = last, s.finish()
		} else {
			s.finish()
		}
	}
	if err != nil && s.loop.ctx.Err() != nil {
		err = context.Cause(s.loop.ctx)
	}
	return result, err
}

// hasOtherSize reports whether a run that ended with err may end better with
// another size. Servers have offered one, or, if the size itself was the
// problem, may still offer one.
func (s *Session) hasOtherSize(b Ballot, err error) bool {
	d := s.download
	if b.Checksum == nil || !d.isAgreed() || s.sizes.proved || d.result.Path != "" || d.complete() {
		return false
	}
	var open bool
	switch {
	case as[*TooLargeError](err), partfile.ReasonOf(err) == partfile.NoSpace, KindOf(err) == KindIntegrity:
		open = true
	case as[*NoServerLeftError](err), as[*SilentError](err):
	default:
		return false
	}
	return s.roster.any(func(v *server) bool {
		if v.state == StateLeftOut {
			return !v.trouble.tried && v.offer.Checksum == d.offer.Checksum && v.offer.Size != d.offer.Size
		}
		return open && v.votes() && v.state.isAwaited()
	})
}

// exclude leaves out the servers that offered the size of the download that has
// ended. What came for it was wasted.
func (s *Session) exclude() {
	d := s.download
	s.sizes.retried, s.loop.fatal = true, nil
	s.sizes.duplicate, s.sizes.refetched = d.tally.Duplicate+d.result.Fetched, d.tally.Refetched
	d.tally.Duplicate, d.tally.Refetched = 0, 0 // the next download has them
	for _, v := range s.roster.servers {
		if v.trouble.tried || !v.votes() || !s.offersVoted(v) {
			continue
		}
		v.trouble.tried = true
		s.dismiss(v)
		if v.state != StateWrong {
			v.state = StateLeftOut
		}
	}
	s.renew(nil)
}

// proveSize has one server send the last chunk. Only then is anything changed
// that a run with another size left behind: that size may be the right one, and
// this one false.
func (s *Session) proveSize() error {
	d := s.download
	if d.content.Chunks() == 0 { // the checksum was compared when it was offered
		s.sizes.proved = true
		return nil
	}
	values, size, means := d.values, d.offer.Size, s.means
	for _, v := range s.roster.byRank() {
		c := v.conns.pick()
		if c == nil {
			continue
		}
		way, checksum := c.way, d.offer.Checksum
		err := s.loop.do(func(ctx context.Context) error { return means.showLast(ctx, way, checksum, size, values) })
		switch {
		case err == nil:
			s.sizes.proved = true
			return nil
		case s.loop.ctx.Err() != nil:
			return err
		case as[*wrongChunkError](err):
			v.share.bad++
			s.leave(v, StateWrong, &source.Fault{What: source.Wrong, Words: err.Error()})
		default:
			s.leave(v, blame(err), err)
		}
	}
	return &NoServerLeftError{Missing: size, Servers: s.reports()}
}

// showLast fetches the last chunk, beside the loop, and checks it.
func (m *means) showLast(ctx context.Context, way source.Conn, checksum [32]byte, size int64, values wire.Values) error {
	chunk := values.Len() - 1
	span := source.Span{Checksum: checksum}
	span.Offset, span.Length = manifest.Span(size, chunk)
	var hasher manifest.Hasher
	hasher.Reset(size, chunk)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := &source.Fault{What: source.NoAnswer, Words: "no answer in " + proofTime.String()}
	progress := time.AfterFunc(proofTime, func() { cancel(stalled) })
	defer progress.Stop()
	err := m.hashBody(ctx, way, span, &hasher, progress)
	if err != nil && context.Cause(ctx) == stalled {
		err = stalled
	}
	if err != nil {
		return err
	}
	if value, _ := hasher.Sum(); value != values.At(chunk) {
		return &wrongChunkError{chunk}
	}
	return nil
}

// hashBody hashes a span. progress runs only while bytes are waited for, and
// begins anew with each of them.
func (m *means) hashBody(ctx context.Context, way source.Conn, span source.Span, hasher *manifest.Hasher, progress *time.Timer) error {
	body, err := way.Range(ctx, []source.Span{span})
	if err != nil {
		return err
	}
	defer body.Close()
	return m.pass(ctx, hasher, func(p []byte, _ int64) error {
		for len(p) > 0 {
			piece := m.limit.Piece(len(p))
			progress.Stop()
			if err := m.limit.Wait(ctx, piece); err != nil {
				return err
			}
			progress.Reset(proofTime)
			n, err := body.Read(p[:piece])
			m.limit.Refund(piece - n)
			if n == 0 && err != nil {
				return err
			}
			p = p[n:]
		}
		return nil
	})
}

// isOfFalseSize reports whether this part file is of a run with a false size:
// its journal names this checksum and another size.
func (s *Session) isOfFalseSize(part partfile.PartState, found partfile.Found) bool {
	h, d := found.Header, s.download
	return s.sizes.retried && s.sizes.proved && part == partfile.PartOtherChecksum &&
		h.Checksum == d.offer.Checksum && h.Size != d.offer.Size
}

var errOutHangs = errors.New("what was written before has not been read yet")

// An onward is a writer for several runs that write the same bytes from the
// start. It passes each byte on once.
type onward struct {
	mu      sync.Mutex // held while out is being written to
	out     io.Writer
	written int64
	at      int64 // of this run
}

func (o *onward) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	skip := int(min(max(o.written-o.at, 0), int64(len(p))))
	o.at += int64(skip)
	if skip == len(p) {
		return skip, nil
	}
	n, err := o.out.Write(p[skip:])
	o.at += int64(n)
	o.written += int64(n)
	return skip + n, err
}

// rewind begins a run anew; false: a write of the last one still hangs.
func (o *onward) rewind() bool {
	if !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	o.at = 0
	return true
}
