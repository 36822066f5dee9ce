package transfer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transport"
	"malcolm/wire"
)

// badOffer sends a changed copy of the server's offer.
func badOffer(change func(m *hostile.Server, o *wire.Offer)) func(m *hostile.Server, st transport.Stream) {
	return func(m *hostile.Server, st transport.Stream) {
		o := m.Offer
		change(m, &o)
		m.SendOffer(st, o)
	}
}

// raw sends bytes as they are.
func raw(b ...byte) func(m *hostile.Server, st transport.Stream) {
	return func(_ *hostile.Server, st transport.Stream) { st.Write(b) }
}

// badStats are replies to stat other than an offer.
var badStats = []struct {
	name    string
	stat    func(m *hostile.Server, st transport.Stream)
	refusal bool // it is told as what the server said, else as a broken protocol
}{
	{"nothing", raw(), false},
	{"half a header", raw(0), false},
	{"no varint", raw(0x40, 0, 5), false},
	{"empty offer", func(_ *hostile.Server, st transport.Stream) { hostile.Reply(st, wire.StatusOK, nil) }, false},
	{"offer without end", func(_ *hostile.Server, st transport.Stream) {
		st.Write(hostile.Header(wire.StatusOK, 1<<60))
	}, false},
	{"bytes behind the offer", func(m *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusOK, append(m.Offer.Append(nil), 0))
	}, false},
	{"more indexed than there is", func(_ *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusIndexing, wire.Indexing{Done: 2, Total: 1}.Append(nil))
	}, false},
	{"too large", badOffer(func(_ *hostile.Server, o *wire.Offer) { o.Size = wire.MaxFileSize + 1; o.ValuesLen = 0 }), false},
	{"length of the values", badOffer(func(_ *hostile.Server, o *wire.Offer) { o.ValuesLen++ }), false},
	{"values of no file", badOffer(func(m *hostile.Server, o *wire.Offer) { o.Size, o.Checksum = 0, checksum(nil) }), false},
	{"values of one chunk", badOffer(func(m *hostile.Server, o *wire.Offer) {
		m.Values = wire.NewValues(1)
		m.Values.Set(0, o.Checksum)
		o.Size, o.ValuesLen = chunk, 32
	}), false},
	{"values that do not merge", badOffer(func(m *hostile.Server, _ *wire.Offer) { m.Values = wire.NewValues(3) }), false},
	{"values that are refused", func(m *hostile.Server, st transport.Stream) {
		hostile.Reply(st, wire.StatusOK, m.Offer.Append(nil))
		hostile.Refuse(st, wire.StatusBusy, 0, "later")
	}, true},
	{"no bytes with another checksum", badOffer(func(_ *hostile.Server, o *wire.Offer) { o.Size, o.ValuesLen = 0, 0 }), false},
	{"unknown status", func(_ *hostile.Server, st transport.Stream) { hostile.Reply(st, 99, []byte("what")) }, true},
	{"busy", func(_ *hostile.Server, st transport.Stream) { hostile.Refuse(st, wire.StatusBusy, 0, "") }, true},
	{"refusal of no bytes", func(_ *hostile.Server, st transport.Stream) { hostile.Reply(st, wire.StatusBusy, nil) }, false},
	{"failed span", func(m *hostile.Server, st transport.Stream) { failsSpan(0, wire.StatusChanged)(m, st, nil) }, false},
	{"text without end", func(_ *hostile.Server, st transport.Stream) {
		st.Write(append(hostile.Header(wire.StatusBusy, wire.MaxTextLen+2), make([]byte, wire.MaxTextLen+2)...))
	}, false},
}

// A server that replies to stat with anything but an offer is named and out.
// The others decide.
func TestHostileOffers(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	data := file(2*chunk+1, 1)
	for _, test := range badStats {
		t.Run(test.name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 1, func(m *hostile.Server) {
					m.OnStat = func(st transport.Stream, _ int) { test.stat(m, st) }
				})
				o := w.get(getConfig{Targets: append(targetsOf(w.holders(data)...), m.Target)})
				o.has("data.bin", data)
				out, _ := only[fetch.NotReached](o)
				if isRefusal := as[*wire.Refusal](out.Err); out.Target != m.Target || isRefusal != test.refusal ||
					isRefusal == (source.WhatOf(out.Err) == source.Wrong) {
					t.Errorf("not reached = %+v %T, want the malicious one, refusal: %t", out, out.Err, test.refusal)
				}
				if r := o.report(m.Target); r.State != fetch.StateNotReached || r.Err == nil || r.ID != testIDs[1].ID() {
					t.Errorf("report = %+v, want not reached", r)
				}
			})
		})
	}
}

