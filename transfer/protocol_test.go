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

// badHellos are replies to hello other than an offer.
var badHellos = []struct {
	name    string
	hello   func(m *hostile.Server, st transport.Stream)
	refusal bool // it is told as what the server said, else as a broken protocol
}{
	{"nothing", raw(), false},
	{"half a header", raw(0), false},
	{"no varint", raw(0x40, 0, 5), false},
	{"empty offer", func(_ *hostile.Server, st transport.Stream) { hostile.Reply(st, wire.StatusOK, nil) }, false},
	{"offer without end", func(_ *hostile.Server, st transport.Stream) {
		st.Write(wire.Header{Status: wire.StatusOK, Length: 1 << 60}.Append(nil))
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
		st.Write(wire.AppendRefusal(nil, wire.StatusBusy, "later"))
	}, true},
	{"no bytes with another checksum", badOffer(func(_ *hostile.Server, o *wire.Offer) { o.Size, o.ValuesLen = 0, 0 }), false},
	{"unknown status", func(_ *hostile.Server, st transport.Stream) { hostile.Reply(st, 99, []byte("what")) }, true},
	{"busy", func(_ *hostile.Server, st transport.Stream) { hostile.Reply(st, wire.StatusBusy, nil) }, true},
	{"text without end", func(_ *hostile.Server, st transport.Stream) {
		st.Write(wire.Header{Status: wire.StatusBusy, Length: wire.MaxTextLen + 1}.Append(nil))
	}, false},
}

// A server that replies to hello with anything but an offer is named and out.
// The others decide.
func TestHostileOffers(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range badHellos {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := w.malicious(data, 1, func(m *hostile.Server) {
					m.OnHello = func(st transport.Stream, _ int) { test.hello(m, st) }
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
		bubble(t, func(t *testing.T, w *world) {
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
		bubble(t, func(t *testing.T, w *world) {
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
	bubble(t, func(t *testing.T, w *world) {
		const text = "\x1b[2J\x1b[1mmalcolm: done\r\n\x00\xff"
		m := w.malicious(file(chunk, 1), 0, func(m *hostile.Server) {
			m.OnHello = func(st transport.Stream, _ int) { st.Write(wire.AppendRefusal(nil, wire.StatusBusy, text)) }
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

type rangeReply func(m *hostile.Server, st transport.Stream, r wire.RangeRequest)

// refusesRange replies to a request for a range with a status.
func refusesRange(s wire.Status) rangeReply {
	return func(_ *hostile.Server, st transport.Stream, _ wire.RangeRequest) {
		st.Write(wire.AppendRefusal(nil, s, "no"))
	}
}

// badRanges are replies to a request for a range that do not bring it.
var badRanges = []struct {
	name  string
	reply rangeReply
	state fetch.State
	kind  fetch.Kind // when it is the only server
}{
	{"fewer bytes", func(m *hostile.Server, st transport.Stream, r wire.RangeRequest) {
		st.Write(wire.Header{Length: uint64(r.Length)}.Append(nil))
		st.Write(m.Data[r.Offset : r.Offset+r.Length-1])
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"more bytes", func(m *hostile.Server, st transport.Stream, r wire.RangeRequest) {
		st.Write(wire.Header{Length: uint64(r.Length)}.Append(nil))
		st.Write(append(slices.Clone(m.Data[r.Offset:r.Offset+r.Length]), 0))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"a shorter length", func(m *hostile.Server, st transport.Stream, r wire.RangeRequest) {
		hostile.Reply(st, wire.StatusOK, m.Data[r.Offset:r.Offset+r.Length-1])
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"a longer length", func(m *hostile.Server, st transport.Stream, r wire.RangeRequest) {
		hostile.Reply(st, wire.StatusOK, append(slices.Clone(m.Data[r.Offset:r.Offset+r.Length]), 0))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"nothing", func(*hostile.Server, transport.Stream, wire.RangeRequest) {}, fetch.StateWrong, fetch.KindIntegrity},
	{"no varint", func(m *hostile.Server, st transport.Stream, _ wire.RangeRequest) { raw(0x40, 0)(m, st) }, fetch.StateWrong, fetch.KindIntegrity},
	{"indexing", func(_ *hostile.Server, st transport.Stream, _ wire.RangeRequest) {
		hostile.Reply(st, wire.StatusIndexing, wire.Indexing{Done: 1, Total: 2}.Append(nil))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"malformed", refusesRange(wire.StatusMalformed), fetch.StateWrong, fetch.KindIntegrity},
	{"out of range", refusesRange(wire.StatusOutOfRange), fetch.StateWrong, fetch.KindIntegrity},
	{"unsupported", refusesRange(wire.StatusUnsupported), fetch.StateWrong, fetch.KindIntegrity},
	{"text without end", func(_ *hostile.Server, st transport.Stream, _ wire.RangeRequest) {
		st.Write(wire.Header{Status: wire.StatusBusy, Length: 1 << 40}.Append(nil))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"changed", refusesRange(wire.StatusChanged), fetch.StateChanged, fetch.KindChanged},
	{"reset: changed", func(_ *hostile.Server, st transport.Stream, _ wire.RangeRequest) {
		st.CancelWrite(uint64(wire.StreamChanged))
	}, fetch.StateChanged, fetch.KindChanged},
	{"unknown status", refusesRange(99), fetch.StateLost, fetch.KindNetwork},
	{"busy", refusesRange(wire.StatusBusy), fetch.StateLost, fetch.KindNetwork},
	{"some bytes, then reset", func(m *hostile.Server, st transport.Stream, r wire.RangeRequest) {
		st.Write(wire.Header{Length: uint64(r.Length)}.Append(nil))
		st.Write(m.Data[r.Offset : r.Offset+r.Length/2])
		time.Sleep(100 * time.Millisecond) // so that they arrive
		st.CancelWrite(uint64(wire.StreamInternal))
	}, fetch.StateLost, fetch.KindNetwork},
}

// A server that breaks the protocol in its reply to a range is out, and the
// others do its work.
func TestHostileRanges(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range badRanges {
		start := func(w *world) *hostile.Server {
			return w.malicious(data, 1, func(m *hostile.Server) {
				m.OnRange = func(st transport.Stream, r wire.RangeRequest) { test.reply(m, st, r) }
			})
		}
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := start(w)
				honest := w.holders(data)[0]
				o := w.get(getConfig{Targets: append(targetsOf(honest), m.Target)})
				o.has("data.bin", data)
				if m.Ranges.Load() == 0 {
					t.Error("nothing was asked of the malicious server")
				}
				if r := o.report(m.Target); test.state != fetch.StateLost && r.State != test.state {
					t.Errorf("report = %+v, want %s", r, test.state)
				}
				if r := o.report(honest.targets[0]); r.State != fetch.StateServing {
					t.Errorf("report of the honest one = %+v, want serving", r)
				}
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := start(w)
				o := w.get(getConfig{Targets: []source.Target{m.Target}})
				fails[*fetch.NoServerLeftError](o, test.kind)
				if lost, _ := only[fetch.Lost](o); lost.State != test.state || lost.Err == nil || lost.Left != 0 {
					t.Errorf("lost = %+v, want %s", lost, test.state)
				}
				none[fetch.ChunkRefused](o)
				if strings.HasSuffix(test.name, "length") && o.Fetched != 0 {
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
			m.OnRange = func(transport.Stream, wire.RangeRequest) {
				go m.Stop()
				time.Sleep(time.Second) // the stream does not end before the connection
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
