package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/source"

	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// withoutInline makes a server send no manifest with its offer.
func withoutInline(e *evil) { e.offer.ManifestLen = 0 }

func TestManifestIsAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		quick, other := w.evil(data, 0, withoutInline), w.evil(data, 1, withoutInline)
		w.link(other.target).set(func(l *link) { l.delay = 200 * time.Millisecond })
		o := w.get(getConfig{Targets: []source.Target{quick.target, other.target}})
		o.has("data.bin", data)
		if q, n := quick.manifests.Load(), other.manifests.Load(); q != 1 || n != 0 {
			t.Errorf("the quicker one was asked %d times, the other %d times, want 1 and 0", q, n)
		}
	})
}

// A manifest that one server has sent with its offer is not asked for again.
func TestManifestOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		e := w.evil(data, 0, withoutInline)
		o := w.get(getConfig{Targets: append(targetsOf(w.holders(data)...), e.target)})
		o.has("data.bin", data)
		if got := e.manifests.Load(); got != 0 {
			t.Errorf("the manifest was asked for %d times, want none", got)
		}
	})
}

func TestManifestIsHedged(t *testing.T) {
	data := file(3*chunk, 1)
	for _, test := range []struct {
		name  string
		stall func(e *evil, st *transport.Stream)
	}{
		{"at once", func(e *evil, _ *transport.Stream) { e.wait() }},
		{"in the middle", func(e *evil, st *transport.Stream) {
			st.Write(wire.Header{Length: uint64(len(e.manifest.Bytes()))}.Append(nil))
			st.Write(e.manifest.Bytes()[:20])
			e.wait()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				stalls := w.evil(data, 0, func(e *evil) {
					withoutInline(e)
					e.onManifest = func(st *transport.Stream) { test.stall(e, st) }
				})
				other := w.evil(data, 1, withoutInline)
				w.link(other.target).set(func(l *link) { l.delay = 100 * time.Millisecond })
				o := w.get(getConfig{Targets: []source.Target{stalls.target, other.target}})
				o.has("data.bin", data)
				if s, n := stalls.manifests.Load(), other.manifests.Load(); s != 1 || n != 1 {
					t.Errorf("asked %d and %d times, want once each", s, n)
				}
				_, voted := only[fetch.Voted](o)
				_, started := only[fetch.Started](o)
				if took := started.Sub(voted); took < hedgeTime || took > hedgeTime+time.Second {
					t.Errorf("the manifest took %v, want a second server asked after %v", took, hedgeTime)
				}
				none[fetch.ManifestRefused](o) // slow is no fault
				if r := o.report(stalls.target); r.State != fetch.StateServing {
					t.Errorf("report = %+v, want serving", r)
				}
			})
		})
	}
}

// A manifest that never comes is asked for on another connection, then costs its
// server the place, and the run ends when patience does.
func TestHostileManifestNeverComes(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.evil(file(3*chunk, 1), 0, func(e *evil) {
			withoutInline(e)
			e.onManifest = func(*transport.Stream) { e.wait() }
		})
		const patience = 3 * manifestTime
		o := w.get(getConfig{Targets: []source.Target{e.target}, Patience: patience})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		refused, _ := only[fetch.ManifestRefused](o)
		if !isLate(refused.Err, source.NoAnswer, manifestTime) {
			t.Errorf("refused = %+v, want no answer in %v", refused, manifestTime)
		}
		if o.Elapsed < patience || o.Elapsed > patience+time.Second {
			t.Errorf("gave up after %v, want %v", o.Elapsed, patience)
		}
		o.lists()
	})
}

// sends makes a server send a manifest whose values are those of its file's, by
// number (-1 is none of them), and offer its digest.
func sends(from ...int) func(e *evil) {
	return func(e *evil) {
		m := wire.NewManifest(e.offer.Size, chunk, len(from))
		for i, n := range from {
			if n >= 0 {
				m.SetChunk(i, e.manifest.Value(n), e.manifest.XXH3(n))
			}
		}
		e.manifest, e.offer.Digest = m, manifest.Digest(m)
	}
}

