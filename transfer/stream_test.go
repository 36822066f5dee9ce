package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
)

// A sink is what a stream is written to.
type sink struct {
	bytes.Buffer
	write func(p []byte) error // called first; nil: nothing stops it
	at    []time.Time          // when each call ended
}

func (s *sink) Write(p []byte) (int, error) {
	if s.write != nil {
		if err := s.write(p); err != nil {
			return 0, err
		}
	}
	s.at = append(s.at, time.Now())
	return s.Buffer.Write(p)
}

// stream runs [Stream] in a directory that stays empty.
func (w *world) stream(cfg getConfig, out io.Writer, window int64) *outcome {
	w.t.Helper()
	return w.streamUnder(context.Background(), cfg, out, window)
}

func (w *world) streamUnder(ctx context.Context, cfg getConfig, out io.Writer, window int64) *outcome {
	w.t.Helper()
	o := w.run(ctx, cfg, func(ctx context.Context, cfg getConfig) (*fetch.Result, error) { return Stream(ctx, cfg, out, window) })
	o.lists()
	if o.Path != "" || o.Part != "" {
		w.t.Errorf("path %q, part %q, want none", o.Path, o.Part)
	}
	return o
}

// streamed fails the test unless a run ended well and wrote data.
func streamed(t *testing.T, o *outcome, out *sink, data []byte) {
	t.Helper()
	if o.err != nil {
		t.Fatal(o.err)
	}
	if !bytes.Equal(out.Bytes(), data) {
		t.Errorf("%d bytes were written that are not the file's %d", out.Len(), len(data))
	}
	if o.Size != int64(len(data)) || o.Checksum != checksum(data) || o.Fetched != o.Size {
		t.Errorf("result = %+v, want that of the file", o.Result)
	}
}

// A stream brings the file, whatever its size and the window.
func TestStream(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 9*chunk + 5, 20 * chunk} {
		for _, window := range []int64{0, 1, 3 * chunk} {
			bubble(t, func(t *testing.T, w *world) {
				data := file(size, 1)
				sum := sha256.Sum256(data)
				out := &sink{}
				o := w.stream(getConfig{Targets: targetsOf(w.holders(data, data)...), SHA256: &sum}, out, window)
				streamed(t, o, out, data)
				if started, _ := only[fetch.Started](o); started.Size != int64(size) || started.Check != 0 || started.Sparse {
					t.Errorf("started = %+v", started)
				}
			})
		}
	}
}

// A stream ignores the servers' name, even one that no file may have.
func TestStreamOfAnyName(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, out := file(2*chunk, 1), &sink{}
		s := w.serve(newSource(data), 0, 1, serve.Config{Name: "../../x"})
		streamed(t, w.stream(getConfig{Targets: s.targets}, out, 0), out, data)
	})
}

// What does not fit into the window is not asked for, however slow the reader
// is. His slowness is no fault of the servers.
func TestStreamToASlowReader(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		const window = 4
		data := file(30*chunk, 1)
		servers := w.holders(data, data)
		reached := func() (most int64) {
			for _, s := range servers {
				for _, r := range s.src.log() {
					most = max(most, r.off+int64(r.n))
				}
			}
			return most
		}
		begun := time.Now()
		out := &sink{}
		out.write = func([]byte) error {
			time.Sleep(20 * time.Second)
			if got, most := reached(), int64(out.Len()+window*chunk); got > most {
				t.Errorf("with %d bytes written, %d were asked for, want at most %d", out.Len(), got, most)
			}
			return nil
		}
		o := w.stream(getConfig{Targets: targetsOf(servers...), Patience: time.Minute}, out, window*chunk)
		streamed(t, o, out, data)
		none[fetch.Lost](o)
		if o.Duplicate != 0 {
			t.Errorf("%d bytes were fetched twice for a reader who does not wait", o.Duplicate)
		}
		if took := time.Since(begun); took > 30*20*time.Second+5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A reader that does not read uses up no patience.
func TestPausedReaderUsesNoPatience(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(12*chunk, 1)
		s := w.holders(data)[0]
		out := &sink{}
		out.write = func([]byte) error {
			if out.Len() == 4*chunk {
				time.Sleep(5 * time.Minute)
				s.kill()
			}
			return nil
		}
		o := w.stream(getConfig{Targets: s.targets, Patience: time.Minute}, out, 2*chunk)
		streamed(t, o, out, data)
	})
}

