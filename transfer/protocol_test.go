package transfer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/source"

	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// badOffer sends an offer that is not quite the server's.
func badOffer(change func(e *evil, o *wire.Offer)) func(e *evil, st *transport.Stream) {
	return func(e *evil, st *transport.Stream) {
		o := e.offer
		change(e, &o)
		e.sendOffer(st, o)
	}
}

// raw sends bytes as they are.
func raw(b ...byte) func(e *evil, st *transport.Stream) {
	return func(_ *evil, st *transport.Stream) { st.Write(b) }
}

// badHellos are replies to hello that are no offer.
var badHellos = []struct {
	name    string
	hello   func(e *evil, st *transport.Stream)
	refusal bool // it is told as what the server said, else as a broken protocol
}{
	{"nothing", raw(), false},
	{"half a header", raw(0), false},
	{"no varint", raw(0x40, 0, 5), false},
	{"empty offer", func(_ *evil, st *transport.Stream) { frame(st, wire.StatusOK, nil) }, false},
	{"offer without end", func(_ *evil, st *transport.Stream) {
		st.Write(wire.Header{Status: wire.StatusOK, Length: 1 << 60}.Append(nil))
	}, false},
	{"bytes behind the offer", func(e *evil, st *transport.Stream) { frame(st, wire.StatusOK, append(e.offer.Append(nil), 0)) }, false},
	{"more indexed than there is", func(_ *evil, st *transport.Stream) {
		frame(st, wire.StatusIndexing, wire.Indexing{Done: 2, Total: 1}.Append(nil))
	}, false},
	{"too large", badOffer(func(_ *evil, o *wire.Offer) { o.Size = wire.MaxFileSize + 1; o.ManifestLen = 0 }), false},
	{"length of the manifest", badOffer(func(_ *evil, o *wire.Offer) { o.ManifestLen++ }), false},
	{"manifest that does not merge", badOffer(func(e *evil, o *wire.Offer) {
		e.manifest = wire.NewManifest(e.offer.Size, chunk, 3)
		o.Digest = manifest.Digest(e.manifest)
	}), false},
	{"manifest of another size", badOffer(func(e *evil, o *wire.Offer) {
		m := wire.NewManifest(e.offer.Size-1, chunk, 3)
		for i := range 3 {
			m.SetChunk(i, e.manifest.Value(i), e.manifest.XXH3(i))
		}
		e.manifest = m
		o.Digest = manifest.Digest(m)
	}), false},
	{"digest", badOffer(func(_ *evil, o *wire.Offer) { o.Digest[3] ^= 1 }), false},
	{"manifest that is refused", func(e *evil, st *transport.Stream) {
		frame(st, wire.StatusOK, e.offer.Append(nil))
		st.Write(wire.AppendRefusal(nil, wire.StatusBusy, "later"))
	}, true},
	{"no bytes with another checksum", badOffer(func(_ *evil, o *wire.Offer) { o.Size, o.ManifestLen = 0, 0 }), false},
	{"unknown status", func(_ *evil, st *transport.Stream) { frame(st, 99, []byte("what")) }, true},
	{"busy", func(_ *evil, st *transport.Stream) { frame(st, wire.StatusBusy, nil) }, true},
	{"text without end", func(_ *evil, st *transport.Stream) {
		st.Write(wire.Header{Status: wire.StatusBusy, Length: wire.MaxTextLen + 1}.Append(nil))
	}, false},
}

// Whatever a server replies to hello that is no offer, it is named and out,
// and does not keep the others from deciding.
func TestHostileOffers(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range badHellos {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e := w.evil(data, 1, func(e *evil) {
					e.onHello = func(st *transport.Stream, _ int) { test.hello(e, st) }
				})
				o := w.get(getConfig{Targets: append(targetsOf(w.holders(data)...), e.target)})
				o.has("data.bin", data)
				out, _ := only[fetch.NotReached](o)
				if isRefusal := as[*wire.Refusal](out.Err); out.Target != e.target || isRefusal != test.refusal ||
					isRefusal == (source.WhatOf(out.Err) == source.Wrong) {
					t.Errorf("not reached = %+v %T, want the evil one, refusal: %t", out, out.Err, test.refusal)
				}
				if r := o.report(e.target); r.State != fetch.StateNotReached || r.Err == nil || r.ID != testIDs[1].ID() {
					t.Errorf("report = %+v, want not reached", r)
				}
			})
		})
	}
}

