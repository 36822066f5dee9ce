package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A reader takes what is written to it when the test lets it.
type reader struct {
	let chan struct{} // closed: it takes everything

	mu   sync.Mutex
	text bytes.Buffer
	fail error // returned instead
	some int   // bytes taken before that
}

func newReader() *reader { return &reader{let: make(chan struct{})} }

func (r *reader) Write(p []byte) (int, error) {
	<-r.let
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		r.text.Write(p[:r.some])
		return r.some, r.fail
	}
	return r.text.Write(p)
}

func (r *reader) fails(err error, some int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail, r.some = err, some
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func notice(g Gap) []byte { return fmt.Appendf(nil, "gap %d %d\n", g.Events, g.Reports) }

// TestPutDoesNotWait: Put takes at most a tenth of the time while nobody reads.
func TestPutDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		w := NewWriter(r, Options{})
		begun := time.Now()
		var waited time.Duration
		for range 1000 {
			before := time.Now()
			w.Put(Report, []byte("line\n"))
			waited += time.Since(before)
			time.Sleep(10 * time.Millisecond)
		}
		if lasted := time.Since(begun); waited > mostWait+lasted/waitShare {
			t.Errorf("waited %v of %v", waited, lasted)
		}
		if !w.Busy() {
			t.Error("is not busy although nobody reads")
		}
		close(r.let)
		if !w.Flush(nil, 0) {
			t.Error("is not flushed although somebody reads")
		}
		if got, want := r.String(), strings.Repeat("line\n", 1000); got != want {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
	})
}

// TestSlowReaderIsToldWhatIsLeftOut: the results and the newest reports arrive,
// and before them the number of those left out.
func TestSlowReaderIsToldWhatIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		w := NewWriter(r, Options{Notice: notice})
		report := append(bytes.Repeat([]byte{'r'}, 1023), '\n')
		w.Put(Result, []byte("first\n"))
		for range 100 {
			w.Put(Report, report)
		}
		w.Put(Result, []byte("last\n"))
		synctest.Wait()
		close(r.let)
		w.Flush(nil, 0)
		if got, want := r.String(), "first\ngap 0 36\n"+strings.Repeat(string(report), 64)+"last\n"; got != want {
			t.Errorf("got %d bytes, %.40q, want %d", len(got), got, len(want))
		}
	})
}

// TestQuickReaderSeesOrder: what is put into two Writers is written in that
// order.
func TestQuickReaderSeesOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := newReader()
		close(both.let)
		a, b := NewWriter(both, Options{}), NewWriter(both, Options{})
		var want strings.Builder
		for i := range 200 {
			w := a
			if i%3 == 0 {
				w = b
			}
			fmt.Fprintln(w, i)
			fmt.Fprintln(&want, i)
		}
		if got := both.String(); got != want.String() {
			t.Errorf("got %.60q", got)
		}
	})
}

// TestFlushGivesUp: after quit, Flush waits for a reader only for the given
// time.
func TestFlushGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWriter(stuckReader(t), Options{})
		w.Put(Result, []byte("end\n"))
		quit := make(chan struct{})
		time.AfterFunc(time.Hour, func() { close(quit) })
		begun := time.Now()
		if w.Flush(quit, time.Second) {
			t.Error("says that everything is written")
		}
		if got := time.Since(begun); got != time.Hour+time.Second {
			t.Errorf("returns after %v", got)
		}
	})
}

// stuckReader is one that reads nothing before the test is over.
func stuckReader(t *testing.T) *reader {
	r := newReader()
	t.Cleanup(func() { close(r.let) })
	return r
}

// TestPutWait: results without a bound wait for their reader, but not for ever.
func TestPutWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		w := NewWriter(r, Options{Notice: notice})
		quit := make(chan struct{})
		line := append(bytes.Repeat([]byte{'x'}, 1<<10-1), '\n')
		put := 0
		var done sync.WaitGroup
		done.Go(func() {
			for range 2000 {
				w.PutWait(line, quit)
				put++
			}
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if put > 1<<10+2 {
			t.Errorf("%d pieces wait, over 1 MiB", put)
		}
		close(quit)
		done.Wait()
		close(r.let)
		w.Put(Result, []byte("end\n"))
		if !w.Flush(nil, 0) || !strings.Contains(r.String(), "gap 9") || !strings.HasSuffix(r.String(), "end\n") {
			t.Errorf("ends in %.20q", r.String()[max(r.text.Len()-20, 0):])
		}
	})
}

// TestBrokenReader: the first failure is reported once and ends everything.
func TestBrokenReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		r.fails(errors.New("broken pipe"), 0)
		told := 0
		w := NewWriter(r, Options{Failed: func(error) bool { told++; return false }})
		for range 5 {
			w.Put(Event, []byte("line\n"))
		}
		close(r.let)
		if w.Flush(nil, 0) {
			t.Error("says that everything is written")
		}
		w.PutWait([]byte("more\n"), nil)
		if told != 1 || r.String() != "" || w.Busy() {
			t.Errorf("told %d times, wrote %q, busy %t", told, r, w.Busy())
		}
	})
}

// TestFullDisk: what could not be written is lost and reported, a torn line is
// ended, and the rest is written when there is room again.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		close(r.let)
		w := NewWriter(r, Options{Notice: notice, Failed: func(error) bool { return true }})
		w.Put(Event, []byte("one\n"))
		r.fails(errors.New("no space left"), 2)
		w.Put(Event, []byte("two\n"))
		r.fails(errors.New("no space left"), 0)
		w.Put(Report, []byte("three\n"))
		r.fails(nil, 0)
		w.Put(Event, []byte("four\n"))
		w.Flush(nil, 0)
		if got, want := r.String(), "one\ntw\ngap 1 1\nfour\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestNonBlockingOutputLosesNothing: an output that another program has made
// non-blocking loses nothing.
func TestNonBlockingOutputLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		close(r.let)
		r.fails(&fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EAGAIN}, 2)
		time.AfterFunc(3*againTime/2, func() { r.fails(nil, 0) })
		n, err := Again(r).Write([]byte("abcdefgh"))
		if got := r.String(); n != 8 || err != nil || got != "abcdefgh" {
			t.Errorf("%d, %v, wrote %q", n, err, got)
		}
		r.fails(syscall.EPIPE, 1)
		if n, err := Again(r).Write([]byte("xyz")); n != 1 || err != syscall.EPIPE {
			t.Errorf("%d, %v, want the error", n, err)
		}
	})
}
