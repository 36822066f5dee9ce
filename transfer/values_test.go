package transfer

import (
	"bytes"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transport"
	"malcolm/wire"
)

// withoutInline makes a server send no values with its offer.
func withoutInline(m *hostile.Server) { m.Offer.ValuesLen = 0 }

// The first server to answer is asked for the values, and no other.
func TestValuesAreAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		quick, other := w.malicious(data, 0, withoutInline), w.malicious(data, 1, withoutInline)
		w.link(other.Target).set(func(l *link) { l.delay = 200 * time.Millisecond })
		o := w.get(getConfig{Targets: []source.Target{quick.Target, other.Target}})
		o.has("data.bin", data)
		if q, n := quick.Lists.Load(), other.Lists.Load(); q != 1 || n != 0 {
			t.Errorf("the quicker one was asked %d times, the other %d times, want 1 and 0", q, n)
		}
	})
}

// Values that one server has sent with its offer are not asked for again.
func TestValuesComeWithAnotherOffer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		m := w.malicious(data, 0, withoutInline)
		o := w.get(getConfig{Targets: append(targetsOf(w.holders(data)...), m.Target)})
		o.has("data.bin", data)
		if got := m.Lists.Load(); got != 0 {
			t.Errorf("the values were asked for %d times, want none", got)
		}
	})
}

// While a server stalls with the values, another one is asked for them too.
func TestValuesAreHedged(t *testing.T) {
	data := file(3*chunk, 1)
	for _, test := range []struct {
		name  string
		stall func(m *hostile.Server, st transport.Stream)
	}{
		{"at once", func(m *hostile.Server, _ transport.Stream) { m.Wait() }},
		{"in the middle", func(m *hostile.Server, st transport.Stream) {
			st.Write(hostile.Header(wire.StatusOK, uint64(len(m.Values.Bytes()))))
			st.Write(m.Values.Bytes()[:20])
			m.Wait()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				stalls := w.malicious(data, 0, func(m *hostile.Server) {
					withoutInline(m)
					m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { test.stall(m, st) }
				})
				other := w.malicious(data, 1, withoutInline)
				w.link(other.Target).set(func(l *link) { l.delay = 100 * time.Millisecond })
				o := w.get(getConfig{Targets: []source.Target{stalls.Target, other.Target}})
				o.has("data.bin", data)
				if s, n := stalls.Lists.Load(), other.Lists.Load(); s != 1 || n != 1 {
					t.Errorf("asked %d and %d times, want once each", s, n)
				}
				_, voted := only[fetch.Voted](o)
				_, started := only[fetch.Started](o)
				if took := started.Sub(voted); took < hedgeTime || took > hedgeTime+time.Second {
					t.Errorf("the values took %v, want a second server asked after %v", took, hedgeTime)
				}
				none[fetch.ValuesRefused](o) // slow is no fault
				if r := o.report(stalls.Target); r.State != fetch.StateServing {
					t.Errorf("report = %+v, want serving", r)
				}
			})
		})
	}
}

// Values that never come are asked for on another connection. Then the server
// is out, and the run ends when patience does.
func TestHostileValuesNeverCome(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.malicious(file(3*chunk, 1), 0, func(m *hostile.Server) {
			withoutInline(m)
			m.OnValues = func(transport.Stream, wire.ValuesRequest) { m.Wait() }
		})
		const patience = 3 * valuesTime
		o := w.get(getConfig{Targets: []source.Target{m.Target}, Patience: patience})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		refused, _ := only[fetch.ValuesRefused](o)
		if !isLate(refused.Err, source.NoAnswer, valuesTime) {
			t.Errorf("refused = %+v, want no answer in %v", refused, valuesTime)
		}
		if o.Elapsed < patience || o.Elapsed > patience+time.Second {
			t.Errorf("gave up after %v, want %v", o.Elapsed, patience)
		}
		o.lists()
	})
}

// sends makes a server send its file's values in another order, by number; -1
// leaves a value empty.
func sends(from ...int) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		values := wire.NewValues(len(from))
		for i, n := range from {
			if n >= 0 {
				values.Set(i, m.Values.At(n))
			}
		}
		m.Values = values
	}
}

// replies sets the reply to a request for the values.
func replies(reply func(m *hostile.Server, st transport.Stream)) func(m *hostile.Server) {
	return func(m *hostile.Server) { m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { reply(m, st) } }
}