// A server alone that offers no bytes under any checksum must not make an
// empty file of that checksum, whoever asked for it.
func TestHostileEmptyFile(t *testing.T) {
	for _, asked := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			e := w.evil(file(chunk, 1), 0, func(e *evil) { e.offer.Size, e.offer.ManifestLen = 0, 0 })
			cfg := getConfig{Targets: []source.Target{e.target}}
			if asked {
				cfg.Checksum = &e.offer.Checksum
			}
			o := w.get(cfg)
			fails[*fetch.NobodyAnsweredError](o, fetch.KindNetwork)
			o.lists()
		})
	}
}

// With a checksum asked for, one server's false size can win the vote; what it
// cannot do is to have a file of that size believed.
func TestHostileSizeOfAChecksum(t *testing.T) {
	data := file(3*chunk, 1)
	for _, size := range []int64{3*chunk - 1, 3*chunk + 1, chunk} {
		bubble(t, func(t *testing.T, w *world) {
			e := w.evil(data, 0, func(e *evil) {
				e.offer.Size, e.offer.ManifestLen = size, 0
				m := wire.NewManifest(size, chunk, manifest.Count(size))
				for i := range min(m.Len(), e.manifest.Len()) {
					m.SetChunk(i, e.manifest.Value(i), e.manifest.XXH3(i))
				}
				e.manifest = m
				e.offer.Digest = manifest.Digest(m)
				e.data = append(slices.Clone(data), 0)
			})
			want := checksum(data)
			o := w.get(getConfig{Targets: []source.Target{e.target}, Checksum: &want})
			fails[*fetch.NoServerLeftError](o, fetch.KindIntegrity)
			if r := o.report(e.target); r.State != fetch.StateWrong {
				t.Errorf("report = %+v, want wrong", r)
			}
			if voted, _ := only[fetch.Voted](o); voted.Result.Groups[0].Size != size {
				t.Errorf("voted = %+v, want the false size", voted)
			}
		})
	}
}

