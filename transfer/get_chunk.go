package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transport"
	"malcolm/wire"
)

// A wrongChunkError says that a chunk does not have the value that the
// majority's manifest gives for it.
type wrongChunkError struct{ chunk int }

func (e *wrongChunkError) Error() string { return fmt.Sprintf("chunk %d is wrong", e.chunk) }

// A partial is a chunk that was received in part when its range ended: the
// ownership of its place, and the state of its hashing. Only the same server goes
// on with it, so that blame stays exact: servers that share an ID need not share a
// disk.
type partial struct {
	chunk  int
	at     int64      // bytes that are there
	from   int64      // of these, what was there before the fetch that has it now
	claim  chunkClaim // nil: a second copy
	copy   []byte     // what there is of a second copy; nil: it is none
	hasher *manifest.Hasher
	peer   *peer
}

// fetchRange runs beside the loop: it asks for one range and takes its chunks
// one after the other.
func (g *getting) fetchRange(ctx context.Context, f *fetch) error {
	offset, length := g.layout.Span(f.Range)
	if f.resume != nil {
		offset, length = offset+f.resume.at, length-f.resume.at
	}
	st, err := f.conn.conn.OpenStream(ctx)
	if err != nil {
		return err
	}
	defer st.CancelRead(uint64(wire.StreamCancelled))
	defer context.AfterFunc(ctx, func() { st.CancelRead(uint64(wire.StreamCancelled)) })()
	req := wire.RangeRequest{Checksum: g.result.Checksum, Offset: offset, Length: length}
	if err := ask(st, req, time.Now().Add(askTime)); err != nil {
		return err
	}
	h, err := wire.ReadHeader(st)
	switch {
	case err != nil:
		return g.replyError(err)
	case h.Status != wire.StatusOK:
		return g.replyError(wire.ReadRefusal(st, h))
	case h.Length != uint64(length):
		return &ProtocolError{Err: fmt.Errorf("%d bytes where %d were asked for", h.Length, length)}
	}
	for c := f.First; ; c++ {
		switch {
		case c == f.First+f.Count:
			return atEnd(st)
		case c >= int(f.end.Load()):
			return nil
		}
		if err := g.fetchChunk(ctx, f, st, c); err != nil {
			return err
		}
	}
}

// atEnd checks that nothing follows the bytes that were asked for.
func atEnd(st *transport.Stream) error {
	var b [1]byte
	st.SetReadDeadline(time.Now().Add(askTime))
	if n, _ := st.Read(b[:]); n > 0 {
		return &ProtocolError{Err: errors.New("more bytes than were asked for")}
	}
	return nil
}

// beginChunk returns where to go on with a chunk: from what there is of it, or
// from its start. Where another fetch is at it, what is returned has no claim:
// it is a second copy, to be held in memory.
func (g *getting) beginChunk(ctx context.Context, f *fetch, chunk int) (*partial, error) {
	if f.resume != nil && f.resume.chunk == chunk {
		f.resumed = true
		f.resume.from = f.resume.at
		return f.resume, nil
	}
	if f.hasher == nil {
		f.hasher = new(manifest.Hasher)
	}
	f.hasher.Reset(g.layout.Size, chunk)
	c := &partial{chunk: chunk, hasher: f.hasher, peer: f.peer}
	if claim, ok := g.store.Claim(chunk); ok {
		c.claim = claim
		return c, nil
	}
	if g.store.Marked(chunk) {
		return nil, partfile.ErrNotOwner
	}
	length := f.hasher.Remaining()
	f.waiting.Store(false) // for the server: there is no room for what it sends
	if err := g.seconds.Acquire(ctx, min(length, secondsTotal)); err != nil {
		return nil, err
	}
	c.copy = make([]byte, 0, length)
	return c, nil
}

// drop ends the use of a chunk that was not finished.
func (g *getting) drop(c *partial) {
	if c.claim != nil {
		c.claim.Release()
	}
	g.freeCopy(c)
}

