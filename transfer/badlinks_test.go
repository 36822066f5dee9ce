package transfer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

// movedAfter returns how long after a failure another server was first asked
// for one of the chunks in had.
func movedAfter(t *testing.T, had map[int]bool, other *server, at time.Time) time.Duration {
	t.Helper()
	for _, r := range other.src.log() {
		if had[int(r.off/chunk)] && r.at.After(at) {
			return r.at.Sub(at)
		}
	}
	t.Error("no chunk moved, the failure was not felt")
	return 0
}

// chunksOf returns the chunks of a server's ranges, without those that are
// good.
func chunksOf(s fetch.Snapshot, server int) map[int]bool {
	had := make(map[int]bool)
	for _, r := range s.Ranges {
		for c := r.First; c < r.First+r.Count; c++ {
			if r.Server == server && !s.Map[c].Good() {
				had[c] = true
			}
		}
	}
	return had
}

// isAmid reports whether a server is in the middle of the first chunk of a
// range.
func isAmid(s fetch.Snapshot, server int) bool {
	return slices.ContainsFunc(s.Ranges, func(r fetch.RangeReport) bool {
		return r.Server == server && r.Arrived > chunk/8 && r.Arrived < chunk/2
	})
}

// owes returns how many bytes of its ranges a server has not sent.
func owes(s fetch.Snapshot, server int) (n int64) {
	for _, r := range s.Ranges {
		if r.Server == server {
			n += r.Bytes - r.Arrived
		}
	}
	return n
}

var directions = [...]string{fromServer: "from the server", toServer: "to the server"}

// A link that carries nothing in one direction any more is a stall. Another
// server soon has the work, even a slower one.
func TestOneWayHole(t *testing.T) {
	withoutRace(t)
	for dir, name := range directions {
		for _, other := range []float64{400 << 10, 100 << 10} {
			t.Run(fmt.Sprintf("%s, the other with %.0f bytes a second", name, other), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T, w *world) {
					data := file(24*chunk, 1)
					servers := w.holders(data, data)
					slow(400<<10, servers[0])
					slow(other, servers[1])
					l := servers[0].links[0]
					var began time.Time
					var busy time.Duration // the other one, with what it has
					var had map[int]bool
					o := w.watch(getConfig{Targets: targetsOf(servers...)}, func(s fetch.Snapshot) {
						if began.IsZero() && s.Queued == 0 && isAmid(s, 0) {
							began = time.Now()
							had = chunksOf(s, 0)
							busy = time.Duration(float64(owes(s, 1)) / other * float64(time.Second))
							l.set(func(l *link) { l.ways[dir].hole = true })
						}
					})
					o.has("data.bin", data)
					if l.way(dir).eaten == 0 || l.way(1-dir).eaten != 0 {
						t.Fatalf("%d packets swallowed, and %d in the other direction", l.way(dir).eaten, l.way(1-dir).eaten)
					}
					for _, e := range o.events {
						// A connection over which nothing comes for 15 s has died.
						if lost, ok := e.Event.(fetch.Lost); ok && e.at.Sub(began) < 15*time.Second {
							t.Errorf("%+v after %v, want no server lost for a stall", lost, e.at.Sub(began))
						}
					}
					after := movedAfter(t, had, servers[1], began)
					if after > max(time.Second, busy)+300*time.Millisecond {
						t.Errorf("the work moved %v after the failure, want a second, or %v until the other one has nothing to do", after, busy)
					}
				})
			})
		}
	}
}

// With no other server, such a hole costs at most what was under way when it
// began. Nothing that has arrived is asked for again.
func TestOneWayHoleAlone(t *testing.T) {
	withoutRace(t)
	t.Parallel()
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
				o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
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
				none[fetch.Lost](o)
				if got := s.total(); got > o.Size+chunk/2 {
					t.Errorf("%d bytes were sent, want each one once, and what was under way", got)
				}
				// QUIC sends its probes at twice the last
				// distance.
				if after := goesOn.Sub(began) - length; after > length+2*time.Second {
					t.Errorf("went on %v after the hole", after)
				}
			})
		})
	}
}

// The only server is away for longer than both sides wait. That costs its
// connection, and the chunk goes on where it stopped.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
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
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
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
		if _, when := only[fetch.Lost](o); when.Sub(began) < 10*time.Second || when.Sub(began) > 20*time.Second {
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
		// The pauses between two tries are at most 15 s and a quarter.
		if after := first.at.Sub(ended); after < 0 || after > 20*time.Second {
			t.Errorf("went on %v after it was back", after)
		}
		if got := l.way(fromServer).carried; got > o.Size*108/100 || o.Duplicate != 0 {
			t.Errorf("%d bytes arrived for a file of %d, %d for nothing", got, o.Size, o.Duplicate)
		}
	})
}