// One slow server does not set the pace, whether it is slow from the start or
// falls back.
func TestStreamWithASlowServer(t *testing.T) {
	withoutRace(t)
	data := file(100*chunk, 1)
	alone := time.Duration(float64(len(data)) / (1 << 20) * float64(time.Second))
	for name, after := range map[string]float64{"from the start": 0, "later": 0.3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, w *world) {
				servers := w.holders(data, data)
				slow(1<<20, servers...)
				fall := func() { slow(20<<10, servers[1]) }
				if after == 0 {
					fall()
				}
				out := &sink{}
				o := w.stream(getConfig{Targets: targetsOf(servers...), Events: at(after, fall)}, out, 16*chunk)
				streamed(t, o, out, data)
				if o.Elapsed > alone*11/10+3*time.Second {
					t.Errorf("took %v, the quick one alone takes %v", o.Elapsed, alone)
				}
				if o.Duplicate > o.Size/20 {
					t.Errorf("%d bytes of %d came for nothing", o.Duplicate, o.Size)
				}
			})
		})
	}
}

// A server that dies with the front of the window delays it only until its
// silence is noticed.
func TestStreamWithADyingServer(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(60*chunk, 1)
		servers := w.holders(data, data)
		slow(1<<20, servers...)
		var died time.Time
		out := &sink{}
		o := w.stream(getConfig{Targets: targetsOf(servers...), Events: at(0.3, func() {
			died = time.Now()
			servers[0].links[0].set(func(l *link) { l.hole = true })
		})}, out, 8*chunk)
		streamed(t, o, out, data)
		var gap time.Duration
		for i := range out.at[1:] {
			gap = max(gap, out.at[i+1].Sub(out.at[i]))
		}
		if died.IsZero() || gap > 3*time.Second {
			t.Errorf("nothing was written for %v, died: %v", gap, !died.IsZero())
		}
		if _, eaten := servers[0].links[0].dropped(); eaten == 0 {
			t.Error("the server did not die")
		}
	})
}

// A liar's bytes are not written, and it is named.
func TestStreamWithALiar(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data, out := file(40*chunk, 1), &sink{}
		servers := w.holders(data, data, data)
		servers[1].src.flips()
		o := w.stream(getConfig{Targets: targetsOf(servers...)}, out, 8*chunk)
		streamed(t, o, out, data)
		if r := o.report(servers[1].targets[0]); r.State != fetch.StateWrong || r.BadChunks == 0 || r.Bytes != 0 {
			t.Errorf("report of the liar = %+v", r)
		}
		only[fetch.ChunkRefused](o)
	})
}

// When only liars are left, what was written is the front of the file.
func TestStreamFromLiarsIsARightFront(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data, out := file(20*chunk, 1), &sink{}
		s := w.holders(data)[0]
		s.src.onRange(func(p []byte, off int64) error {
			if off >= 10*chunk {
				p[0] ^= 1
			}
			return nil
		})
		o := w.stream(getConfig{Targets: s.targets}, out, 4*chunk)
		fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
		if got := out.Bytes(); !bytes.Equal(got, data[:min(len(got), 10*chunk)]) {
			t.Errorf("%d bytes were written, not all of them the file's", len(got))
		}
	})
}

// A stream with another SHA-256 than the user named ends with an error.
func TestStreamWithAnotherSHA256(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, out := file(3*chunk, 1), &sink{}
		o := w.stream(getConfig{Targets: targetsOf(w.holders(data)...), SHA256: new([32]byte)}, out, 0)
		e := fails[*fetch.FinishedError](o, fetch.KindIntegrity)
		if e.SHA256 == nil || *e.SHA256 != sha256.Sum256(data) || !e.Streamed {
			t.Errorf("error = %+v, want the SHA-256 that the file has", e)
		}
	})
}

// An error of the stream's writer ends the run at once.
func TestStreamIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		closed := errors.New("closed")
		var when time.Time
		out := &sink{}
		out.write = func([]byte) error {
			if out.Len() < 5*chunk {
				return nil
			}
			when = time.Now()
			return closed
		}
		o := w.stream(getConfig{Targets: targetsOf(w.holders(data, data)...)}, out, 4*chunk)
		if !errors.Is(o.err, closed) || time.Since(when) > time.Second {
			t.Errorf("error %v after %v, want the stream's at once", o.err, time.Since(when))
		}
		if out.Len() != 5*chunk {
			t.Errorf("%d bytes were written", out.Len())
		}
	})
}

// A run ends without waiting for a reader that does not read.
func TestStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, blocked := range map[string]bool{"while it writes": true, "while it fetches": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(40*chunk, 1)
				servers := w.holders(data)
				slow(100<<10, servers...)
				ctx, cancel := context.WithCancelCause(context.Background())
				stop := errors.New("stop")
				free := make(chan struct{})
				defer close(free)
				var when atomic.Pointer[time.Time]
				out := &sink{}
				out.write = func([]byte) error {
					if out.Len() == 3*chunk {
						now := time.Now()
						when.Store(&now)
						cancel(stop)
						if blocked {
							<-free
						}
					}
					return nil
				}
				o := w.streamUnder(ctx, getConfig{Targets: targetsOf(servers...)}, out, 4*chunk)
				if took := time.Since(*when.Load()); !errors.Is(o.err, stop) || took > 2*time.Second {
					t.Errorf("error %v after %v, want the context's within 2 s", o.err, took)
				}
			})
		})
	}
}
