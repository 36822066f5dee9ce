package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transport"
	"malcolm/wire"
)

// A checksum that was asked for says which bytes a file has, and a list of
// chunk values is proved by it. The size is one server's word until the last
// chunk has come: the first server to answer may name a false one. So, when all
// servers of that size came to nothing, those are tried that offer the same
// checksum with another size.

// overSizes runs a download for one size after the other. The error is that of
// the last size that was proved, else that of the first one.
func overSizes(ctx context.Context, cfg GetConfig, run func(*getting) error) (*Result, error) {
	g := newGetting(ctx, cfg)
	err := run(g)
	result := g.finish()
	for last := err; ctx.Err() == nil && g.hasOtherSize(last); {
		g = g.withOtherSize(ctx)
		if last = run(g); last == nil || g.size.proved {
			err, result = last, g.finish()
		}
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return result, err
}

// otherSize is what a run knows of the sizes that runs before it have tried.
type otherSize struct {
	again  bool // there were such runs
	proved bool // this one's size is right
}

// hasOtherSize reports whether a run that ended with err may end otherwise with
// another size: one that was offered, or, where the size itself was in the way,
// one that a server may still offer.
func (g *getting) hasOtherSize(err error) bool {
	if g.cfg.Checksum == nil || g.voted == nil || g.size.proved || g.result.Path != "" || g.complete() {
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
	for _, p := range g.peers {
		switch p.state {
		case PeerLeftOut:
			if !p.tried && p.offer.Checksum == g.voted.Checksum && p.offer.Size != g.voted.Size {
				return true
			}
		case PeerConnecting, PeerIndexing, PeerFull:
			if open {
				return true
			}
		}
	}
	return false
}

// withOtherSize returns a run for the same checksum without the servers that
// offered the size of g, which has ended.
func (g *getting) withOtherSize(ctx context.Context) *getting {
	cfg := g.cfg
	cfg.AllAddresses = false // they are Targets now
	next := newGetting(ctx, cfg)
	next.begun, next.size.again = g.begun, true
	next.result.Duplicate = g.result.Duplicate + g.result.Fetched
	next.result.Refetched = g.result.Refetched
	for i, p := range g.peers {
		if !p.tried && !g.offersVoted(p) {
			continue
		}
		out := next.peers[i]
		out.tried, out.id, out.offer, out.bad = true, p.id, p.offer, p.bad
		out.state, out.err = PeerLeftOut, p.err
		if p.state == PeerWrong {
			out.state = PeerWrong
		}
	}
	return next
}

// proveSize has one server show the last chunk, before anything is done about
// what a run with another size left: that may be right, and this one's size may
// be the false one.
func (g *getting) proveSize(ctx context.Context, t *clocks) error {
	if g.layout.Chunks == 0 { // readOffer has compared the checksum
		g.size.proved = true
		return nil
	}
	for _, p := range g.byRank() {
		c := p.pick()
		if c == nil {
			continue
		}
		err := g.do(ctx, t, func(ctx context.Context) error { return g.showLast(ctx, c.conn) })
		var wrong *wrongChunkError
		switch {
		case err == nil:
			g.size.proved = true
			return nil
		case ctx.Err() != nil:
			return err
		case errors.As(err, &wrong):
			p.bad++
			g.leave(p, PeerWrong, err)
		default:
			g.leave(p, blame(err), err)
		}
	}
	return &NoServerLeftError{Missing: g.layout.Size, Servers: g.reports()}
}

// showLast runs beside the loop: it fetches the last chunk, and checks it.
func (g *getting) showLast(ctx context.Context, conn *transport.Conn) error {
	opening, cancel := context.WithTimeout(ctx, manifestTime)
	defer cancel()
	st, err := conn.OpenStream(opening)
	if err != nil {
		return err
	}
	defer st.CancelRead(uint64(wire.StreamCancelled))
	defer context.AfterFunc(ctx, func() { st.CancelRead(uint64(wire.StreamCancelled)) })()
	chunk := g.layout.Chunks - 1
	offset, length := manifest.Span(g.layout.Size, chunk)
	r := wire.RangeRequest{Checksum: g.result.Checksum, Offset: offset, Length: length}
	if err := ask(st, r, time.Now().Add(askTime)); err != nil {
		return err
	}
	st.SetReadDeadline(time.Now().Add(manifestTime))
	h, err := wire.ReadHeader(st)
	switch {
	case err != nil:
		return g.replyError(err)
	case h.Status != wire.StatusOK:
		return g.replyError(wire.ReadRefusal(st, h))
	case h.Length != uint64(length):
		return &ProtocolError{Err: errors.New("another length than was asked for")}
	}
	var hasher manifest.Hasher
	hasher.Reset(g.layout.Size, chunk)
	buf := make([]byte, pieceSize)
	for hasher.Remaining() > 0 {
		piece := g.limit.Piece(int(min(pieceSize, hasher.Remaining())))
		if err := g.limit.Wait(ctx, piece); err != nil {
			return err
		}
		st.SetReadDeadline(time.Now().Add(manifestTime))
		n, err := st.Read(buf[:piece])
		g.limit.Refund(piece - n)
		if n == 0 && err != nil {
			return g.replyError(err)
		}
		if _, err := hasher.Write(buf[:n]); err != nil {
			return err
		}
	}
	if value, _ := hasher.Sum(); value != g.manifest.Value(chunk) {
		return &wrongChunkError{chunk}
	}
	return nil
}

// takesPart reports whether a part file is one that a run with a false size
// left: its journal says that it is of this checksum, and of another size.
func (g *getting) takesPart(part partfile.PartState, found partfile.Found) bool {
	h := found.Header
	return g.size.again && g.size.proved && part == partfile.PartOtherChecksum &&
		h.Checksum == g.result.Checksum && h.Size != g.layout.Size
}

var errOutHangs = errors.New("what was written before has not been read yet")

// An onward is a writer for several runs that write the same bytes from the
// start: what was written is not written again.
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

// rewind begins a run anew. It is false while a write of the last one hangs.
func (o *onward) rewind() bool {
	if !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	o.at = 0
	return true
}