// freeCopy gives back the memory of a second copy.
func (g *getting) freeCopy(c *partial) {
	if c.copy != nil {
		g.seconds.Release(min(int64(cap(c.copy)), secondsTotal))
		c.copy = nil
	}
}

// fetchChunk reads one chunk: into its place as it comes, or, when it is a second
// copy, into memory of its own; and marks it once its value matches.
func (g *getting) fetchChunk(ctx context.Context, f *fetch, st *transport.Stream, chunk int) error {
	c, err := g.beginChunk(ctx, f, chunk)
	if err != nil {
		return err
	}
	for c.hasher.Remaining() > 0 {
		if err := g.fetchPiece(ctx, f, st, c); err != nil {
			return g.interrupt(f, c, err)
		}
	}
	value, xxh := c.hasher.Sum()
	if value != g.manifest.Value(chunk) {
		g.drop(c)
		return &wrongChunkError{chunk}
	}
	if c.copy != nil {
		won, err := g.writeCopy(c)
		if err != nil || !won {
			return err
		}
	}
	if err := c.claim.Mark(xxh); err != nil {
		return err
	}
	_, length := manifest.Span(g.layout.Size, chunk)
	f.useful.Add(length - c.from)
	g.post(func() { g.gotChunk(f.peer, chunk, xxh) })
	return nil
}

// writeCopy writes a second copy whose value has matched, unless the first one
// was finished before.
func (g *getting) writeCopy(c *partial) (won bool, err error) {
	defer g.freeCopy(c)
	if c.claim, won = g.store.TakeOver(c.chunk); !won {
		return false, nil
	}
	return true, c.claim.WriteAt(c.copy, 0)
}

// interrupt keeps what has come of a chunk when its stream ends early, for the
// same server to go on with.
func (g *getting) interrupt(f *fetch, c *partial, err error) error {
	var disk *partfile.Error
	if c.copy != nil || c.at == 0 || c.hasher.Remaining() == 0 ||
		errors.As(err, &disk) || errors.Is(err, partfile.ErrNotOwner) || blame(err) != PeerLost {
		g.drop(c)
		return err
	}
	f.hasher = nil
	f.rest = c
	return err
}

// fetchPiece waits until the stream has bytes, and then until they may be taken,
// and only then holds a buffer.
func (g *getting) fetchPiece(ctx context.Context, f *fetch, st *transport.Stream, c *partial) error {
	f.waiting.Store(true)
	var one [1]byte
	if _, err := st.Peek(one[:]); err != nil {
		return g.replyError(err)
	}
	f.waiting.Store(false)
	f.heard.Store(int64(time.Since(g.begun)))
	paid := g.limit.Piece(int(min(pieceSize, c.hasher.Remaining())))
	if err := g.limit.Wait(ctx, paid); err != nil {
		return err
	}
	n := 0
	defer func() { g.limit.Refund(paid - n) }()
	buf, err := g.pieces.get(ctx)
	if err != nil {
		return err
	}
	defer g.pieces.put(buf)
	n, err = st.Read((*buf)[:paid])
	if n == 0 && err != nil {
		return g.replyError(err)
	}
	f.arrived.Add(int64(n))
	p := (*buf)[:n]
	if c.claim != nil {
		if err := c.claim.WriteAt(p, c.at); err != nil {
			return err
		}
	} else {
		c.copy = append(c.copy, p...)
	}
	if _, err := c.hasher.Write(p); err != nil {
		return err
	}
	c.at += int64(n)
	return nil
}

// isEnd reports whether a reply ended before it was whole.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isTimeout reports whether a deadline of ours passed.
func isTimeout(err error) bool {
	var local *transport.LocalError
	return errors.As(err, &local) && local.Kind == transport.LocalDeadline
}

// streamCode returns the code with which the peer reset a stream; 0 when err is
// something else.
func streamCode(err error) wire.StreamCode {
	var peer *transport.PeerError
	if errors.As(err, &peer) && peer.Kind == transport.PeerReset {
		return wire.StreamCode(peer.Code)
	}
	return 0
}