// A text from a server is shown in a form that does no harm.
func TestHostileTexts(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const text = "\x1b[2J\x1b[1mmalcolm: done\r\n\x00\xff"
		e := w.evil(file(chunk, 1), 0, func(e *evil) {
			e.onHello = func(st *transport.Stream, _ int) { st.Write(wire.AppendRefusal(nil, wire.StatusBusy, text)) }
		})
		o := w.get(getConfig{Targets: []source.Target{e.target}})
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

type rangeReply func(e *evil, st *transport.Stream, r wire.RangeRequest)

// refusesRange replies to a request for a range with a status.
func refusesRange(s wire.Status) rangeReply {
	return func(_ *evil, st *transport.Stream, _ wire.RangeRequest) { st.Write(wire.AppendRefusal(nil, s, "no")) }
}

// badRanges are replies to a request for a range that do not bring it.
var badRanges = []struct {
	name  string
	reply rangeReply
	state fetch.State
	kind  fetch.Kind // when it is the only server
}{
	{"fewer bytes", func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		st.Write(wire.Header{Length: uint64(r.Length)}.Append(nil))
		st.Write(e.data[r.Offset : r.Offset+r.Length-1])
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"more bytes", func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		st.Write(wire.Header{Length: uint64(r.Length)}.Append(nil))
		st.Write(append(slices.Clone(e.data[r.Offset:r.Offset+r.Length]), 0))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"a shorter length", func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		frame(st, wire.StatusOK, e.data[r.Offset:r.Offset+r.Length-1])
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"a longer length", func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		frame(st, wire.StatusOK, append(slices.Clone(e.data[r.Offset:r.Offset+r.Length]), 0))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"nothing", func(*evil, *transport.Stream, wire.RangeRequest) {}, fetch.StateWrong, fetch.KindIntegrity},
	{"no varint", func(e *evil, st *transport.Stream, _ wire.RangeRequest) { raw(0x40, 0)(e, st) }, fetch.StateWrong, fetch.KindIntegrity},
	{"indexing", func(_ *evil, st *transport.Stream, _ wire.RangeRequest) {
		frame(st, wire.StatusIndexing, wire.Indexing{Done: 1, Total: 2}.Append(nil))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"malformed", refusesRange(wire.StatusMalformed), fetch.StateWrong, fetch.KindIntegrity},
	{"out of range", refusesRange(wire.StatusOutOfRange), fetch.StateWrong, fetch.KindIntegrity},
	{"unsupported", refusesRange(wire.StatusUnsupported), fetch.StateWrong, fetch.KindIntegrity},
	{"text without end", func(_ *evil, st *transport.Stream, _ wire.RangeRequest) {
		st.Write(wire.Header{Status: wire.StatusBusy, Length: 1 << 40}.Append(nil))
	}, fetch.StateWrong, fetch.KindIntegrity},
	{"changed", refusesRange(wire.StatusChanged), fetch.StateChanged, fetch.KindChanged},
	{"reset: changed", func(_ *evil, st *transport.Stream, _ wire.RangeRequest) {
		st.CancelWrite(uint64(wire.StreamChanged))
	}, fetch.StateChanged, fetch.KindChanged},
	{"unknown status", refusesRange(99), fetch.StateLost, fetch.KindNetwork},
	{"busy", refusesRange(wire.StatusBusy), fetch.StateLost, fetch.KindNetwork},
	{"some bytes, then reset", func(e *evil, st *transport.Stream, r wire.RangeRequest) {
		st.Write(wire.Header{Length: uint64(r.Length)}.Append(nil))
		st.Write(e.data[r.Offset : r.Offset+r.Length/2])
		time.Sleep(100 * time.Millisecond) // so that they arrive
		st.CancelWrite(uint64(wire.StreamInternal))
	}, fetch.StateLost, fetch.KindNetwork},
}

// What a server may not reply to a request for a range puts it out; the others
// do its work.
func TestHostileRanges(t *testing.T) {
	data := file(2*chunk+1, 1)
	for _, test := range badRanges {
		start := func(w *world) *evil {
			return w.evil(data, 1, func(e *evil) {
				e.onRange = func(st *transport.Stream, r wire.RangeRequest) { test.reply(e, st, r) }
			})
		}
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e := start(w)
				honest := w.holders(data)[0]
				o := w.get(getConfig{Targets: append(targetsOf(honest), e.target)})
				o.has("data.bin", data)
				if e.ranges.Load() == 0 {
					t.Error("nothing was asked of the evil server")
				}
				if r := o.report(e.target); test.state != fetch.StateLost && r.State != test.state {
					t.Errorf("report = %+v, want %s", r, test.state)
				}
				if r := o.report(honest.targets[0]); r.State != fetch.StateServing {
					t.Errorf("report of the honest one = %+v, want serving", r)
				}
			})
		})
		t.Run(test.name+", alone", func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e := start(w)
				o := w.get(getConfig{Targets: []source.Target{e.target}})
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

// A connection that the server closes is lost, with what it said.
func TestServerCloses(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := w.evil(file(3*chunk, 1), 0, func(e *evil) {
			e.onRange = func(*transport.Stream, wire.RangeRequest) {
				e.cancel()
				time.Sleep(time.Second) // the stream does not end before the connection
			}
		})
		o := w.get(getConfig{Targets: []source.Target{e.target}})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		var peer *transport.PeerError
		if lost, _ := only[fetch.Lost](o); !errors.As(lost.Err, &peer) || peer.Kind != transport.PeerClosed {
			t.Errorf("lost = %+v, want that the server closed the connection", lost)
		}
	})
}
