package malcolm

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// offer is a frame with an offer.
func offer(o wire.Offer) []byte { return frame(o.Append(nil)) }

// offers makes the server answer every stat with an offer.
func (s *sim) offers(o wire.Offer, behind ...byte) {
	next := s.answer
	s.answer = func(st transport.Stream, req wire.Request) {
		if _, ok := req.(wire.StatRequest); ok {
			st.Write(append(offer(o), behind...))
			return
		}
		next(st, req)
	}
}

// aFile is an offer of a file of 40 MiB.
func aFile() wire.Offer {
	return wire.Offer{Size: 40 << 20, ModTime: time.Unix(1e9, 0), Checksum: sumA, Name: "data.bin", Tail: wire.Idle()}
}

// Each connection of a run begins with an open, which the first request follows
// on the same stream: a stat, or on a further connection a range at once.
func TestOpen(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.offers(aFile())
		src := s.source(Trust{})
		begun := time.Now()
		c, err := src.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		connected := time.Since(begun)
		o, err := c.Stat(t.Context(), source.Ask{Values: true}, nil)
		if err != nil || o.Size != 40<<20 || o.Name != "data.bin" {
			t.Fatalf("%+v, %v", o, err)
		}
		if trip := time.Since(begun) - connected; trip > 25*time.Millisecond {
			t.Errorf("the offer took %v, want a round trip", trip)
		}
		more, err := c.Again(t.Context(), source.More)
		if err != nil {
			t.Fatal(err)
		}
		defer more.Close()
		if p := more.Peer(); p.ID != s.id.ID() || p.Transport.String() != "quic" {
			t.Errorf("peer %+v, want the server over quic", p)
		}
		b, err := more.Range(t.Context(), []source.Span{part(sumA, 5, 20<<20)})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content(5, 20<<20)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if len(s.opens) != 2 || s.opens[0].Run != s.opens[1].Run || s.opens[0].Run == [16]byte{} || s.opens[0].Proof != nil {
			t.Errorf("opens %+v, want two of one run", s.opens)
		}
		for _, o := range s.opens {
			if len(o.Tail) != 1 || o.Tail[0].Type%2 == 0 {
				t.Errorf("tail %+v, want an odd type", o.Tail)
			}
		}
		if len(s.asked) != 3 || requestBytes(s.asked[1]) != wire.LeastLongest || requestBytes(s.asked[2]) != 4<<20 {
			t.Errorf("asked %d requests, want a stat and a range in two", len(s.asked))
		}
		other := s.connect(Trust{})
		defer other.Close()
		if _, err := other.Stat(t.Context(), source.Ask{}, nil); err != nil || s.opens[2].Run == s.opens[0].Run {
			t.Errorf("%v, run %x of another client, want a number of its own", err, s.opens[2].Run)
		}
	})
}

func token(t *testing.T, text string) certs.Token {
	tok, err := certs.ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// With a token both sides prove that they have it. A server that does not is
// refused, whatever it offers.
func TestOpenWithAToken(t *testing.T) {
	ours, other := token(t, "a token of the user's, shared"), token(t, "another token, of nobody's")
	for _, test := range []struct {
		name  string
		proof func(exporter []byte) *[32]byte
		want  string
	}{
		{"right", func(e []byte) *[32]byte { p := ours.Proof(e, certs.ServerRole); return &p }, ""},
		{"none", func([]byte) *[32]byte { return nil }, "the server does not hold the token"},
		{"of another token", func(e []byte) *[32]byte { p := other.Proof(e, certs.ServerRole); return &p }, "the server does not hold the token"},
		{"the client's", func(e []byte) *[32]byte { p := ours.Proof(e, certs.ClientRole); return &p }, "the server does not hold the token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, s *sim) {
				s.offers(aFile())
				s.open = func(cs tls.ConnectionState, o wire.Open) []byte {
					exporter, err := certs.TokenExporter(cs)
					if err != nil || o.Key != ours.KeyName() || !ours.Verify(exporter, certs.ClientRole, o.Proof) {
						t.Errorf("open %+v, %v; want the token's proof", o, err)
					}
					return opened(wire.Opened{Limits: leastLimits, Proof: test.proof(exporter)})
				}
				c := s.connect(Trust{Token: ours})
				defer c.Close()
				_, err := c.Stat(t.Context(), source.Ask{}, nil)
				if test.want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if e, ok := errors.AsType[*DeniedError](err); !ok || e.Ours || !e.Had || err.Error() != test.want || source.WhatOf(err) != source.Denied {
					t.Errorf("error %v, want %q", err, test.want)
				}
			})
		})
	}
}

