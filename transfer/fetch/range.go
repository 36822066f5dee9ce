package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transfer/schedule"
	"malcolm/transfer/source"
)

// This file runs beside the loop: it takes the chunks of one range.

// A wrongChunkError says that a chunk's value differs from the majority's.
type wrongChunkError struct{ chunk int }

func (e *wrongChunkError) Error() string { return fmt.Sprintf("chunk %d is wrong", e.chunk) }

// A partial is a chunk that was received in part when its range ended: the
// ownership of its place and the state of its hashing. Only the same server
// continues it, so that blame stays exact: servers that share an ID need not
// share a disk.
type partial struct {
	chunk  int
	at     int64      // bytes that are there
	from   int64      // of these, those there before the fetch that has it now
	claim  chunkClaim // nil: a second copy
	copy   []byte     // what there is of a second copy; nil: this is a first copy
	hasher *manifest.Hasher
	server int
}

// A rangeRun fetches one range. It belongs to its goroutine, except where a
// field names another owner.
type rangeRun struct {
	*job
	schedule.Range
	way    source.Conn
	ctx    context.Context // ends when the range is no longer wanted
	resume *partial        // what there is of the first chunk already; nil: nothing
	parted *partedBody     // the range is asked for in parts; nil: at once

	// Written here and read by the loop.
	arrived atomic.Int64 // bytes
	useful  atomic.Int64 // of these, in good chunks that were not there yet
	waiting atomic.Bool  // for the network, not for malcolm itself
	heard   atomic.Int64 // when bytes last came, in ns since the session began: the clock may be set
	// Written by the loop: the first chunk not to fetch, because the rest
	// was given to another server.
	end atomic.Int64

	rest    *partial // of a chunk that could not be finished; nil: none
	resumed bool     // resume was used
	hasher  *manifest.Hasher
}

// useless returns how many bytes an ended range received and wasted. The bytes
// of its rest are not wasted.
func (f *rangeRun) useless() int64 {
	n := f.arrived.Load() - f.useful.Load()
	if f.rest != nil {
		n -= f.rest.at - f.rest.from
	}
	return max(0, n)
}

// fetch asks for the range and takes its chunks one after the other.
func (f *rangeRun) fetch() error {
	err := f.fetchChunks()
	if f.resume != nil && !f.resumed {
		f.rest = f.resume
	}
	return err
}

func (f *rangeRun) fetchChunks() error {
	body, err := f.body()
	if err != nil {
		return err
	}
	defer body.Close()
	ahead := f.expectValues()
	defer ahead.end()
	var lack lacking
	for c := f.First; ; {
		switch {
		case c == f.First+f.Count:
			return lack.or(atEnd(body))
		case c >= int(f.end.Load()):
			return lack.or(nil)
		}
		ahead.at(c)
		err := f.fetchChunk(body, c)
		switch {
		case err == nil:
			c++
		case f.isLack(err):
			c = lack.add(f.content, f.Range, c, err)
		default:
			return err
		}
	}
}

// spans returns what of the range is not there yet, at least one span.
func (f *rangeRun) spans() []source.Span {
	lie := f.content.Spans(f.First, f.Count)
	spans := make([]source.Span, len(lie))
	for i, s := range lie {
		spans[i] = source.Span{Checksum: f.content.File(s.File).Checksum, Offset: s.Offset, Length: s.Length}
	}
	if f.resume != nil { // it lacks at least a byte
		spans[0].Offset += f.resume.at
		spans[0].Length -= f.resume.at
	}
	return spans
}

// body asks for the range.
func (f *rangeRun) body() (source.Body, error) {
	if f.parted != nil {
		return f.parted, nil
	}
	return f.way.Range(f.ctx, f.spans())
}

// atEnd checks that nothing follows the bytes that were asked for.
func atEnd(body source.Body) error {
	var b [1]byte
	if _, err := body.Read(b[:]); err != nil && err != io.EOF {
		return err
	}
	return nil
}

