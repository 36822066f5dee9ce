package transfer

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"sync/atomic"
	"time"
)

const (
	// DefaultWindow is how many bytes of a stream wait in memory at most, unless
	// the caller says otherwise.
	DefaultWindow = 64 << 20
	// leastSlots is how many chunks wait at least: one is written while the next
	// one comes.
	leastSlots = 2
	// lastWrite is how long the end of a run waits for a write that is under way.
	lastWrite = time.Second
)

// Stream copies one file to out, in order, as [Get] does into a directory. No
// byte is written before its whole chunk was found right. Of the chunks behind
// the one that is written next, no more are asked for than fit into a window of so
// many bytes, or two chunks if that is more; 0 means [DefaultWindow]. So out may
// be as slow as it likes. cfg's fields that are about files mean nothing here, but
// for SHA256, which is compared at the end, when everything has been written.
//
// When ctx ends, Stream returns, within two seconds, also if a Write does not:
// that goroutine is left behind, and out must not be used any more.
func Stream(ctx context.Context, cfg GetConfig, out io.Writer, window int64) (*Result, error) {
	o := &onward{out: out}
	return overSizes(ctx, cfg, func(g *getting) error {
		if !o.rewind() {
			return errOutHangs
		}
		return g.stream(ctx, o, window)
	})
}

func (g *getting) stream(ctx context.Context, out io.Writer, window int64) error {
	ctx, t := g.begin(ctx)
	defer g.end(t)
	if err := g.vote(ctx, t); err != nil {
		return err
	}
	if err := g.obtainManifest(ctx, t); err != nil {
		return err
	}
	s := newStreaming(g, out, window)
	s.start(ctx)
	err := s.fetch(ctx, t)
	if err != nil {
		g.halt()
		s.leave()
		return err
	}
	// All is written. What is still to be said of a server with a wrong chunk is
	// said, and changes nothing.
	_ = g.loop(ctx, t, func() bool { return !g.judging() })
	return s.compare()
}

// A streaming is the writing of a stream. Its goroutine, write, is not among
// those that halt joins: who reads what it writes may never do so again.
type streaming struct {
	g      *getting
	out    io.Writer
	window *streamWindow
	sum    hash.Hash     // SHA-256; nil: nobody asks
	ended  chan struct{} // closed when write has returned

	written atomic.Int64 // chunks
	telling atomic.Bool  // the loop is told of it
	done    bool         // everything is written; the loop's
}

func newStreaming(g *getting, out io.Writer, window int64) *streaming {
	if window <= 0 {
		window = DefaultWindow
	}
	slots := min(max(window/g.layout.ChunkSize, leastSlots), int64(g.layout.Chunks))
	s := &streaming{g: g, out: out, window: newStreamWindow(g.layout.Size, int(slots)), ended: make(chan struct{})}
	if g.cfg.SHA256 != nil {
		s.sum = sha256.New()
	}
	g.store = s.window
	return s
}

// start begins to write what will have come.
func (s *streaming) start(ctx context.Context) {
	go func() {
		defer close(s.ended)
		err := s.write(ctx)
		s.g.post(func() {
			if s.done = err == nil; !s.done {
				s.g.fail(err)
			}
		})
	}()
}

// fetch fetches every chunk, and returns when all are written.
func (s *streaming) fetch(ctx context.Context, t *clocks) error {
	g := s.g
	g.beginSchedule()
	g.streams = true
	g.emit(Started{Name: g.result.Name, Size: g.layout.Size, Chunks: g.layout.Chunks})
	g.schedule.Window(0, len(s.window.slots))
	return g.fetchQueued(ctx, t, func() bool { return g.complete() && s.done })
}

// write writes the chunks, each when it is there.
func (s *streaming) write(ctx context.Context) error {
	for c := range s.g.layout.Chunks {
		b, err := s.window.wait(ctx, c)
		if err != nil {
			return err
		}
		if _, err := s.out.Write(b); err != nil {
			return err
		}
		if s.sum != nil {
			s.sum.Write(b)
		}
		s.window.release(c)
		s.written.Store(int64(c + 1))
		if s.telling.CompareAndSwap(false, true) {
			s.g.post(s.slide)
		}
	}
	return nil
}

// slide runs in the loop: it lets the chunks be asked for that there is room for
// now.
func (s *streaming) slide() {
	s.telling.Store(false)
	front := int(s.written.Load())
	s.g.schedule.Window(front, front+len(s.window.slots))
	s.g.dispatch(time.Now())
}

// leave waits for write, but not for a reader that does not read.
func (s *streaming) leave() {
	t := time.NewTimer(lastWrite)
	defer t.Stop()
	select {
	case <-s.ended:
	case <-t.C:
	}
}

// compare says whether what was written has the SHA-256 that was asked for.
func (s *streaming) compare() error {
	if s.sum == nil {
		return nil
	}
	if sum := [32]byte(s.sum.Sum(nil)); sum != *s.g.cfg.SHA256 {
		return &FinishedError{SHA256: &sum, Streamed: true}
	}
	return nil
}