// A server that does not accept an open is told as what it says, in words.
func TestOpenIsRefused(t *testing.T) {
	refuse := func(s wire.Status, wait time.Duration) []byte {
		return (&wire.Refusal{Status: s, Wait: wait, Text: "no\x1b"}).Append(nil)
	}
	small := leastLimits
	small.Longest--
	for _, test := range []struct {
		name  string
		reply []byte
		token string
		what  source.What
		words string // empty: a broken protocol's
		wait  time.Duration
	}{
		{"denied without a token", refuse(wire.StatusDenied, 0), "", source.Denied, "the server asks for a token", 0},
		{"denied with a token", refuse(wire.StatusDenied, 0), "a token that is not right", source.Denied, "the server refuses the token", 0},
		{"busy", refuse(wire.StatusBusy, time.Minute), "", source.Full, `refused: busy: "no\x1b"`, time.Minute},
		{"stopping", refuse(wire.StatusStopping, 1234*time.Millisecond), "", source.Full, "the server is stopping", 1234 * time.Millisecond},
		{"malformed", refuse(wire.StatusMalformed, 0), "", source.Lost, wordsOfUs, 0},
		{"unknown", refuse(77, 0), "", source.Lost, `refused: status 77: "no\x1b"`, 0},
		{"changed", refuse(wire.StatusChanged, 0), "", source.Wrong, "", 0},
		{"not found", refuse(wire.StatusNotFound, 0), "", source.Wrong, "", 0},
		{"indexing", append(wire.Header{Status: wire.StatusIndexing, Length: 2}.Append(nil), 0, 0), "", source.Wrong, "", 0},
		{"an offer", offer(aFile()), "", source.Wrong, "", 0},
		{"limits too small", opened(wire.Opened{Limits: small}), "", source.Wrong, "", 0},
		{"a long reply", wire.Header{Length: wire.MaxOpenedLen + 1}.Append(nil), "", source.Wrong, "", 0},
		{"nothing", nil, "", source.SlowAnswer, "no complete answer in 5s", 0},
		{"half a frame", opened(wire.Opened{Limits: leastLimits})[:3], "", source.SlowAnswer, "no complete answer in 5s", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, s *sim) {
				s.open = func(tls.ConnectionState, wire.Open) []byte { return test.reply }
				s.answer = func(st transport.Stream, _ wire.Request) {
					if test.name == "half a frame" {
						time.Sleep(time.Minute)
					}
				}
				var trust Trust
				if test.token != "" {
					trust.Token = token(t, test.token)
				}
				c := s.connect(trust)
				defer c.Close()
				_, err := c.Stat(t.Context(), source.Ask{}, nil)
				f, ok := errors.AsType[*source.Fault](err)
				if !ok || f.What != test.what || f.Wait != test.wait || test.words != "" && f.Words != test.words {
					t.Errorf("%v %+v, want %d %q after %v", err, f, test.what, test.words, test.wait)
				}
				if e, ok := errors.AsType[*DeniedError](err); ok && (!e.Ours || e.Had != (test.token != "") || e.Text != "no\x1b") {
					t.Errorf("%+v, want our proof refused", e)
				}
			})
		})
	}
}

// manyValues are those of a file of a size, and an offer of it.
func manyValues(size int64) (wire.Values, wire.Offer) {
	v := wire.NewValues(manifest.Count(size))
	for i := range v.Len() {
		v.Set(i, [32]byte{byte(i), byte(i >> 8), 3})
	}
	o := aFile()
	o.Size, o.Checksum = size, manifest.Checksum(v)
	return v, o
}

// All values are asked for at once, and those of a file of one chunk not at
// all.
func TestValues(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		want, o := manyValues(10000 * manifest.MaxChunkSize) // in three frames
		s.offers(o)
		next := s.answer
		s.answer = func(st transport.Stream, req wire.Request) {
			if r, ok := req.(wire.ValuesRequest); ok {
				st.Write(want.AppendFrames(nil, r.First, r.Count))
				return
			}
			next(st, req)
		}
		c := s.connect(Trust{})
		defer c.Close()
		got, err := c.Stat(t.Context(), source.Ask{Values: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		arrived := 0
		v, err := c.Values(t.Context(), got, func(n int) { arrived += n })
		if err != nil || !bytes.Equal(v.Bytes(), want.Bytes()) || arrived < len(want.Bytes()) {
			t.Errorf("%d values, %d bytes arrived, %v", v.Len(), arrived, err)
		}
		if len(s.asked) != 2 || s.asked[1] != (wire.ValuesRequest{Checksum: o.Checksum, Count: 10000}) {
			t.Errorf("asked %+v, want all at once", s.asked[1:])
		}
		for _, size := range []int64{0, 1, manifest.MinChunkSize} {
			one := source.Offer{Offer: wire.Offer{Size: size, Checksum: sumB}}
			v, err := c.Values(t.Context(), one, func(int) {})
			if err != nil || v.Len() != manifest.Count(size) || size > 0 && v.At(0) != sumB {
				t.Errorf("size %d: %d values, %v", size, v.Len(), err)
			}
		}
		if len(s.asked) != 2 {
			t.Errorf("asked %+v, want nothing for files of one chunk", s.asked[2:])
		}
	})
}

