package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// withoutInline makes a server send no manifest with its offer.
func withoutInline(m *hostile.Server) { m.Offer.ManifestLen = 0 }

// The first server to answer is asked for the manifest, and no other.
func TestManifestIsAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		quick, other := w.malicious(data, 0, withoutInline), w.malicious(data, 1, withoutInline)
		w.link(other.Target).set(func(l *link) { l.delay = 200 * time.Millisecond })
		o := w.get(getConfig{Targets: []source.Target{quick.Target, other.Target}})
		o.has("data.bin", data)
		if q, n := quick.Manifests.Load(), other.Manifests.Load(); q != 1 || n != 0 {
			t.Errorf("the quicker one was asked %d times, the other %d times, want 1 and 0", q, n)
		}
	})
}

// A manifest that one server has sent with its offer is not asked for again.
func TestManifestOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		m := w.malicious(data, 0, withoutInline)
		o := w.get(getConfig{Targets: append(targetsOf(w.holders(data)...), m.Target)})
		o.has("data.bin", data)
		if got := m.Manifests.Load(); got != 0 {
			t.Errorf("the manifest was asked for %d times, want none", got)
		}
	})
}

// While a server stalls with the manifest, another one is asked for it too.
func TestManifestIsHedged(t *testing.T) {
	data := file(3*chunk, 1)
	for _, test := range []struct {
		name  string
		stall func(m *hostile.Server, st transport.Stream)
	}{
		{"at once", func(m *hostile.Server, _ transport.Stream) { m.Wait() }},
		{"in the middle", func(m *hostile.Server, st transport.Stream) {
			st.Write(wire.Header{Length: uint64(len(m.Manifest.Bytes()))}.Append(nil))
			st.Write(m.Manifest.Bytes()[:20])
			m.Wait()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				stalls := w.malicious(data, 0, func(m *hostile.Server) {
					withoutInline(m)
					m.OnManifest = func(st transport.Stream) { test.stall(m, st) }
				})
				other := w.malicious(data, 1, withoutInline)
				w.link(other.Target).set(func(l *link) { l.delay = 100 * time.Millisecond })
				o := w.get(getConfig{Targets: []source.Target{stalls.Target, other.Target}})
				o.has("data.bin", data)
				if s, n := stalls.Manifests.Load(), other.Manifests.Load(); s != 1 || n != 1 {
					t.Errorf("asked %d and %d times, want once each", s, n)
				}
				_, voted := only[fetch.Voted](o)
				_, started := only[fetch.Started](o)
				if took := started.Sub(voted); took < hedgeTime || took > hedgeTime+time.Second {
					t.Errorf("the manifest took %v, want a second server asked after %v", took, hedgeTime)
				}
				none[fetch.ManifestRefused](o) // slow is no fault
				if r := o.report(stalls.Target); r.State != fetch.StateServing {
					t.Errorf("report = %+v, want serving", r)
				}
			})
		})
	}
}

// A manifest that never comes is asked for on another connection. Then the
// server is out, and the run ends when patience does.
func TestHostileManifestNeverComes(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.malicious(file(3*chunk, 1), 0, func(m *hostile.Server) {
			withoutInline(m)
			m.OnManifest = func(transport.Stream) { m.Wait() }
		})
		const patience = 3 * manifestTime
		o := w.get(getConfig{Targets: []source.Target{m.Target}, Patience: patience})
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

// sends makes a server send a manifest of its file's values in another order,
// by number, and offer its digest; -1 leaves a value empty.
func sends(from ...int) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		values := wire.NewManifest(m.Offer.Size, chunk, len(from))
		for i, n := range from {
			if n >= 0 {
				values.SetChunk(i, m.Manifest.Value(n), m.Manifest.XXH3(n))
			}
		}
		m.Manifest, m.Offer.Digest = values, manifest.Digest(values)
	}
}

// replies sets the reply to a request for the manifest.
func replies(reply func(m *hostile.Server, st transport.Stream)) func(m *hostile.Server) {
	return func(m *hostile.Server) { m.OnManifest = func(st transport.Stream) { reply(m, st) } }
}

// badManifests are manifests that are refused, or do not come.
var badManifests = []struct {
	name  string
	bad   func(m *hostile.Server)
	state fetch.State
	kind  fetch.Kind
}{
	{"does not merge", sends(-1, -1, -1), fetch.StateWrong, fetch.KindIntegrity},
	{"two values swapped", sends(1, 0, 2), fetch.StateWrong, fetch.KindIntegrity},
	{"too short", replies(func(m *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusOK, m.Manifest.Bytes()[1:])
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"too long", replies(func(m *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusOK, append(m.Manifest.Append(nil), 0))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"far too long", replies(func(_ *hostile.Server, st transport.Stream) {
		st.Write(wire.Header{Length: 1 << 61}.Append(nil))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"cut off", replies(func(m *hostile.Server, st transport.Stream) {
		st.Write(wire.Header{Length: uint64(len(m.Manifest.Bytes()))}.Append(nil))
		st.Write(m.Manifest.Bytes()[:50])
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"another digest", replies(func(m *hostile.Server, st transport.Stream) {
		values := wire.NewManifest(m.Offer.Size, chunk, 3)
		for i := range 3 {
			values.SetChunk(i, m.Manifest.Value(i), [16]byte{byte(i)})
		}
		hostile.Reply(st, wire.StatusOK, values.Bytes())
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"changed", replies(func(_ *hostile.Server, st transport.Stream) {
		st.Write(wire.AppendRefusal(nil, wire.StatusChanged, "gone"))
	}), fetch.StateChanged, fetch.KindChanged},
	{"reset", replies(func(_ *hostile.Server, st transport.Stream) {
		st.CancelWrite(uint64(wire.StreamInternal))
	}), fetch.StateLost, fetch.KindNetwork},
}

// A bad manifest is told, and its server is out. Another server's manifest is
// used.
func TestHostileManifests(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range badManifests {
		start := func(w *world) *hostile.Server {
			return w.malicious(data, 1, func(m *hostile.Server) {
				withoutInline(m)
				test.bad(m)
			})
		}
		check := func(t *testing.T, o *outcome, m *hostile.Server) {
			t.Helper()
			if refused, _ := only[fetch.ManifestRefused](o); refused.Target != m.Target || refused.Err == nil {
				t.Errorf("refused = %+v, want the malicious one", refused)
			}
			r := o.report(m.Target)
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
				m := start(w)
				other := w.malicious(data, 0, withoutInline)
				w.link(other.Target).set(func(l *link) { l.delay = 100 * time.Millisecond }) // so that it is not asked first
				o := w.get(getConfig{Targets: []source.Target{other.Target, m.Target}})
				o.has("data.bin", data)
				check(t, o, m)
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := start(w)
				o := w.get(getConfig{Targets: []source.Target{m.Target}})
				fails[*fetch.NoServerLeftError](o, test.kind)
				check(t, o, m)
				o.lists()
			})
		})
	}
}

// A wrong list of XXH3 sums is told once, and decides nothing.
func TestHostileList(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		m := w.malicious(data, 0, func(m *hostile.Server) {
			for i := range 3 {
				m.Manifest.SetChunk(i, m.Manifest.Value(i), [16]byte{byte(i)})
			}
			m.Offer.Digest = manifest.Digest(m.Manifest)
		})
		o := w.get(getConfig{Targets: []source.Target{m.Target}})
		o.has("data.bin", data)
		if differs, _ := only[fetch.ListDiffers](o); differs.Target != m.Target || differs.Chunk < 0 || differs.Chunk > 2 {
			t.Errorf("differs = %+v, want the server", differs)
		}
	})
}