// The only server offers no bytes under any checksum. That makes no empty file,
// even if the user asked for that checksum.
func TestHostileEmptyFile(t *testing.T) {
	for _, asked := range []bool{false, true} {
		overBoth(t, func(t *testing.T, w *world) {
			m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) { m.Offer.Size, m.Offer.ValuesLen = 0, 0 })
			cfg := getConfig{Targets: []source.Target{m.Target}}
			if asked {
				cfg.Checksum = &m.Offer.Checksum
			}
			o := w.get(cfg)
			fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
			o.lists()
		})
	}
}

// When the user gives a checksum, one server's false size can win the vote. It
// cannot make a file of that size believed.
func TestHostileSizeOfAChecksum(t *testing.T) {
	data := file(3*chunk, 1)
	for _, size := range []int64{3*chunk - 1, 3*chunk + 1, chunk} {
		overBoth(t, func(t *testing.T, w *world) {
			m := w.malicious(data, 0, lies(size))
			want := checksum(data)
			o := w.get(getConfig{Targets: []source.Target{m.Target}, Checksum: &want})
			fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
			if r := o.report(m.Target); r.State != fetch.StateWrong {
				t.Errorf("report = %+v, want wrong", r)
			}
			if voted, _ := only[fetch.Voted](o); voted.Result.Groups[0].Size != size {
				t.Errorf("voted = %+v, want the false size", voted)
			}
		})
	}
}

// A server's text is shown in a harmless form.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		const text = "\x1b[2J\x1b[1mmalcolm: done\r\n\x00\xff"
		m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) {
			m.OnStat = func(st transport.Stream, _ int) { hostile.Refuse(st, wire.StatusBusy, 0, text) }
		})
		o := w.get(getConfig{Targets: []source.Target{m.Target}})
		fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
		var refusal *wire.Refusal
		if out, _ := only[fetch.NotReached](o); !errors.As(out.Err, &refusal) || refusal.Text != text {
			t.Errorf("not reached = %+v, want the refusal", out)
		}
		if got := o.err.Error(); strings.ContainsFunc(got, hidden) || !strings.Contains(got, `\x1b[2J`) {
			t.Errorf("error = %q, want the text quoted", got)
		}
	})
}

type rangeReply func(m *hostile.Server, st transport.Stream, spans []wire.Span)

// refusesRange replies to a request for a range with a status.
func refusesRange(s wire.Status) rangeReply {
	return func(_ *hostile.Server, st transport.Stream, _ []wire.Span) { hostile.Refuse(st, s, 0, "no") }
}

// failsSpan replies that a span of a number failed, with a status.
func failsSpan(index int, s wire.Status) rangeReply {
	return func(_ *hostile.Server, st transport.Stream, _ []wire.Span) {
		st.Write(wire.FailedSpan{Index: index, Refusal: wire.Refusal{Status: s, Text: "no"}}.Append(nil))
	}
}