// What a server says to a stat is taken only if it is right.
func TestStatReplies(t *testing.T) {
	v, whole := manyValues(2000 * manifest.MinChunkSize)
	change := func(f func(o *wire.Offer)) wire.Offer {
		o := whole
		f(&o)
		return o
	}
	values := v.AppendFrames(nil, 0, 2000)
	for _, test := range []struct {
		name   string
		reply  []byte
		asked  bool // for values
		values int
		what   source.What
		words  string // empty: no error, or a broken protocol's
	}{
		{name: "an offer", reply: offer(whole), what: 99},
		{name: "with values", reply: append(offer(change(func(o *wire.Offer) { o.ValuesLen = 64000 })), values...), asked: true, values: 2000, what: 99},
		{name: "with values that nobody asked for", reply: append(offer(change(func(o *wire.Offer) { o.ValuesLen = 64000 })), values...), what: source.Wrong},
		{name: "with too few values", reply: append(offer(change(func(o *wire.Offer) { o.ValuesLen = 32 * 1999 })), values...), asked: true, what: source.Wrong},
		{name: "with other values", reply: append(offer(change(func(o *wire.Offer) { o.ValuesLen, o.Checksum = 64000, sumA })), values...), asked: true, what: source.Wrong},
		{name: "with values of one chunk", reply: append(offer(change(func(o *wire.Offer) { o.Size, o.ValuesLen, o.Checksum = 5, 32, sumA })), frame(sumA[:])...), asked: true, what: source.Wrong},
		{name: "values that are refused", reply: (&wire.Refusal{Status: wire.StatusBusy, Wait: time.Second}).Append(offer(change(func(o *wire.Offer) { o.ValuesLen = 64000 }))), asked: true, what: source.Full, words: "refused: busy"},
		{name: "values refused as denied", reply: (&wire.Refusal{Status: wire.StatusDenied}).Append(offer(change(func(o *wire.Offer) { o.ValuesLen = 64000 }))), asked: true, what: source.Wrong},
		{name: "an empty file of another checksum", reply: offer(change(func(o *wire.Offer) { o.Size = 0 })), what: source.Wrong},
		{name: "a tree", reply: offer(change(func(o *wire.Offer) { o.Kind, o.Size = wire.KindTree, wire.MaxListingLen })), what: 99},
		{name: "a tree with too large a listing", reply: offer(change(func(o *wire.Offer) { o.Kind, o.Size = wire.KindTree, wire.MaxListingLen+1 })), what: source.Wrong},
		{name: "not found", reply: (&wire.Refusal{Status: wire.StatusNotFound}).Append(nil), what: source.Lost, words: "refused: not found"},
		{name: "unreadable", reply: (&wire.Refusal{Status: wire.StatusUnreadable}).Append(nil), what: source.Lost, words: "the server cannot read its file"},
		{name: "changed", reply: (&wire.Refusal{Status: wire.StatusChanged}).Append(nil), what: source.Wrong},
		{name: "a failed span", reply: failed(0, wire.Refusal{Status: wire.StatusChanged}), what: source.Wrong},
		{name: "nothing", what: source.Wrong},
	} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, s *sim) {
				s.answer = func(st transport.Stream, _ wire.Request) { st.Write(test.reply) }
				c := s.connect(Trust{})
				defer c.Close()
				o, err := c.Stat(t.Context(), source.Ask{Values: test.asked}, nil)
				if test.what == 99 {
					if err != nil || o.Checksum != whole.Checksum || o.Values.Len() != test.values {
						t.Errorf("%d values, %v; want %d", o.Values.Len(), err, test.values)
					}
					return
				}
				if err == nil || source.WhatOf(err) != test.what || test.words != "" && err.Error() != test.words {
					t.Errorf("error %v (%d), want %q (%d)", err, source.WhatOf(err), test.words, test.what)
				}
			})
		})
	}
}
