package transfer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

var errInterrupted = errors.New("interrupted")

// interrupt runs a Get that ends when a part of the file is good, 0 to 1.
func interrupt(t *testing.T, w *world, part float64, servers ...*server) *outcome {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	slow(2<<20, servers...) // else it is over before anybody has looked
	var when time.Time
	o := w.getUnder(ctx, getConfig{Targets: targetsOf(servers...), Events: at(part, func() {
		when = time.Now()
		cancel(errInterrupted)
	})})
	if o.err != errInterrupted {
		t.Fatalf("error = %v, want the cause with which it was ended", o.err)
	}
	if took := time.Since(when); took > 100*time.Millisecond {
		t.Errorf("took %v to end, want no time", took)
	}
	if o.Path != "" || o.Part != filepath.Join(o.dir, "data.bin.part") || o.Fetched == 0 {
		t.Errorf("path %q, part %q, fetched %d, want the part kept", o.Path, o.Part, o.Fetched)
	}
	o.lists("data.bin.part", "data.bin.part.journal")
	return o
}

// A run after an interrupt checks what is there, and fetches only the rest.
func TestInterruptAndResume(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(12*chunk+77, 1)
		servers := w.holders(data, data)
		o := interrupt(t, w, 0.5, servers...)
		kept := o.Fetched
		second := w.holders(data, data)
		o = w.get(getConfig{Targets: targetsOf(second...), Dir: o.dir, Resume: true})
		o.has("data.bin", data)
		if o.Resumed < kept || o.Fetched != o.Size-o.Resumed {
			t.Errorf("resumed %d, fetched %d, want at least %d resumed", o.Resumed, o.Fetched, kept)
		}
		if got := second[0].src.sent() + second[1].src.sent(); got != o.Fetched {
			t.Errorf("%d bytes were served, want only the %d that were missing", got, o.Fetched)
		}
		started, _ := only[fetch.Started](o)
		if started.Check != kept { // the journal knows what is missing
			t.Errorf("started = %+v, want the %d bytes checked that the journal claims", started, kept)
		}
	})
}

// goodChunks returns which chunks of a part file are right.
func goodChunks(part, data []byte) (good []int) {
	for c := 0; c*chunk < len(data); c++ {
		end := min((c+1)*chunk, len(data))
		if end <= len(part) && bytes.Equal(part[c*chunk:end], data[c*chunk:end]) {
			good = append(good, c)
		}
	}
	return good
}

// A chunk that was damaged between two runs is fetched again.
func TestResumeFindsCorruption(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		o := interrupt(t, w, 0.5, w.holders(data)...)
		part := o.read("data.bin.part")
		good := goodChunks(part, data)
		if len(good) < 2 {
			t.Fatalf("%d good chunks in the part, want some", len(good))
		}
		wrong := good[1]
		part[wrong*chunk+chunk/3] ^= 1
		write(t, o.dir, "data.bin.part", part)
		s := w.holders(data)[0]
		o = w.get(getConfig{Targets: s.targets, Dir: o.dir, Resume: true})
		o.has("data.bin", data)
		if want := int64(len(good)-1) * chunk; o.Resumed != want || o.Fetched != o.Size-want {
			t.Errorf("resumed %d, fetched %d, want %d resumed", o.Resumed, o.Fetched, want)
		}
		if o.Refetched != chunk {
			t.Errorf("%d bytes count as fetched again, want the corrupted chunk's %d", o.Refetched, chunk)
		}
		var fetched []int
		for _, r := range s.src.log() {
			for c := r.off / chunk; c*chunk < r.off+int64(r.n); c++ {
				fetched = append(fetched, int(c))
			}
		}
		if !slices.Contains(fetched, wrong) {
			t.Errorf("chunks %v were fetched, want the corrupted one, %d, too", fetched, wrong)
		}
		for _, c := range good {
			if c != wrong && slices.Contains(fetched, c) {
				t.Errorf("chunk %d was fetched although it was right", c)
			}
		}
	})
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A part file of any size and content is completed, and its right chunks are
// kept.
func TestResumeOtherSizes(t *testing.T) {
	t.Parallel()
	data := file(5*chunk+9, 1)
	for _, test := range []struct {
		name    string
		part    []byte
		resumed int64
	}{
		{"empty", nil, 0},
		{"shorter", data[:3*chunk+100], 3 * chunk},
		{"whole", data, int64(len(data))},
		{"longer", append(slices.Clone(data), file(2*chunk, 2)...), int64(len(data))},
		{"of another file", file(5*chunk+9, 3), 0},
		{"last chunk short", data[:len(data)-1], 5 * chunk},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				s := w.holders(data)[0]
				slow(500<<10, s)
				dir := t.TempDir()
				write(t, dir, "data.bin.part", test.part)
				o := w.get(getConfig{Targets: s.targets, Dir: dir, Resume: true})
				o.has("data.bin", data)
				if o.Resumed != test.resumed || o.Fetched != o.Size-test.resumed || s.src.sent() != o.Fetched {
					t.Errorf("resumed %d, fetched %d, served %d, want %d resumed", o.Resumed, o.Fetched, s.src.sent(), test.resumed)
				}
				for _, p := range events[progress](o) {
					if p.Checked > p.Check || p.Good > p.Size || p.Resumed > p.Check {
						t.Fatalf("progress = %+v, want no more than all", p)
					}
				}
			})
		})
	}
}

// ^C before the vote leaves nothing behind.
func TestInterruptBeforeTheVote(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		s := w.holders(file(chunk, 1))[0]
		s.links[0].set(func(l *link) { l.hole = true })
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(errInterrupted) })
		o := w.getUnder(ctx, getConfig{Targets: s.targets})
		if o.err != errInterrupted || o.Elapsed != time.Second {
			t.Errorf("error %v after %v, want the cause at once", o.err, o.Elapsed)
		}
		o.lists()
	})
}

// ^C while the file gets its name does not take it back.
func TestInterruptAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(chunk, 1)
		ctx, cancel := context.WithCancelCause(context.Background())
		o := w.getUnder(ctx, getConfig{Targets: w.holders(data)[0].targets, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Finishing); ok {
				cancel(errInterrupted)
			}
		}})
		o.has("data.bin", data)
	})
}
