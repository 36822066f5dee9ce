package spool

import (
	"io"
	"sync"
	"time"
)

const (
	// mostWait bounds the waits of Put. It waits so that a quick reader
	// sees several outputs in order.
	mostWait = 100 * time.Millisecond
	// Put may spend 1/waitShare of the time waiting.
	waitShare = 10
)

// A Writer passes what is put into it on to an io.Writer, in order. Its methods
// do not wait for that. Only Put waits a little, and the methods that say so.
// Any goroutine may call them.
type Writer struct {
	out     io.Writer
	options Options

	mu      sync.Mutex
	queue   Queue
	writing bool          // a goroutine does
	written chan struct{} // closed when a piece was written
	broken  bool          // nothing is written any more
	torn    bool          // the last line has no end yet
	patient time.Duration // how long Put may wait
	since   time.Time     // when that was last counted
}

// Options are the settings of a Writer. The zero value is usable.
type Options struct {
	// Notice returns what to write in place of left-out pieces. Nil:
	// nothing.
	Notice func(Gap) []byte
	// Failed is called if something cannot be written, which is lost, and
	// returns whether to go on with the rest. Nil: never.
	Failed func(error) (goOn bool)
	// Wait bounds the waits of Put. Zero: 100 ms, and a tenth of the time.
	Wait time.Duration
}

// NewWriter returns a Writer to out.
func NewWriter(out io.Writer, options Options) *Writer {
	return &Writer{out: out, options: options, written: make(chan struct{}), patient: mostWait, since: time.Now()}
}

// Put writes a piece. If the reader is slow it is kept, or left out.
func (w *Writer) Put(class Class, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return
	}
	w.queue.Put(class, text)
	w.start()
	begun := time.Now()
	wait := w.credit(begun)
	w.await(time.After(wait), nil)
	w.patient = max(wait-time.Since(begun), 0)
	w.since = time.Now()
}

// credit returns how long Put may wait now.
func (w *Writer) credit(now time.Time) time.Duration {
	if w.options.Wait > 0 {
		return w.options.Wait
	}
	return min(w.patient+now.Sub(w.since)/waitShare, mostWait)
}

// Write is Put for a [Result].
func (w *Writer) Write(text []byte) (int, error) {
	w.Put(Result, append([]byte(nil), text...))
	return len(text), nil
}

// PutWait writes a [Result] once the reader is at most 1 MiB behind. If quit is
// closed first, the piece is left out.
func (w *Writer) PutWait(text []byte, quit <-chan struct{}) {
	w.mu.Lock()
	for !w.broken && w.queue.Bytes() > room[Event] {
		if !w.step(nil, quit) {
			w.queue.leaveOut(Event)
			w.mu.Unlock()
			return
		}
	}
	w.mu.Unlock()
	w.Put(Result, text)
}

// Flush waits until everything is written, and returns whether it is. It gives
// up if writing fails for good, or when quit has been closed for the time
// while.
func (w *Writer) Flush(quit <-chan struct{}, while time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.await(nil, quit) && !w.broken {
		w.await(time.After(while), nil)
	}
	return !w.writing && !w.broken
}

// Busy reports whether something waits to be written.
func (w *Writer) Busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writing
}

// await waits until everything is written, or one of the channels says to stop,
// and returns whether everything is written. It holds the lock when it returns.
func (w *Writer) await(late <-chan time.Time, quit <-chan struct{}) bool {
	for w.writing && !w.broken {
		if !w.step(late, quit) {
			return false
		}
	}
	return !w.writing
}

// step waits, without the lock, until a piece is written.
func (w *Writer) step(late <-chan time.Time, quit <-chan struct{}) bool {
	written := w.written
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-written:
		return true
	case <-late:
	case <-quit:
	}
	return false
}

// start lets a goroutine write what waits. It ends when nothing does. If the
// reader never reads again it stays: nobody can end a write.
func (w *Writer) start() {
	if w.writing {
		return
	}
	w.writing = true
	go func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for w.next() {
			close(w.written)
			w.written = make(chan struct{})
		}
		w.writing = false
		close(w.written)
		w.written = make(chan struct{})
	}()
}

// next writes one piece and returns whether there may be another. It holds the
// lock except while it writes.
func (w *Writer) next() bool {
	class, text, gap, ok := w.queue.Take()
	if !ok {
		return false
	}
	if gap != (Gap{}) && w.options.Notice != nil {
		text = append(w.options.Notice(gap), text...)
	}
	if w.torn {
		text = append([]byte{'\n'}, text...)
	}
	w.mu.Unlock()
	n, err := w.out.Write(text)
	w.mu.Lock()
	if n > 0 {
		w.torn = err != nil && text[n-1] != '\n'
	}
	if err == nil {
		return true
	}
	w.queue.Restore(gap)
	w.queue.leaveOut(class)
	w.mu.Unlock()
	goOn := w.options.Failed != nil && w.options.Failed(err)
	w.mu.Lock()
	w.broken = w.broken || !goOn
	return goOn
}
