package transfer

import (
	"errors"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transport"
	"malcolm/wire"
)

// opens makes a server reply to open with what change makes of an honest reply.
func opens(change func(m *hostile.Server, o *wire.Opened)) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		m.OnOpen = func(st transport.Stream, _ wire.Open) bool {
			o := wire.Opened{Limits: m.Limits}
			change(m, &o)
			hostile.Reply(st, wire.StatusOK, o.Append(nil))
			return true
		}
	}
}

// tail makes a server reply to open with a tail.
func tail(t ...wire.Extra) func(m *hostile.Server) {
	return opens(func(_ *hostile.Server, o *wire.Opened) { o.Tail = t })
}

// says makes a server reply to open with bytes, and no more.
func says(b []byte) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		m.OnOpen = func(st transport.Stream, _ wire.Open) bool {
			st.Write(b)
			return false
		}
	}
}

// refusesOpen makes a server refuse open.
func refusesOpen(s wire.Status) func(m *hostile.Server) {
	return says((&wire.Refusal{Status: s, Text: "no"}).Append(nil))
}

// closesInOpen makes a server close each connection when it is to open it.
func closesInOpen(code wire.CloseCode) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		conns := make(chan transport.Conn, 100)
		m.OnConn = func(c transport.Conn) { conns <- c }
		m.OnOpen = func(transport.Stream, wire.Open) bool {
			(<-conns).Close(uint64(code), "no")
			return false
		}
	}
}

// badOpens are replies to open other than an honest one.
var badOpens = []struct {
	name    string
	prepare func(m *hostile.Server)
	what    source.What
	kind    fetch.Kind // when it is the only server
}{
	{"changed", refusesOpen(wire.StatusChanged), source.Wrong, fetch.KindNetwork},
	{"not found", refusesOpen(wire.StatusNotFound), source.Wrong, fetch.KindNetwork},
	{"out of range", refusesOpen(wire.StatusOutOfRange), source.Wrong, fetch.KindNetwork},
	{"unsupported", refusesOpen(wire.StatusUnsupported), source.Lost, fetch.KindNetwork},
	{"malformed", refusesOpen(wire.StatusMalformed), source.Lost, fetch.KindNetwork},
	{"denied", refusesOpen(wire.StatusDenied), source.Denied, fetch.KindIdentity},
	{"busy", refusesOpen(wire.StatusBusy), source.Full, fetch.KindNetwork},
	{"stopping", refusesOpen(wire.StatusStopping), source.Full, fetch.KindNetwork},
	{"unreadable", refusesOpen(wire.StatusUnreadable), source.Lost, fetch.KindNetwork},
	{"unknown status", refusesOpen(99), source.Lost, fetch.KindNetwork},
	{"a failed span", says(wire.FailedSpan{Refusal: wire.Refusal{Status: wire.StatusBusy}}.Append(nil)), source.Wrong, fetch.KindNetwork},
	{"indexing", says(hostile.Frame(wire.StatusIndexing, wire.Indexing{Done: 1, Total: 2}.Append(nil))), source.Wrong, fetch.KindNetwork},
	{"an offer", func(m *hostile.Server) { says(hostile.Frame(wire.StatusOK, m.Offer.Append(nil)))(m) }, source.Wrong, fetch.KindNetwork},
	{"no body", says(hostile.Frame(wire.StatusOK, nil)), source.Wrong, fetch.KindNetwork},
	{"half a body", says(hostile.Header(wire.StatusOK, 20)), source.Wrong, fetch.KindNetwork},
	{"a body without end", says(hostile.Header(wire.StatusOK, wire.MaxOpenedLen+1)), source.Wrong, fetch.KindNetwork},
	{"no reply", says(nil), source.Wrong, fetch.KindNetwork},
	{"silence", func(m *hostile.Server) {
		m.OnOpen = func(transport.Stream, wire.Open) bool { m.Wait(); return false }
	}, source.SlowAnswer, fetch.KindNetwork},
	{"silence behind it", func(m *hostile.Server) {
		m.OnStat = func(transport.Stream, int) { m.Wait() }
	}, source.SlowAnswer, fetch.KindNetwork},
	{"a byte a second", func(m *hostile.Server) {
		m.OnOpen = func(st transport.Stream, _ wire.Open) bool {
			byteASecond(st, hostile.Frame(wire.StatusOK, wire.Opened{Limits: m.Limits}.Append(nil)))
			return true
		}
	}, source.SlowAnswer, fetch.KindNetwork},
	{"reset", func(m *hostile.Server) {
		m.OnOpen = func(st transport.Stream, _ wire.Open) bool {
			st.CancelWrite(uint64(wire.StreamInternal))
			return false
		}
	}, source.Lost, fetch.KindNetwork},
	{"closed", closesInOpen(wire.CloseDone), source.Lost, fetch.KindNetwork},
	{"closed: denied", closesInOpen(wire.CloseDenied), source.Lost, fetch.KindNetwork},
	{"closed: limit", closesInOpen(wire.CloseLimit), source.Full, fetch.KindNetwork},
	{"closed: unknown code", closesInOpen(99), source.Lost, fetch.KindNetwork},
	{"no stream", opens(func(_ *hostile.Server, o *wire.Opened) { o.Limits.Streams = 0 }), source.Wrong, fetch.KindNetwork},
	{"requests shorter than a chunk", opens(func(_ *hostile.Server, o *wire.Opened) {
		o.Limits.Longest = wire.LeastLongest - 1
	}), source.Wrong, fetch.KindNetwork},
	{"fewer bytes under way than in a request", opens(func(_ *hostile.Server, o *wire.Opened) {
		o.Limits.Flight = o.Limits.Longest - 1
	}), source.Wrong, fetch.KindNetwork},
	{"an even type in the tail", tail(wire.Extra{Type: 2}), source.Wrong, fetch.KindNetwork},
	{"a tail in descending order", tail(wire.Extra{Type: 3}, wire.Extra{Type: 1}), source.Wrong, fetch.KindNetwork},
	{"a type twice in the tail", tail(wire.Extra{Type: 3}, wire.Extra{Type: 3}), source.Wrong, fetch.KindNetwork},
	{"many bytes in the tail", tail(wire.Extra{Type: 1, Data: make([]byte, 257)}), source.Wrong, fetch.KindNetwork},
}