// badRanges are replies to a request for a range that do not bring it.
var badRanges = []struct {
	name  string
	reply rangeReply
	state fetch.State
	kind  fetch.Kind // when it is the only server
}{
	{"fewer bytes", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		b := m.Bytes(spans)
		hostile.SendBytes(st, b[:len(b)-1])
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"half a frame", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		b := hostile.Frames(m.Bytes(spans))
		st.Write(b[:len(b)-1])
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"more bytes", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		hostile.SendBytes(st, append(slices.Clone(m.Bytes(spans)), 0))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"a frame more", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		m.SendRanges(st, spans)
		hostile.SendBytes(st, []byte{0})
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"bytes behind the frames", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		m.SendRanges(st, spans)
		st.Write([]byte{0})
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"an empty frame", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		hostile.Reply(st, wire.StatusOK, nil)
		m.SendRanges(st, spans)
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"a frame over the limit", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		st.Write(hostile.Frame(wire.StatusOK, m.Data[:wire.MaxFrameLen+1]))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"nothing", func(*hostile.Server, transport.Stream, []wire.Span) {}, fetch.StateWrong, fetch.KindIntegrity},
	{"no varint", func(m *hostile.Server, st transport.Stream, _ []wire.Span) { raw(0x40, 0)(m, st) }, fetch.StateWrong, fetch.KindIntegrity},
	{"indexing", func(_ *hostile.Server, st transport.Stream, _ []wire.Span) {
		hostile.Reply(st, wire.StatusIndexing, wire.Indexing{Done: 1, Total: 2}.Append(nil))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"malformed", refusesRange(wire.StatusMalformed), fetch.StateWrong, fetch.KindIntegrity},
	{"out of range", refusesRange(wire.StatusOutOfRange), fetch.StateWrong, fetch.KindIntegrity},
	{"unsupported", refusesRange(wire.StatusUnsupported), fetch.StateWrong, fetch.KindIntegrity},
	{"text without end", func(_ *hostile.Server, st transport.Stream, _ []wire.Span) {
		st.Write(hostile.Header(wire.StatusBusy, 1<<40))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"changed", refusesRange(wire.StatusChanged), fetch.StateChanged, fetch.KindChanged},
	{"reset: changed", func(_ *hostile.Server, st transport.Stream, _ []wire.Span) {
		st.CancelWrite(uint64(wire.StreamChanged))
	}, fetch.StateChanged, fetch.KindChanged},
	{"unknown status", refusesRange(99), fetch.StateLost, fetch.KindNetwork},
	{"busy", refusesRange(wire.StatusBusy), fetch.StateLost, fetch.KindNetwork},
	{"failed: changed", failsSpan(0, wire.StatusChanged), fetch.StateChanged, fetch.KindChanged},
	{"failed: stopping", failsSpan(0, wire.StatusStopping), fetch.StateLost, fetch.KindNetwork},
	{"failed: out of range", failsSpan(0, wire.StatusOutOfRange), fetch.StateWrong, fetch.KindIntegrity},
	{"failed: ok", failsSpan(0, wire.StatusOK), fetch.StateWrong, fetch.KindIntegrity},
	{"failed: within itself", failsSpan(0, wire.StatusFailedSpan), fetch.StateWrong, fetch.KindIntegrity},
	{"failed: another span", failsSpan(1, wire.StatusChanged), fetch.StateWrong, fetch.KindIntegrity},
	{"some bytes, then reset", func(m *hostile.Server, st transport.Stream, spans []wire.Span) {
		b := hostile.Frames(m.Bytes(spans))
		st.Write(b[:len(b)/2])
		time.Sleep(100 * time.Millisecond) // so that they arrive
		st.CancelWrite(uint64(wire.StreamInternal))
	}, fetch.StateLost, fetch.KindNetwork},
}

// A server that breaks the protocol in its reply to a range is out, and the
// others do its work.
func TestHostileRanges(t *testing.T) {
	t.Parallel()
	data := file(2*chunk+1, 1)
	for _, test := range badRanges {
		start := func(w *world) *hostile.Server {
			return w.malicious(data, 1, func(m *hostile.Server) {
				m.OnRanges = func(st transport.Stream, spans []wire.Span) { test.reply(m, st, spans) }
			})
		}
		t.Run(test.name, func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				m := start(w)
				honest := w.holders(data)[0]
				o := w.get(getConfig{Targets: append(targetsOf(honest), m.Target)})
				o.has("data.bin", data)
				if m.Ranges.Load() == 0 {
					t.Error("nothing was asked of the malicious server")
				}
				// What is behind may come after the run.
				late := strings.Contains(test.name, "more") || strings.Contains(test.name, "behind")
				if r := o.report(m.Target); test.state != fetch.StateLost && r.State != test.state && !(late && r.State == fetch.StateServing) {
					t.Errorf("report = %+v, want %s", r, test.state)
				}
				if r := o.report(honest.targets[0]); r.State != fetch.StateServing {
					t.Errorf("report of the honest one = %+v, want serving", r)
				}
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			overEither(t, func(t *testing.T, w *world) {
				m := start(w)
				o := w.get(getConfig{Targets: []source.Target{m.Target}})
				fails[*fetch.NoServerLeftError](o, test.kind)
				if lost, _ := only[fetch.Lost](o); lost.State != test.state || lost.Err == nil || lost.Left != 0 {
					t.Errorf("lost = %+v, want %s", lost, test.state)
				}
				none[fetch.ChunkRefused](o)
				if test.name == "a frame over the limit" && o.Fetched != 0 {
					t.Errorf("%d bytes were taken, want a refusal at the header", o.Fetched)
				}
			})
		})
	}
}

// A server that closes its connection is lost, and its reason is told.
func TestServerCloses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.malicious(file(3*chunk, 1), 0, func(m *hostile.Server) {
			var conn transport.Conn
			m.OnConn = func(c transport.Conn) { conn = c }
			m.OnRanges = func(transport.Stream, []wire.Span) {
				conn.Close(uint64(wire.CloseDone), "") // the stream does not end before it
			}
		})
		o := w.get(getConfig{Targets: []source.Target{m.Target}})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		var peer *transport.PeerError
		if lost, _ := only[fetch.Lost](o); !errors.As(lost.Err, &peer) || peer.Kind != transport.PeerClosed {
			t.Errorf("lost = %+v, want that the server closed the connection", lost)
		}
	})
}