// replies lets a server reply to the request for the manifest by hand.
func replies(reply func(e *evil, st *transport.Stream)) func(e *evil) {
	return func(e *evil) { e.onManifest = func(st *transport.Stream) { reply(e, st) } }
}

// badManifests are manifests that are not believed, or do not come.
var badManifests = []struct {
	name  string
	bad   func(e *evil)
	state fetch.State
	kind  fetch.Kind
}{
	{"does not merge", sends(-1, -1, -1), fetch.StateWrong, fetch.KindIntegrity},
	{"two values swapped", sends(1, 0, 2), fetch.StateWrong, fetch.KindIntegrity},
	{"too short", replies(func(e *evil, st *transport.Stream) {
		frame(st, wire.StatusOK, e.manifest.Bytes()[1:])
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"too long", replies(func(e *evil, st *transport.Stream) {
		frame(st, wire.StatusOK, append(e.manifest.Append(nil), 0))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"far too long", replies(func(_ *evil, st *transport.Stream) {
		st.Write(wire.Header{Length: 1 << 61}.Append(nil))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"cut off", replies(func(e *evil, st *transport.Stream) {
		st.Write(wire.Header{Length: uint64(len(e.manifest.Bytes()))}.Append(nil))
		st.Write(e.manifest.Bytes()[:50])
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"another digest", replies(func(e *evil, st *transport.Stream) {
		m := wire.NewManifest(e.offer.Size, chunk, 3)
		for i := range 3 {
			m.SetChunk(i, e.manifest.Value(i), [16]byte{byte(i)})
		}
		frame(st, wire.StatusOK, m.Bytes())
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"changed", replies(func(_ *evil, st *transport.Stream) {
		st.Write(wire.AppendRefusal(nil, wire.StatusChanged, "gone"))
	}), fetch.StateChanged, fetch.KindChanged},
	{"reset", replies(func(_ *evil, st *transport.Stream) {
		st.CancelWrite(uint64(wire.StreamInternal))
	}), fetch.StateLost, fetch.KindNetwork},
}

func TestHostileManifests(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range badManifests {
		start := func(w *world) *evil {
			return w.evil(data, 1, func(e *evil) {
				withoutInline(e)
				test.bad(e)
			})
		}
		check := func(t *testing.T, o *outcome, e *evil) {
			t.Helper()
			if refused, _ := only[fetch.ManifestRefused](o); refused.Target != e.target || refused.Err == nil {
				t.Errorf("refused = %+v, want the evil one", refused)
			}
			r := o.report(e.target)
			if test.state == fetch.StateLost && o.err == nil {
				if r.State != fetch.StateServing { // it came back, and what it sends is good
					t.Errorf("report = %+v, want it back", r)
				}
			} else if r.State != test.state || r.Err == nil || r.Bytes != 0 {
				t.Errorf("report = %+v, want %s", r, test.state)
			}
		}
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e := start(w)
				other := w.evil(data, 0, withoutInline)
				w.link(other.target).set(func(l *link) { l.delay = 100 * time.Millisecond }) // so that it is not asked first
				o := w.get(getConfig{Targets: []source.Target{other.target, e.target}})
				o.has("data.bin", data)
				check(t, o, e)
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e := start(w)
				o := w.get(getConfig{Targets: []source.Target{e.target}})
				fails[*fetch.NoServerLeftError](o, test.kind)
				check(t, o, e)
				o.lists()
			})
		})
	}
}

// A wrong xxh3 list is told of once, and decides nothing.
func TestHostileList(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		e := w.evil(data, 0, func(e *evil) {
			for i := range 3 {
				e.manifest.SetChunk(i, e.manifest.Value(i), [16]byte{byte(i)})
			}
			e.offer.Digest = manifest.Digest(e.manifest)
		})
		o := w.get(getConfig{Targets: []source.Target{e.target}})
		o.has("data.bin", data)
		if differs, _ := only[fetch.ListDiffers](o); differs.Target != e.target || differs.Chunk < 0 || differs.Chunk > 2 {
			t.Errorf("differs = %+v, want the server", differs)
		}
	})
}
