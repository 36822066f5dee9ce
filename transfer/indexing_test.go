package transfer

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"

	"malcolm/transfer/localfile"
)

// A server that is still indexing is waited for, and its progress is told.
func TestIndexingServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		src := newSource(data)
		src.indexing = slowly(time.Second)
		s := w.serve(src, 0, 1, serve.Config{})
		stop := s.watch(500 * time.Millisecond)
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		if o.Elapsed < 15*time.Second {
			t.Fatalf("took %v, so there was no indexing", o.Elapsed)
		}
		seen, last := 0, 0.0
		for _, p := range events[progress](o) {
			r := p.Servers[0]
			if r.State != fetch.StateIndexing {
				continue
			}
			if p.Phase != fetch.PhaseAsking || r.Indexing < last || r.Indexing > 1 {
				t.Fatalf("progress = %+v after %v, want that it rises", p, last)
			}
			if r.Indexing > last {
				seen++
			}
			last = r.Indexing
		}
		if seen < 10 {
			t.Errorf("saw %d steps of indexing, want at least 10", seen)
		}
		var states []serve.State
		for _, st := range stop() {
			if n := len(states); n == 0 || states[n-1] != st.Servers[0].State {
				states = append(states, st.Servers[0].State)
			}
			if st.Indexed == (st.Servers[0].State == serve.StateIndexing) {
				t.Errorf("status = %+v, want indexed or indexing", st)
			}
		}
		if len(states) == 0 || states[0] != serve.StateIndexing {
			t.Errorf("states = %v, want indexing first", states)
		}
	})
}

// A server that is indexing is waited for until patience ends.
func TestIndexingUsesUpPatience(t *testing.T) {
	for _, patience := range []time.Duration{2 * time.Second, 20 * time.Second} {
		bubble(t, func(t *testing.T, w *world) {
			src := newSource(file(chunk, 1))
			src.indexing = func() error { src.block(); return nil }
			s := w.serve(src, 0, 1, serve.Config{})
			o := w.get(getConfig{Targets: s.targets, Patience: patience})
			err := fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
			if r := err.Servers[0]; !isLate(r.Err, source.Indexing, patience) {
				t.Errorf("report = %+v, want that it is still indexing in %v", r, patience)
			}
			if o.Elapsed < patience || o.Elapsed > patience+time.Second {
				t.Errorf("gave up after %v, want %v", o.Elapsed, patience)
			}
		})
	}
}

// A server that falls silent while it is indexing is not waited for until
// patience ends.
func TestSilentWhileIndexing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		src := newSource(file(chunk, 1))
		src.indexing = func() error { src.block(); return nil }
		s := w.serve(src, 0, 1, serve.Config{})
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
			if p, ok := e.(progress); ok && p.Servers[0].State == fetch.StateIndexing {
				s.links[0].set(func(l *link) { l.hole = true })
			}
		}})
		err := fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
		if r := err.Servers[0]; !isLate(r.Err, source.SlowAnswer, malcolm.DefaultConnectTimeout) {
			t.Errorf("report = %+v, want no answer", r)
		}
		if _, eaten := s.links[0].dropped(); eaten == 0 || o.Elapsed > 7*time.Second {
			t.Errorf("%d packets were swallowed, gave up after %v", eaten, o.Elapsed)
		}
	})
}

// A server can be stopped while it hashes its file.
func TestStopWhileIndexing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		src := newSource(file(chunk, 1))
		src.indexing = func() error { src.block(); return nil }
		s := w.serve(src, 0, 1, serve.Config{})
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
			if p, ok := e.(progress); ok && p.Servers[0].State == fetch.StateIndexing {
				s.cancel()
			}
		}})
		fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
		if o.Elapsed > malcolm.DefaultConnectTimeout+time.Second { // it is tried once more, and nobody is there
			t.Errorf("gave up after %v, want behind a second try", o.Elapsed)
		}
		src.release()
		<-s.done
		if s.err != nil {
			t.Errorf("serve returned %v, want nil", s.err)
		}
	})
}