// beginChunk returns where to continue a chunk: from what there is of it, or
// from its start. If another fetch owns the chunk, the result has no claim: it
// is a second copy, to hold in memory.
func (f *rangeRun) beginChunk(chunk int) (*partial, error) {
	if f.resume != nil && f.resume.chunk == chunk {
		f.resumed = true
		f.resume.from = f.resume.at
		return f.resume, nil
	}
	if f.hasher == nil {
		f.hasher = &manifest.Hasher{XXH3: f.store.Records()}
	}
	p := f.content.Place(chunk)
	f.hasher.Reset(f.content.File(p.File).Size, p.Chunk)
	c := &partial{chunk: chunk, hasher: f.hasher, server: f.Server}
	if claim, ok := f.store.Claim(chunk); ok {
		c.claim = claim
		return c, nil
	}
	if f.store.Marked(chunk) {
		return nil, partfile.ErrNotOwner
	}
	length := f.hasher.Remaining()
	f.waiting.Store(false) // no longer for the network: there is no room for what comes
	if err := f.copies.Acquire(f.ctx, min(length, maxCopyBytes)); err != nil {
		return nil, err
	}
	c.copy = make([]byte, 0, length)
	return c, nil
}

// drop ends the use of a chunk that was not finished.
func (m *means) drop(c *partial) {
	if c.claim != nil {
		c.claim.Release()
	}
	m.freeCopy(c)
}

// freeCopy gives back the memory of a second copy.
func (m *means) freeCopy(c *partial) {
	if c.copy != nil {
		m.copies.Release(min(int64(cap(c.copy)), maxCopyBytes))
		c.copy = nil
	}
}

// fetchChunk reads one chunk and marks it once its value matches. A first copy
// goes straight to its place, a second copy into memory.
func (f *rangeRun) fetchChunk(body source.Body, chunk int) error {
	c, err := f.beginChunk(chunk)
	if err != nil {
		return err
	}
	for c.hasher.Remaining() > 0 {
		if err := f.fetchPiece(body, c); err != nil {
			return f.interrupt(c, err)
		}
	}
	value, xxh := c.hasher.Sum()
	switch right, err := f.values.check(f.ctx, f.way, chunk, value); {
	case err != nil:
		f.drop(c)
		return err
	case !right:
		f.drop(c)
		return &wrongChunkError{chunk}
	}
	if c.copy != nil {
		won, err := f.writeCopy(c)
		if err != nil || !won {
			return err
		}
	}
	if err := c.claim.Mark(xxh); err != nil {
		return err
	}
	f.values.took(chunk, value)
	f.useful.Add(f.content.Length(chunk, 1) - c.from)
	f.good(f.Server, chunk)
	return nil
}

// writeCopy writes a second copy whose value has matched, unless the first one
// finished before.
func (j *job) writeCopy(c *partial) (won bool, err error) {
	defer j.freeCopy(c)
	if c.claim, won = j.store.TakeOver(c.chunk); !won {
		return false, nil
	}
	return true, j.write(c.claim, c.copy, 0)
}

// write writes bytes of a claimed chunk, and counts the time.
func (m *means) write(claim chunkClaim, p []byte, off int64) error {
	began := time.Now()
	defer func() { m.writes.Took(time.Since(began)) }()
	return claim.WriteAt(p, off)
}

// interrupt keeps what has come of a chunk when its stream ends early, for the
// same server to continue.
func (f *rangeRun) interrupt(c *partial, err error) error {
	_, disk := errors.AsType[*partfile.Error](err)
	if c.copy != nil || c.at == 0 || c.hasher.Remaining() == 0 ||
		disk || errors.Is(err, partfile.ErrNotOwner) || blame(err) != StateLost {
		f.drop(c)
		return err
	}
	f.hasher = nil
	f.rest = c
	return err
}

// fetchPiece waits for bytes, then for the rate limit, and only then takes a
// buffer.
func (f *rangeRun) fetchPiece(body source.Body, c *partial) error {
	f.waiting.Store(true)
	if err := body.Wait(); err != nil {
		return err
	}
	f.waiting.Store(false)
	f.heard.Store(int64(time.Since(f.begun)))
	paid := f.limit.Piece(int(min(pieceSize, c.hasher.Remaining())))
	if err := f.limit.Wait(f.ctx, paid); err != nil {
		return err
	}
	n := 0
	defer func() { f.limit.Refund(paid - n) }()
	buf, err := f.pieces.get(f.ctx)
	if err != nil {
		return err
	}
	defer f.pieces.put(buf)
	n, err = body.Read((*buf)[:paid])
	if n == 0 && err != nil {
		return err
	}
	f.arrived.Add(int64(n))
	p := (*buf)[:n]
	if c.claim != nil {
		if err := f.write(c.claim, p, c.at); err != nil {
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
