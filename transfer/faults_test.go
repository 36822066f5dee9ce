package transfer

import (
	"errors"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"

	"malcolm/transport"
	"malcolm/wire"
)

// slow makes every link carry rate bytes a second.
func slow(rate float64, servers ...*server) {
	for _, s := range servers {
		for _, l := range s.links {
			l.set(func(l *link) { l.rate = rate })
		}
	}
}

// A server that vanishes in the middle of a run costs nothing but time: others
// fetch its chunks.
func TestVanishedServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(24*chunk, 1)
		servers := w.holders(data, data, data)
		slow(50<<10, servers...)
		gone, others := servers[0], servers[1:]
		var vanished time.Time
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: at(0.4, func() {
			vanished = time.Now()
			gone.links[0].set(func(l *link) { l.hole = true })
		})})
		o.has("data.bin", data)
		if _, eaten := gone.links[0].dropped(); vanished.IsZero() || eaten == 0 {
			t.Fatal("the server did not vanish")
		}
		lost, _ := only[fetch.Lost](o)
		var network *transport.NetworkError
		if lost.Target != gone.targets[0] || lost.State != fetch.StateLost || lost.Left != 2 ||
			!errors.As(lost.Err, &network) || network.Kind != transport.IdleTimeout {
			t.Errorf("lost = %+v, want the server that vanished, by its idle time", lost)
		}
		if got := o.report(gone.targets[0]); got.State != fetch.StateLost || got.Err == nil || got.Rate != 0 {
			t.Errorf("its report = %+v, want lost", got)
		}
		wantMoved(t, gone, others, vanished)
	})
}

// wantMoved fails the test unless another server was asked for chunks that the
// failed one had, after it failed.
func wantMoved(t *testing.T, failed *server, others []*server, at time.Time) {
	t.Helper()
	elsewhere := make(map[int64]time.Time)
	for _, s := range others {
		for _, r := range s.src.log() {
			for c := r.off / chunk; c*chunk < r.off+int64(r.n); c++ {
				elsewhere[c] = r.at
			}
		}
	}
	moved := 0
	for _, r := range failed.src.log() {
		for c := r.off / chunk; c*chunk < r.off+int64(r.n); c++ {
			if when, ok := elsewhere[c]; ok && when.After(at) {
				moved++
			}
		}
	}
	if moved == 0 {
		t.Error("no chunk moved, the failure was not felt")
	}
}

// The chunks of a stalled server move to others. It keeps its connection and is
// not lost.
func TestStalledServer(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(48*chunk, 1) // so that it is asked again after it stalled
		servers := w.holders(data, data, data)
		slow(100<<10, servers...)
		stalled := servers[1]
		var when time.Time
		blocked := make(chan struct{}, 100)
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: at(0.2, func() {
			when = time.Now()
			stalled.src.onRange(func([]byte, int64) error {
				blocked <- struct{}{}
				stalled.src.block()
				return nil
			})
		})})
		o.has("data.bin", data)
		if len(blocked) == 0 {
			t.Fatal("no read blocked")
		}
		none[fetch.Lost](o)
		if got := o.report(stalled.targets[0]); got.State != fetch.StateServing || got.Bytes == 0 {
			t.Errorf("report = %+v, want one that still takes part and has sent something", got)
		}
		wantMoved(t, stalled, []*server{servers[0], servers[2]}, when)
	})
}

// Losses of packets on every link cost time and nothing else.
func TestPacketLossCostsOnlyTime(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		servers := w.holders(data, data, data)
		for _, s := range servers {
			s.links[0].set(func(l *link) { l.loss = 0.02 })
		}
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		none[fetch.Lost](o)
		for i, s := range servers {
			if lost, _ := s.links[0].dropped(); lost == 0 {
				t.Errorf("the link of server %d lost nothing", i)
			}
		}
	})
}

// A server lets a client open only one stream, and stalls on it. It does not
// keep the chunks that were planned for further streams.
func TestStreamThatCannotBeOpened(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	for _, announced := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(8*chunk, 1)
			honest := w.holders(data)[0]
			slow(100<<10, honest)
			m := w.malicious(data, 1, func(m *hostile.Server) {
				if m.Streams = 1; announced {
					m.Streams, m.Limits.Streams = 0, 1
				}
				m.OnRanges = func(transport.Stream, []wire.Span) { m.Wait() }
			})
			o := w.get(getConfig{Targets: append(targetsOf(honest), m.Target)})
			o.has("data.bin", data)
			if got := m.Ranges.Load(); got == 0 {
				t.Error("nothing was asked of the server that stalls")
			}
		})
	}
}

// The chunks of a source that cannot be read go to another server; when it is
// the only one, the run ends.
func TestUnreadableSource(t *testing.T) {
	t.Parallel()
	unreadable := func(t *testing.T, w *world, honest ...[]byte) *outcome {
		data := file(4*chunk, 1)
		servers := w.holders(append([][]byte{data}, honest...)...)
		failed := make(chan struct{}, 1000)
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Started); ok {
				servers[0].src.onRange(func([]byte, int64) error {
					failed <- struct{}{}
					return errors.New("input/output error")
				})
			}
		}})
		if len(failed) == 0 {
			t.Fatal("no read failed")
		}
		return o
	}
	t.Run("two servers", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			data := file(4*chunk, 1)
			o := unreadable(t, w, data)
			o.has("data.bin", data)
		})
	})
	t.Run("the only one", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			o := unreadable(t, w)
			fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
			lost, _ := only[fetch.Lost](o)
			if r, ok := errors.AsType[*wire.Refusal](lost.Err); !ok || r.Status != wire.StatusUnreadable || lost.State != fetch.StateLost {
				t.Errorf("lost = %+v, want that the file is unreadable", lost)
			}
		})
	})
}
