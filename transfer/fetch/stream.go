package fetch

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"sync/atomic"
	"time"

	"malcolm/transfer/content"
)

const (
	// DefaultWindow is [Stream].Window, in bytes, when that is not given.
	DefaultWindow = 64 << 20
	// leastSlots is the least number of chunks in the window: one is
	// written while the next one comes.
	leastSlots = 2
	// lastWrite bounds the wait for a write under way when the run ends.
	lastWrite = time.Second
	// mostSlots is the most chunks in the window of a tree.
	mostSlots = 16 << 10
)

// A Stream says where [Session.Stream] writes.
type Stream struct {
	// Out may be slow: then the window holds the transfer back.
	Out io.Writer
	// Window bounds the bytes fetched ahead of Out, which wait in memory;
	// at least two chunks. 0 or less: [DefaultWindow].
	Window int64
	// SHA256 must match the whole; it is compared after the last write.
	// Nil: not checked.
	SHA256 *[32]byte
}

func (o Stream) window() int64 {
	if o.Window <= 0 {
		return DefaultWindow
	}
	return o.Window
}

// Stream copies the file that most sources hold to a stream, in order, as
// [Session.Get] does into a directory. It writes a chunk only when all of it
// was found right. A directory becomes a tar archive.
//
// When the session's context ends, Stream returns within two seconds, even if a
// Write does not. Then that goroutine is left behind, and Out must not be used
// any more.
func (s *Session) Stream(b Ballot, out Stream) (*Result, error) {
	o := &onward{out: out.Out}
	out.Out = o
	return s.overSizes(b, func() error {
		if !o.rewind() {
			return errOutHangs
		}
		return s.stream(b, out)
	})
}

func (s *Session) stream(b Ballot, out Stream) error {
	if err := s.agreeEarly(b, &early{room: out.window(), trees: true}); err != nil {
		return err
	}
	tar, err := s.prepareStream(b, out)
	if err != nil {
		return err
	}
	d := s.download
	d.tally.streams = true
	w := newStreaming(out, d.content)
	w.tree = tar
	if err := s.place(w.window, true); err != nil {
		return err
	}
	s.begin(w.window)
	written, post, ctx := false, d.post, d.ctx
	w.wrote = func() { post(func() { s.slide(w) }) }
	ended := func(err error) {
		post(func() {
			if written = err == nil; !written {
				s.loop.fail(err)
			}
		})
	}
	go func() {
		defer close(w.ended)
		ended(w.write(ctx))
	}()
	s.emit(Started{Name: d.result.Name, Size: d.content.Size(), Chunks: d.content.Chunks()})
	s.publish()
	s.invite()
	d.schedule.Window(0, w.end(0))
	err = s.fetchQueued(func() bool { return d.complete() && written })
	if err == nil {
		// All is written. Only the verdict on a server with a wrong
		// chunk is awaited and told; it changes nothing.
		_ = s.loop.until(func() bool { return !s.judging() })
	}
	d.halt()
	if err != nil {
		w.leave()
		return err
	}
	if d.whole != nil {
		if err := s.proveTaken(true); err != nil {
			return err
		}
	}
	return w.compare()
}

// slide lets the schedule ask for the chunks that have room in the window.
func (s *Session) slide(w *streaming) {
	w.told.Store(false)
	front := int(w.written.Load())
	s.download.schedule.Window(front, w.end(front))
	s.dispatch(time.Now())
}

// A streaming is the writing of a stream. A download does not join its
// goroutine, write: the stream's reader may never read again.
type streaming struct {
	Stream
	chunks int
	window *streamWindow
	tree   *tarTree      // nil: it is a file
	sum    hash.Hash     // SHA-256; nil: not checked
	wrote  func()        // tells the loop that there may be room
	ended  chan struct{} // closed when write has returned

	written atomic.Int64 // chunks
	told    atomic.Bool  // the loop has been told of written
}

func newStreaming(out Stream, c *content.Content) *streaming {
	slots := max(out.window()/max(1, c.LongestChunk()), leastSlots)
	if c.Files() > 1 {
		slots = mostSlots
	}
	slots = min(slots, int64(c.Chunks()))
	w := &streaming{Stream: out, chunks: c.Chunks(), window: newStreamWindow(c, int(slots)), ended: make(chan struct{})}
	if out.SHA256 != nil {
		w.sum = sha256.New()
	}
	return w
}

// end returns the chunk behind those that may be fetched while front is the
// first that was not written.
func (w *streaming) end(front int) int {
	end := front + len(w.window.slots)
	if all := w.window.content; all.Files() > 1 {
		end = min(end, front+max(leastSlots, all.Whole(front, w.Stream.window(), all.Files())))
	}
	return end
}

// write writes the chunks, each when it is there.
func (w *streaming) write(ctx context.Context) error {
	if w.tree != nil {
		return w.writeTar(ctx)
	}
	return w.writeChunks(ctx, w.Out, 0, w.chunks)
}

// writeChunks writes count chunks, from first on.
func (w *streaming) writeChunks(ctx context.Context, to io.Writer, first, count int) error {
	for c := first; c < first+count; c++ {
		b, err := w.window.wait(ctx, c)
		if err != nil {
			return err
		}
		if _, err := to.Write(b); err != nil {
			return err
		}
		if w.sum != nil {
			w.sum.Write(b)
		}
		w.window.release(c)
		w.written.Store(int64(c + 1))
		if w.told.CompareAndSwap(false, true) {
			w.wrote()
		}
	}
	return nil
}

// leave waits for write, but at most lastWrite: the reader may not read.
func (w *streaming) leave() {
	t := time.NewTimer(lastWrite)
	defer t.Stop()
	select {
	case <-w.ended:
	case <-t.C:
	}
}

// compare checks the SHA-256 of what was written, if one was given.
func (w *streaming) compare() error {
	if w.sum == nil {
		return nil
	}
	if sum := [32]byte(w.sum.Sum(nil)); sum != *w.SHA256 {
		return &FinishedError{SHA256: &sum, Streamed: true}
	}
	return nil
}