// A server that replies to open with anything but the truth is named and out.
// The others decide, and wait little for it. Alone, it is why nobody answered.
func TestHostileOpens(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	data := file(2*chunk+1, 1)
	wantOut := func(t *testing.T, what source.What, err error) {
		t.Helper()
		if err == nil || source.WhatOf(err) != what {
			t.Errorf("error = %v (%d), want kind %d", err, source.WhatOf(err), what)
		}
	}
	for _, test := range badOpens {
		t.Run(test.name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 1, test.prepare)
				o := w.get(getConfig{Targets: append(targetsOf(w.holders(data, data)...), m.Target)})
				o.has("data.bin", data)
				if o.Elapsed > 2*time.Second {
					t.Errorf("took %v, want no waiting for it", o.Elapsed)
				}
				state := fetch.StateNotReached
				switch test.what {
				case source.Denied:
					state = fetch.StateRefused
				case source.Full:
					state = fetch.StateFull
				case source.SlowAnswer:
					state = fetch.StateConnecting // the others were faster
				}
				r := o.report(m.Target)
				if r.State != state || r.Bytes != 0 {
					t.Errorf("report = %+v, want %s", r, state)
				}
				if state != fetch.StateConnecting {
					wantOut(t, test.what, r.Err)
				}
				if n := m.Ranges.Load() + m.Lists.Load(); n > 0 {
					t.Errorf("%d requests on a connection that is not open", n)
				}
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 1, test.prepare)
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Patience: time.Minute})
				err := fails[*fetch.NobodyAnsweredError](o, test.kind)
				wantOut(t, test.what, err.Servers[0].Err)
				o.lists()
			})
		})
	}
}

// What a client does not know in a tail it passes over, if the type is odd.
func TestOpenedWithATail(t *testing.T) {
	data := file(2*chunk+1, 1)
	var full []wire.Extra
	for i := range uint64(16) {
		full = append(full, wire.Extra{Type: 2*i + 1, Data: make([]byte, 256)})
	}
	for name, extra := range map[string][]wire.Extra{"empty": nil, "the last type": {{Type: 1<<62 - 1, Data: []byte("x")}}, "full": full} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 0, tail(extra...))
				w.get(getConfig{Targets: []source.Target{m.Target}}).has("data.bin", data)
			})
		})
	}
}

// claims makes a server hold a token, and send the proof that make makes of it.
func claims(token certs.Token, proof func(token certs.Token, exporter []byte, o wire.Open) *[32]byte) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		m.OnOpen = func(st transport.Stream, o wire.Open) bool {
			exporter, err := certs.TokenExporter(st.TLS())
			if err != nil {
				return false
			}
			hostile.Reply(st, wire.StatusOK, wire.Opened{Limits: m.Limits, Proof: proof(token, exporter, o)}.Append(nil))
			return true
		}
	}
}

// A server that does not prove the token is out, whatever it offers: it sees no
// request for the file. With the right proof the file comes from it.
func TestHostileProofs(t *testing.T) {
	data, right := file(2*chunk+1, 1), tokenOf(t, rightToken)
	ours := func(token certs.Token, exporter []byte, _ wire.Open) *[32]byte {
		p := token.Proof(exporter, certs.ServerRole)
		return &p
	}
	for _, test := range []struct {
		name  string
		token string
		proof func(token certs.Token, exporter []byte, o wire.Open) *[32]byte
		good  bool
	}{
		{"right", rightToken, ours, true},
		{"none", rightToken, func(certs.Token, []byte, wire.Open) *[32]byte { return nil }, false},
		{"of another token", wrongToken, ours, false},
		{"the client's own", rightToken, func(_ certs.Token, _ []byte, o wire.Open) *[32]byte { return o.Proof }, false},
		{"one bit wrong", rightToken, func(token certs.Token, exporter []byte, o wire.Open) *[32]byte {
			p := ours(token, exporter, o)
			p[31] ^= 1
			return p
		}, false},
		{"of another connection", rightToken, func(token certs.Token, exporter []byte, o wire.Open) *[32]byte {
			return ours(token, make([]byte, len(exporter)), o)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 0, claims(tokenOf(t, test.token), test.proof))
				o := w.get(getConfig{Targets: []source.Target{m.Target}, Trust: malcolm.Trust{Token: right}})
				if test.good {
					o.has("data.bin", data)
					return
				}
				err := fails[*fetch.NobodyAnsweredError](o, fetch.KindIdentity)
				if denied, ok := errors.AsType[*malcolm.DeniedError](err.Servers[0].Err); !ok || denied.Ours || !denied.Had {
					t.Errorf("error = %v, want that the server does not hold the token", err.Servers[0].Err)
				}
				if n := m.Ranges.Load() + m.Lists.Load(); n > 0 || m.Opens.Load() != 1 {
					t.Errorf("%d opens, and %d requests behind them, want no second try", m.Opens.Load(), n)
				}
			})
		})
	}
}
