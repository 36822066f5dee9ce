package fetch

import (
	"context"
	"errors"
	"sync"

	"malcolm/transfer/content"
	"malcolm/transfer/partfile"
)

// A streamWindow is the chunkStore of a stream: the chunks from the next one to
// be written on, in memory. Chunk c is in slot c % len(slots). A slot holds at
// most one chunk's length.
type streamWindow struct {
	content *content.Content
	slots   []slot
	more    chan struct{} // receives when a chunk was marked
}

type slot struct {
	mu    sync.Mutex
	chunk int    // the chunk that has the slot now
	state uint64 // slotFree, slotMarked, or the number of the claim that owns it
	last  uint64 // the last claim's number
	next  int64  // bytes that the owner has written, from the chunk's start
	buf   []byte // empty until the first claim; read without mu while it is marked
}

const (
	slotFree   = 0
	slotMarked = 1
)

// newStreamWindow returns an empty window of slots for chunks chunks.
func newStreamWindow(c *content.Content, chunks int) *streamWindow {
	w := &streamWindow{content: c, slots: make([]slot, chunks), more: make(chan struct{}, 1)}
	for i := range w.slots {
		w.slots[i].chunk, w.slots[i].last = i, slotMarked
	}
	return w
}

// length returns a chunk's length in bytes.
func (w *streamWindow) length(chunk int) int64 { return w.content.Length(chunk, 1) }

// slot returns a chunk's slot, locked.
func (w *streamWindow) slot(chunk int) *slot {
	s := &w.slots[chunk%len(w.slots)]
	s.mu.Lock()
	return s
}

func (w *streamWindow) Claim(chunk int) (chunkClaim, bool) {
	return w.claim(chunk, func(state uint64) bool { return state == slotFree })
}

func (w *streamWindow) TakeOver(chunk int) (chunkClaim, bool) {
	return w.claim(chunk, func(state uint64) bool { return state != slotMarked })
}

func (w *streamWindow) claim(chunk int, allowed func(state uint64) bool) (chunkClaim, bool) {
	s := w.slot(chunk)
	defer s.mu.Unlock()
	if s.chunk != chunk || !allowed(s.state) {
		return nil, false
	}
	if s.buf == nil {
		s.buf = make([]byte, w.length(chunk))
	}
	s.last++
	s.state, s.next = s.last, 0
	return &slotClaim{w: w, chunk: chunk, id: s.last}, true
}

// Marked is also true of chunks that have left the window.
func (w *streamWindow) Marked(chunk int) bool {
	s := w.slot(chunk)
	defer s.mu.Unlock()
	return s.chunk > chunk || s.chunk == chunk && s.state == slotMarked
}

// Records is false: a stream cannot be resumed.
func (w *streamWindow) Records() bool { return false }

// wait returns a chunk's bytes once it is marked. They are the caller's until
// release. The error is ctx's cause.
func (w *streamWindow) wait(ctx context.Context, chunk int) ([]byte, error) {
	for {
		s := w.slot(chunk)
		marked := s.state == slotMarked
		s.mu.Unlock()
		if marked {
			return s.buf[:w.length(chunk)], nil
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// release gives the slot of a marked chunk to the next chunk.
func (w *streamWindow) release(chunk int) {
	s := w.slot(chunk)
	defer s.mu.Unlock()
	s.chunk += len(w.slots)
	s.state = slotFree
	if w.content.Files() > 1 { // the next chunk may be small
		s.buf = nil
	}
}

// A slotClaim is the ownership of a chunk in a window.
type slotClaim struct {
	w     *streamWindow
	chunk int
	id    uint64
}

// errIncomplete is a bug of ours.
var errIncomplete = &partfile.Error{
	Op: "mark", Name: "the window of the stream", Reason: partfile.Internal, Err: errors.New("leaves a gap in the chunk"),
}

// own returns the claim's slot, locked; false: it is no longer the claim's.
func (c *slotClaim) own() (*slot, bool) {
	s := c.w.slot(c.chunk)
	if s.chunk != c.chunk || s.state != c.id {
		s.mu.Unlock()
		return nil, false
	}
	return s, true
}

func (c *slotClaim) WriteAt(p []byte, off int64) error {
	s, ok := c.own()
	if !ok {
		return partfile.ErrNotOwner
	}
	defer s.mu.Unlock()
	if off > s.next {
		return errIncomplete
	}
	copy(s.buf[off:], p)
	s.next = max(s.next, off+int64(len(p)))
	return nil
}

func (c *slotClaim) Mark([16]byte) error {
	s, ok := c.own()
	if !ok {
		return partfile.ErrNotOwner
	}
	defer s.mu.Unlock()
	if s.next != c.w.length(c.chunk) {
		return errIncomplete
	}
	s.state = slotMarked
	select {
	case c.w.more <- struct{}{}:
	default:
	}
	return nil
}

func (c *slotClaim) Release() {
	if s, ok := c.own(); ok {
		s.state = slotFree
		s.mu.Unlock()
	}
}
