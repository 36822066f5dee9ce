package transfer

import (
	"fmt"
	"testing"
	"time"
)

// movedAfter returns how long after a failure a chunk that a server had then
// was first asked for from another one.
func movedAfter(t *testing.T, failed *server, others []*server, at time.Time) (after time.Duration) {
	t.Helper()
	had := make(map[int64]bool)
	for _, r := range failed.src.log() {
		for c := r.off / chunk; c*chunk < r.off+int64(r.n) && !r.at.After(at); c++ {
			had[c] = true
		}
	}
	after = -1
	for _, s := range others {
		for _, r := range s.src.log() {
			for c := r.off / chunk; c*chunk < r.off+int64(r.n); c++ {
				if d := r.at.Sub(at); had[c] && d > 0 && (after < 0 || d < after) {
					after = d
				}
			}
		}
	}
	if after < 0 {
		t.Error("no chunk moved, the failure was not felt")
	}
	return after
}

var directions = [...]string{fromServer: "from the server", toServer: "to the server"}

// A link that carries nothing in one direction any more is a stall: another
// server soon has the work, also one that is slower than the stalled one was.
func TestOneWayHole(t *testing.T) {
	for dir, name := range directions {
		for _, other := range []float64{400 << 10, 100 << 10} {
			t.Run(fmt.Sprintf("%s, the other with %.0f bytes a second", name, other), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					data := file(24*chunk, 1)
					servers := w.holders(data, data)
					slow(400<<10, servers[0])
					slow(other, servers[1])
					l := servers[0].links[0]
					var began time.Time
					o := w.get(GetConfig{Targets: targetsOf(servers...), Events: at(0.85, func() {
						began = time.Now()
						l.set(func(l *link) { l.ways[dir].hole = true })
					})})
					o.has("data.bin", data)
					if l.way(dir).eaten == 0 || l.way(1-dir).eaten != 0 {
						t.Fatalf("%d packets swallowed, and %d in the other direction", l.way(dir).eaten, l.way(1-dir).eaten)
					}
					none[Lost](o)
					// A second of silence, and what the other one has to finish first.
					if after := movedAfter(t, servers[0], servers[1:], began); after > 2500*time.Millisecond {
						t.Errorf("the work moved %v after the failure", after)
					}
				})
			})
		}
	}
}

// With no other server, the connection outlives such a hole, and nothing that
// has arrived is asked for again.
func TestOneWayHoleAlone(t *testing.T) {
	for dir, name := range directions {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				const length = 6 * time.Second
				data := file(12*chunk, 1)
				s := w.holders(data)[0]
				slow(200<<10, s)
				l := s.links[0]
				var began, goesOn time.Time
				carried := int64(0)
				begin := at(0.4, func() {
					began = time.Now()
					l.set(func(l *link) { l.ways[dir].hole = true })
				})
				o := w.get(GetConfig{Targets: s.targets, Events: func(e GetEvent) {
					begin(e)
					switch {
					case began.IsZero() || !goesOn.IsZero():
					case time.Since(began) < length:
						carried = l.way(fromServer).carried
					default:
						l.set(func(l *link) { l.ways[dir].hole = false })
						if l.way(fromServer).carried > carried+chunk/4 {
							goesOn = time.Now()
						}
					}
				}})
				o.has("data.bin", data)
				if l.way(dir).eaten == 0 || l.way(1-dir).eaten != 0 {
					t.Fatalf("%d packets swallowed, and %d in the other direction", l.way(dir).eaten, l.way(1-dir).eaten)
				}
				none[Lost](o)
				if got := s.total(); got != o.Size {
					t.Errorf("%d bytes were asked for, want each one once", got)
				}
				// QUIC's own probes come at twice the last distance.
				if after := goesOn.Sub(began) - length; after > length+2*time.Second {
					t.Errorf("went on %v after the hole", after)
				}
			})
		})
	}
}

// A server that is away for longer than both sides wait, and alone, costs its
// connection, and the chunk goes on where it stopped.
func TestIdleTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const length = 40 * time.Second
		data := file(8*chunk, 1)
		s := w.holders(data)[0]
		slow(40<<10, s)
		l := s.links[0]
		var began, ended time.Time
		begin := at(0.45, func() {
			began = time.Now()
			l.set(func(l *link) { l.hole = true })
		})
		o := w.get(GetConfig{Targets: s.targets, Events: func(e GetEvent) {
			begin(e)
			if !began.IsZero() && ended.IsZero() && time.Since(began) >= length {
				ended = time.Now()
				l.set(func(l *link) { l.hole = false })
			}
		}})
		o.has("data.bin", data)
		if _, eaten := l.dropped(); eaten == 0 || ended.IsZero() {
			t.Fatal("the server was never away")
		}
		if _, when := only[Lost](o); when.Sub(began) < 10*time.Second || when.Sub(began) > 20*time.Second {
			t.Errorf("lost %v after it went away, want the idle time of 15 s", when.Sub(began))
		}
		var first *read
		for _, r := range s.src.log() {
			if first == nil && r.at.After(ended) {
				first = &r
			}
		}
		if first == nil || first.off%chunk == 0 {
			t.Fatalf("went on with %+v, want the middle of a chunk", first)
		}
		// The pauses between the tries are at most 15 s and a quarter.
		if after := first.at.Sub(ended); after < 0 || after > 20*time.Second {
			t.Errorf("went on %v after it was back", after)
		}
		if got := l.way(fromServer).carried; got > o.Size*108/100 || o.Duplicate != 0 {
			t.Errorf("%d bytes arrived for a file of %d, %d for nothing", got, o.Size, o.Duplicate)
		}
	})
}
