package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

// Packets that are lost in one direction, overtake each other, come twice or
// have a wrong bit cost time and nothing else.
func TestBadPackets(t *testing.T) {
	withoutRace(t)
	for _, test := range []struct {
		name  string
		set   func(v *way)
		count func(v way) int
	}{
		{"loss", func(v *way) { v.loss = 0.05 }, func(v way) int { return v.lost }},
		{"reordering", func(v *way) { v.delays, v.extra = 0.2, 4*defaultDelay }, func(v way) int { return v.overtaken }},
		{"duplication", func(v *way) { v.doubles = 0.3 }, func(v way) int { return v.doubled }},
		{"corruption", func(v *way) { v.flips = 0.05 }, func(v way) int { return v.flipped }},
	} {
		for dir, name := range [...]string{fromServer: "from the servers", toServer: "to the servers"} {
			t.Run(test.name+" "+name, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T, w *world) {
					data := file(12*chunk+5, 1)
					servers := w.holders(data, data)
					slow(500<<10, servers...)
					for _, s := range servers {
						s.links[0].set(func(l *link) { test.set(&l.ways[dir]) })
					}
					o := w.get(getConfig{Targets: targetsOf(servers...)})
					o.has("data.bin", data)
					none[fetch.Lost](o)
					none[fetch.ChunkRefused](o)
					for i, s := range servers {
						const least = 10
						if n, other := test.count(s.links[0].way(dir)), test.count(s.links[0].way(1-dir)); n < least || other != 0 {
							t.Errorf("server %d: %d packets, and %d in the other direction, want %d at least, and none", i, n, other, least)
						}
						if r := o.report(s.targets[0]); r.Bytes == 0 {
							t.Errorf("report = %+v, want bytes from it", r)
						}
					}
					// The links alone need 3 s.
					if took := fetchingTime(o); took > 6*time.Second {
						t.Errorf("took %v", took)
					}
				})
			})
		}
	}
}

// A NAT that gives the client another port in the middle of a transfer does not
// end the connection: the server follows the client to its new address.
func TestPortRebinding(t *testing.T) {
	t.Parallel()
	for _, connections := range []int{1, 2} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(16*chunk, 1)
			s := w.holders(data)[0]
			slow(400<<10, s)
			l := s.links[0]
			var rebound, followed time.Time
			rebind := at(0.5, func() {
				rebound = time.Now()
				w.rebind()
			})
			o := w.get(getConfig{Targets: s.targets, Connections: connections, Events: func(e fetch.Event) {
				rebind(e)
				if followed.IsZero() && l.way(fromServer).renamed > 100 {
					followed = time.Now()
				}
			}})
			o.has("data.bin", data)
			back, there := l.way(fromServer), l.way(toServer)
			if rebound.IsZero() || there.renamed == 0 || back.renamed == 0 || back.stale == 0 {
				t.Fatalf("%d and %d packets under the new address, %d to the old one, want some", there.renamed, back.renamed, back.stale)
			}
			none[fetch.Lost](o)
			// Nothing comes until the client sends, which it does
			// after at most a second of silence.
			if took := followed.Sub(rebound); took > 3*time.Second {
				t.Errorf("the server followed after %v", took)
			}
			if got := s.src.sent(); got != o.Size {
				t.Errorf("%d bytes were asked for, want each one once", got)
			}
		})
	}
}
