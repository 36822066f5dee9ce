package transfer

import (
	"errors"
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

// stallsAt starts a server that sends a share of the file, 0 to 1, and then
// nothing until it is released.
func stallsAt(w *world, data []byte, share float64) (s *server, stall func(fetch.Event)) {
	s = w.holders(data)[0]
	slow(100<<10, s)
	return s, at(share, func() {
		s.src.onRange(func([]byte, int64) error {
			s.src.block()
			return nil
		})
	})
}

// A silent server is waited for until patience ends, and what it sent before is
// kept.
func TestPatienceWithASilentServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(32*chunk, 1)
		const patience = 3 * time.Minute
		s, stall := stallsAt(w, data, 0.4)
		o := w.get(getConfig{Targets: s.targets, Patience: patience, Events: stall})
		var silent *fetch.SilentError
		if !errors.As(o.err, &silent) || silent.After != patience || silent.Servers != 1 || silent.Missing <= 0 || fetch.KindOf(o.err) != fetch.KindNetwork {
			t.Fatalf("error = %v, want that the server is silent", o.err)
		}
		none[fetch.Lost](o)
		said := events[fetch.Silent](o)
		for i, e := range said {
			if e.Lasted+e.Left != patience || i > 0 && e.Lasted <= said[i-1].Lasted {
				t.Errorf("said %+v, want each time the silence and what is left of the patience", said)
			}
		}
		if len(said) < 4 || len(said) > 6 {
			t.Errorf("said %d times that nothing comes, want every 30 seconds", len(said))
		}
		if o.Part == "" || o.Fetched == 0 {
			t.Errorf("part %q, %d bytes, want them kept", o.Part, o.Fetched)
		}
	})
}

// A server that sends again in time has lost nothing.
func TestSilenceThatEnds(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(32*chunk, 1)
		s, stall := stallsAt(w, data, 0.4)
		o := w.get(getConfig{Targets: s.targets, Patience: 3 * time.Minute, Events: func(e fetch.Event) {
			if said, ok := e.(fetch.Silent); ok && said.Lasted > 2*time.Minute {
				s.src.release()
			}
			stall(e)
		}})
		o.has("data.bin", data)
		none[fetch.Lost](o)
	})
}

// While nobody reads the stream, servers are silent because nothing is asked of
// them.
func TestSilenceOfAFullWindow(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(32*chunk, 1)
		s := w.holders(data)[0]
		o := w.stream(getConfig{Targets: s.targets, Patience: time.Minute}, pausing(4*time.Minute), 4*chunk)
		if o.err != nil {
			t.Fatal(o.err)
		}
		none[fetch.Silent](o)
	})
}

// pausing is a reader that pauses after its first piece.
func pausing(pause time.Duration) writerFunc {
	paused := false
	return func(p []byte) (int, error) {
		if !paused {
			paused = true
			time.Sleep(pause)
		}
		return len(p), nil
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