// badValues are values that are refused, or do not come.
var badValues = []struct {
	name  string
	bad   func(m *hostile.Server)
	state fetch.State
	kind  fetch.Kind
}{
	{"does not merge", sends(-1, -1, -1), fetch.StateWrong, fetch.KindIntegrity},
	{"two values swapped", sends(1, 0, 2), fetch.StateWrong, fetch.KindIntegrity},
	{"too short", replies(func(m *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusOK, m.Values.Bytes()[1:])
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"too long", replies(func(m *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusOK, append(bytes.Clone(m.Values.Bytes()), 0))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"far too long", replies(func(_ *hostile.Server, st transport.Stream) {
		st.Write(hostile.Header(wire.StatusOK, 1<<61))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"cut off", replies(func(m *hostile.Server, st transport.Stream) {
		st.Write(hostile.Header(wire.StatusOK, uint64(len(m.Values.Bytes()))))
		st.Write(m.Values.Bytes()[:50])
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"a frame for each", replies(func(m *hostile.Server, st transport.Stream) {
		for i := range m.Values.Len() {
			value := m.Values.At(i)
			hostile.Reply(st, wire.StatusOK, value[:])
		}
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"an empty frame ahead", replies(func(m *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusOK, nil)
		m.SendValues(st)
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"no reply", replies(func(*hostile.Server, transport.Stream) {}), fetch.StateWrong, fetch.KindIntegrity},
	{"indexing", replies(func(_ *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusIndexing, wire.Indexing{Done: 1, Total: 2}.Append(nil))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"a failed span", replies(func(_ *hostile.Server, st transport.Stream) {
		st.Write(wire.FailedSpan{Refusal: wire.Refusal{Status: wire.StatusBusy}}.Append(nil))
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"not found", replies(func(_ *hostile.Server, st transport.Stream) {
		hostile.Refuse(st, wire.StatusNotFound, 0, "")
	}), fetch.StateWrong, fetch.KindIntegrity},
	{"busy for 49 days", replies(func(_ *hostile.Server, st transport.Stream) {
		hostile.Refuse(st, wire.StatusBusy, longestWait, "")
	}), fetch.StateLost, fetch.KindNetwork},
	{"nothing", replies(func(_ *hostile.Server, st transport.Stream) { hostile.Reply(st, wire.StatusOK, nil) }), fetch.StateWrong, fetch.KindIntegrity},
	{"one chunk less", sends(0, 1), fetch.StateWrong, fetch.KindIntegrity},
	{"one chunk more", sends(0, 1, 2, -1), fetch.StateWrong, fetch.KindIntegrity},
	{"changed", replies(func(_ *hostile.Server, st transport.Stream) {
		hostile.Refuse(st, wire.StatusChanged, 0, "gone")
	}), fetch.StateChanged, fetch.KindChanged},
	{"reset", replies(func(_ *hostile.Server, st transport.Stream) {
		st.CancelWrite(uint64(wire.StreamInternal))
	}), fetch.StateLost, fetch.KindNetwork},
}

// Bad values are told, and their server is out. Another server's values are
// used.
func TestHostileValues(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	data := file(2*chunk+1, 1)
	for _, test := range badValues {
		start := func(w *world) *hostile.Server {
			return w.malicious(data, 1, func(m *hostile.Server) {
				withoutInline(m)
				test.bad(m)
			})
		}
		check := func(t *testing.T, o *outcome, m *hostile.Server) {
			t.Helper()
			if refused, _ := only[fetch.ValuesRefused](o); refused.Target != m.Target || refused.Err == nil {
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

// Values of several frames are cut into as few as possible. Whatever is cut in
// another way, or changed behind the first frame, is refused. Nothing is asked
// of the file then.
func TestHostileFramesOfValues(t *testing.T) {
	const chunks = wire.MaxFrameLen/wire.ValueLen + 3 // of 16 MiB: their values take two frames
	for _, test := range []struct {
		name string
		send func(m *hostile.Server, st transport.Stream, all []byte)
	}{
		{"the short frame ahead", func(_ *hostile.Server, st transport.Stream, all []byte) {
			hostile.Reply(st, wire.StatusOK, all[:96])
			hostile.Reply(st, wire.StatusOK, all[96:])
		}},
		{"two halves", func(_ *hostile.Server, st transport.Stream, all []byte) {
			hostile.Reply(st, wire.StatusOK, all[:len(all)/2])
			hostile.Reply(st, wire.StatusOK, all[len(all)/2:])
		}},
		{"one frame over the limit", func(_ *hostile.Server, st transport.Stream, all []byte) {
			st.Write(hostile.Frame(wire.StatusOK, all))
		}},
		{"without the last frame", func(_ *hostile.Server, st transport.Stream, all []byte) {
			hostile.SendBytes(st, all[:wire.MaxFrameLen])
		}},
		{"a last frame that is too short", func(_ *hostile.Server, st transport.Stream, all []byte) {
			hostile.SendBytes(st, all[:len(all)-wire.ValueLen])
		}},
		{"a last frame that is too long", func(_ *hostile.Server, st transport.Stream, all []byte) {
			hostile.SendBytes(st, append(bytes.Clone(all), make([]byte, wire.ValueLen)...))
		}},
		{"another last value", func(_ *hostile.Server, st transport.Stream, all []byte) {
			hostile.SendBytes(st, append(bytes.Clone(all[:len(all)-1]), 9))
		}},
		{"denied in the middle", func(_ *hostile.Server, st transport.Stream, all []byte) {
			hostile.SendBytes(st, all[:wire.MaxFrameLen])
			hostile.Refuse(st, wire.StatusDenied, 0, "")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) {
					sized(m, chunks*wire.LeastLongest)
					m.OnValues = func(st transport.Stream, _ wire.ValuesRequest) { test.send(m, st, m.Values.Bytes()) }
				})
				o := w.get(getConfig{Targets: []source.Target{m.Target}, SkipSpaceCheck: true})
				fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
				if refused, _ := only[fetch.ValuesRefused](o); refused.Target != m.Target || m.Ranges.Load() > 0 {
					t.Errorf("refused = %+v, and %d ranges were asked for", refused, m.Ranges.Load())
				}
				o.lists()
			})
		})
	}
}
