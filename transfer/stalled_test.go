package transfer

import (
	"slices"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
)

// A path becomes narrower in the middle of a run. That costs the server the
// time until it is noticed. Small packets still pass: the connection lives, and
// brings nothing.
func TestPathBecomesNarrower(t *testing.T) {
	withoutRace(t)
	data := file(60*chunk, 1)
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, w *world) {
			s := w.holders(data)[0]
			slow(1<<20, s)
			o := w.get(getConfig{Targets: s.targets, Events: at(0.3, s.links[0].narrows)})
			o.has("data.bin", data)
			none[fetch.Lost](o)
			if got := waysTold(o); !slices.Equal(got, []fetch.DecisionKind{fetch.WayTried, fetch.WayChanged}) {
				t.Errorf("told of other ways: %v, want one that is tried and stays", got)
			}
			if s.links[0].way(fromServer).tooBig == 0 {
				t.Error("no packet was too big")
			}
			if most := 15*time.Second + 20*time.Second; o.Elapsed > most {
				t.Errorf("took %v, want at most %v", o.Elapsed, most)
			}
			if most := o.Size + 4*chunk; s.total() > most {
				t.Errorf("%d bytes were sent, want at most %d", s.total(), most)
			}
		})
	})
	t.Run("with another server", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, w *world) {
			data := file(200*chunk, 1)
			servers := w.holders(data, data)
			slow(1<<20, servers...)
			var narrowed, again time.Time
			var before int64
			o := w.get(getConfig{Targets: targetsOf(servers...), Events: func(e fetch.Event) {
				p, ok := e.(progress)
				if !ok || p.Phase != fetch.PhaseFetching {
					return
				}
				switch r := p.Servers[1]; {
				case narrowed.IsZero() && p.Good > p.Size/10:
					narrowed, before = time.Now(), r.Bytes
					servers[1].links[0].narrows()
				case !narrowed.IsZero() && again.IsZero() && r.Bytes > before+2*chunk:
					again = time.Now()
				}
			}})
			o.has("data.bin", data)
			none[fetch.Lost](o)
			if again.IsZero() || again.Sub(narrowed) > 20*time.Second {
				t.Errorf("the server was of use again after %v, want within 20 s", again.Sub(narrowed))
			}
		})
	})
}

// A server that is silent while others send is called silent, once. It is asked
// again when it sends.
func TestServerIsCalledSilent(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(64*chunk, 1)
		servers := w.holders(data, data)
		slow(200<<10, servers...)
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: at(0.1, func() {
			servers[1].src.onRange(func([]byte, int64) error {
				servers[1].src.block()
				return nil
			})
		})})
		o.has("data.bin", data)
		if e, _ := only[fetch.ServerSilent](o); e.Target != servers[1].targets[0] {
			t.Errorf("%+v, want the one that sends nothing", e)
		}
		// Another connection is tried after 10 s, and then less and
		// less often.
		if n := len(servers[1].links); n == 0 || o.Elapsed < time.Minute {
			t.Errorf("took %v, want longer than the silence", o.Elapsed)
		}
	})
}

// waysTold returns the decisions about further connections to servers, in
// order.
func waysTold(o *outcome) (kinds []fetch.DecisionKind) {
	for _, d := range events[fetch.Decision](o) {
		if d.What >= fetch.WayTried {
			kinds = append(kinds, d.What)
		}
	}
	return kinds
}

// It is told which of two connections to a server stays, and why it is the
// first.
func TestSilentWayStays(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	data := file(40*chunk, 1)
	t.Run("it sends again", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			s := w.holders(data)[0]
			slow(1<<20, s)
			s.links[0].set(func(l *link) { l.delay = time.Second })
			var until time.Time
			o := w.get(getConfig{Targets: s.targets, Connections: 1, Events: at(0.3, func() {
				until = time.Now().Add(14 * time.Second)
				s.src.onRange(func([]byte, int64) error {
					time.Sleep(time.Until(until))
					return nil
				})
			})})
			o.has("data.bin", data)
			if got := waysTold(o); !slices.Equal(got, []fetch.DecisionKind{fetch.WayTried, fetch.WayKept}) {
				t.Errorf("told of other ways: %v, want one that is tried and does not stay", got)
			}
		})
	})
	t.Run("the other fails", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			s := w.holders(data)[0]
			slow(1<<20, s)
			o := w.get(getConfig{Targets: s.targets, ConnectTimeout: time.Second, Events: at(0.3, func() {
				s.links[0].set(func(l *link) { l.hole = true })
				time.AfterFunc(4*time.Second, func() { s.links[0].set(func(l *link) { l.hole = false }) })
			})})
			o.has("data.bin", data)
			for _, d := range events[fetch.Decision](o) {
				if d.What == fetch.WayKept && source.WhatOf(d.Err) == source.NoAnswer {
					return
				}
			}
			t.Errorf("told of other ways: %v, want one that failed", waysTold(o))
		})
	})
}