// A server whose file cannot be read ends with the error of the file.
func TestSourceThatCannotBeRead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		src := newSource(file(chunk, 1))
		src.indexing = func() error { return &fs.PathError{Op: "read", Path: "x", Err: errors.New("input/output error")} }
		s := w.serve(src, 0, 2, serve.Config{})
		<-s.done
		var file *localfile.Error
		if !errors.As(s.err, &file) || fetch.KindOf(s.err) != fetch.KindLocal {
			t.Errorf("serve returned %v, want a file error", s.err)
		}
		if len(serveEvents[serve.Stopped](s)) != 1 {
			t.Error("the end was not told")
		}
	})
}

// A file that is written while it is hashed is not offered.
func TestSourceThatIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 2)
		src := newSource(file(4*chunk, 1))
		var reads atomic.Int64
		src.indexing = func() error {
			if reads.Add(1) == 3 {
				src.replace(data)
			}
			return nil
		}
		s := w.serve(src, 0, 1, serve.Config{})
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		if len(serveEvents[serve.Unsteady](s)) == 0 {
			t.Error("nobody was told that the file changed")
		}
		if got := serveEvents[serve.Ready](s); len(got) != 1 || got[0].Checksum != checksum(data) {
			t.Errorf("ready = %+v, want once, for what the file is now", got)
		}
	})
}

// A file that changes while it is served ends the run of its only server. The
// next run gets the new file.
func TestChangedSource(t *testing.T) {
	t.Parallel()
	for _, size := range []int{8 * chunk, 5 * chunk} {
		bubble(t, func(t *testing.T, w *world) {
			s := w.holders(file(8*chunk, 1))[0]
			slow(200<<10, s)
			next := file(size, 2)
			o := w.get(getConfig{Targets: s.targets, Events: at(0.2, func() { s.src.replace(next) })})
			err := fails[*fetch.NoServerLeftError](o, fetch.KindChanged)
			if o.Fetched == 0 || err.Missing != 8*chunk-o.Fetched {
				t.Errorf("fetched %d, missing %d, want a part of the old file", o.Fetched, err.Missing)
			}
			lost, _ := only[fetch.Lost](o)
			if lost.State != fetch.StateChanged || lost.Left != 0 || o.report(s.targets[0]).State != fetch.StateChanged {
				t.Errorf("lost = %+v, want changed", lost)
			}
			o.lists("data.bin.part", "data.bin.part.journal")
			none[fetch.ChunkRefused](o)
			// The server offers what it has now.
			o = w.get(getConfig{Targets: s.targets})
			o.has("data.bin", next)
			if got := len(serveEvents[serve.Ready](s)); got != 2 {
				t.Errorf("ready was told %d times, want 2", got)
			}
		})
	}
}

// Bytes that were read after the file had changed are not sent.
func TestChangedWhileItIsRead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.holders(file(3*chunk, 1))[0]
		next := file(3*chunk, 2)
		var changed atomic.Bool
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Started); ok {
				s.src.onRange(func(p []byte, off int64) error {
					s.src.replace(next)
					copy(p, next[off:])
					changed.Store(true)
					return nil
				})
			}
		}})
		if !changed.Load() {
			t.Fatal("the file did not change")
		}
		fails[*fetch.NoServerLeftError](o, fetch.KindChanged)
		none[fetch.ChunkRefused](o)
		if o.Fetched != 0 {
			t.Errorf("fetched %d bytes, want none", o.Fetched)
		}
	})
}

// When the file of one server changes, the others deliver the file that was
// agreed on.
func TestChangedSourceOfOne(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(12*chunk, 1)
		servers := w.holders(data, data)
		slow(200<<10, servers...)
		changed := servers[0]
		var when time.Time
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: at(0.2, func() {
			when = time.Now()
			changed.src.replace(file(12*chunk, 2))
		})})
		o.has("data.bin", data)
		lost, told := only[fetch.Lost](o)
		if when.IsZero() || lost.Target != changed.targets[0] || lost.State != fetch.StateChanged || lost.Left != 1 {
			t.Errorf("lost = %+v, want the changed one", lost)
		}
		if told.Before(when) {
			t.Errorf("told at %v, before it changed", told)
		}
		none[fetch.ChunkRefused](o)
	})
}
