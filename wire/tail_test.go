package wire

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/quic-go/quic-go/quicvarint"
)

// tailed are the messages with a tail: what parses one whose tail is t.
func tailed() map[string]func(tail []byte) (Tail, error) {
	run := make([]byte, runLen)
	return map[string]func(tail []byte) (Tail, error){
		"open": func(tail []byte) (Tail, error) {
			o, err := parseOpen(body(run, 0, 0, tail))
			return o.Tail, err
		},
		"stat": func(tail []byte) (Tail, error) {
			r, err := parseStat(body(0, 0, tail))
			if err != nil {
				return nil, err
			}
			return r.(StatRequest).Tail, nil
		},
		"opened": func(tail []byte) (Tail, error) {
			o, err := parseOpenedBody(body(1, 16<<20, 16<<20, 0, 0, tail))
			return o.Tail, err
		},
		"offer": func(tail []byte) (Tail, error) {
			o, err := ParseOffer(body(0, 0, 0, 0, sum, 0, 0, tail))
			return o.Tail, err
		},
		"offer of a tree": func(tail []byte) (Tail, error) {
			o, err := ParseOffer(body(1, 0, 0, 0, sum, 0, sum, 0, 0, tail))
			return o.Tail, err
		},
	}
}

func TestTailLimits(t *testing.T) {
	many := func(n int) (b []byte) {
		for i := range n {
			b = append(b, body(2*i+1, 0)...)
		}
		return b
	}
	for name, parse := range tailed() {
		check(t, func(b []byte) error { _, err := parse(b); return err }, []bound{
			{name + ", none", nil, ""},
			{name + ", type 1", body(1, 0), ""},
			{name + ", the largest odd type", body(u64(1<<62-1), 1, "a"), ""},
			{name + ", in order", body(1, 0, 3, 1, "a", 65, 2, "ab"), ""},
			{name + ", out of order", body(3, 0, 1, 0), "ascending"},
			{name + ", doubled", body(3, 0, 3, 0), "ascending"},
			{name + ", doubled with other bytes", body(3, 1, "a", 3, 1, "b"), "ascending"},
			{name + ", doubled at a distance", body(3, 0, 5, 0, 3, 0), "ascending"},
			{name + ", type 0", body(0, 0), "type 0 in the tail is not known"},
			{name + ", even type", body(2, 0), "type 2 in the tail is not known"},
			{name + ", even type behind an odd one", body(1, 0, 1<<20, 0), "type 1048576 in the tail is not known"},
			{name + ", the largest even type", body(u64(1<<62-2), 0), "not known"},
			{name + ", 16 types", many(16), ""},
			{name + ", 17 types", many(17), "more than 16 types"},
			{name + ", 256 bytes", body(1, 256, text(256)), ""},
			{name + ", 257 bytes", body(1, 257, text(257)), "length is 257, at most 256"},
			{name + ", 2^62 - 1 bytes", body(1, u64(1<<62-1)), "length is"},
			{name + ", a type alone", body(1), "ends within"},
			{name + ", a byte short", body(1, 2, "a"), "ends within"},
			{name + ", long type", body(long{1, 2}, 0), "shortest"},
			{name + ", long length", body(1, long{0, 2}), "shortest"},
		})
	}
}

// TestTailIsKept: what a reader passes over is still there when he writes the
// message anew.
func TestTailIsKept(t *testing.T) {
	want := Tail{{Type: 1, Data: []byte{}}, {Type: firstIdle + 1, Data: []byte("abc")}, {Type: quicvarint.Max, Data: []byte{0}}}
	for name, parse := range tailed() {
		if got, err := parse(appendTail(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
}

func TestIdleTailMeansNothing(t *testing.T) {
	types, lengths := map[uint64]bool{}, map[int]bool{}
	var all []byte
	for range 2000 {
		tail := Idle()
		if len(tail) != 1 {
			t.Fatalf("got %d types, want 1", len(tail))
		}
		e := tail[0]
		if e.Type%2 != 1 || e.Type < 1<<16 || e.Type > 1<<30 || len(e.Data) > 16 {
			t.Fatalf("got type %d with %d bytes, want an odd one of 2^16 to 2^30 with at most 16", e.Type, len(e.Data))
		}
		types[e.Type], lengths[len(e.Data)] = true, true
		all = append(all, e.Data...)
		for name, parse := range tailed() {
			if got, err := parse(appendTail(nil, tail)); err != nil || got[0].Type != e.Type || !bytes.Equal(got[0].Data, e.Data) {
				t.Fatalf("%s: got %v, %v, want %v", name, got, err, tail)
			}
		}
	}
	// 2000 draws of 2^29 types: two are alike in 1 of 300 runs, 10 never.
	if len(types) < 1990 || len(lengths) != 17 {
		t.Errorf("got %d types and %d lengths of 2000, want nearly all and 17", len(types), len(lengths))
	}
	if n := bytes.Count(all, []byte{0}); n > len(all)/64 {
		t.Errorf("%d of %d bytes are 0: they are not random", n, len(all))
	}
}
