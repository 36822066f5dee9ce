package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/quicvarint"
)

// A field is one field of a body: an int, u64 or long is a varint, a string
// or []byte is its own bytes.
type field any

type u64 uint64 // for what does not fit an int of 32 bits

// long is a varint in a form of the given number of bytes.
type long struct {
	v     uint64
	width int
}

// body encodes fields without the package's own encoder.
func body(fields ...field) []byte {
	var b []byte
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			b = quicvarint.Append(b, uint64(f))
		case u64:
			b = quicvarint.Append(b, uint64(f))
		case long:
			b = quicvarint.AppendWithLen(b, f.v, f.width)
		case string:
			b = append(b, f...)
		case []byte:
			b = append(b, f...)
		default:
			panic(fmt.Sprintf("field of type %T", f))
		}
	}
	return b
}

var (
	hash = string(bytes.Repeat([]byte{0xaa}, 32))
	sum  = "\x00" + hash // a checksum
)

func text(n int) string { return strings.Repeat("x", n) }

// A bound is a body and its result: no error, or one whose reason contains
// want. The reason shows which limit was met.
type bound struct {
	name string
	body []byte
	want string
}

func check(t *testing.T, parse func([]byte) error, bounds []bound) {
	t.Helper()
	for _, tt := range bounds {
		err := parse(tt.body)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: got %v, want no error", tt.name, err)
		case tt.want != "" && (!isMalformed(err) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want a *MalformedError with %q", tt.name, err, tt.want)
		}
	}
}

func ofType(t uint64) func([]byte) error {
	return func(b []byte) error { _, err := parseRequest(t, b); return err }
}

func TestOpenLimits(t *testing.T) {
	run := text(16)
	check(t, func(b []byte) error { _, err := parseOpen(b); return err }, []bound{
		{"no key", body(run, 0, 0), ""},
		{"key and proof", body(run, 8, text(8), 32, hash), ""},
		{"key without a proof", body(run, 8, text(8), 0), "key has 8 bytes"},
		{"proof without a key", body(run, 0, 32, hash), "key has 0 bytes"},
		{"key of 7", body(run, 7, text(7), 32, hash), "key has 7 bytes"},
		{"key of 9", body(run, 9, text(9), 32, hash), "key length is 9"},
		{"key of 2^62 - 1", body(run, u64(1<<62-1)), "key length"},
		{"proof of 1", body(run, 8, text(8), 1, text(1)), "proof has 1 bytes"},
		{"proof of 31", body(run, 8, text(8), 31, text(31)), "proof has 31 bytes"},
		{"proof of 33", body(run, 8, text(8), 33, text(33)), "proof length is 33"},
		{"run of 15", body(run[1:]), "run"},
		{"empty", nil, "ends within"},
	})
}

func TestStatLimits(t *testing.T) {
	check(t, ofType(typeStat), []bound{
		{"flags 1", body(1, 0), ""},
		{"flags 2", body(2, 0), "flags"},
		{"flags 3", body(3, 0), "flags"},
		{"flags 2^61", body(u64(1<<61), 0), "flags"},
		{"selector of 1024", body(0, 1024, text(1024)), ""},
		{"selector of 1025", body(0, 1025, text(1025)), "selector length is 1025"},
		{"selector of 2^62 - 1", body(0, u64(1<<62-1)), "selector length"},
		{"empty", nil, "ends within"},
	})
}

func TestValuesRequestLimits(t *testing.T) {
	check(t, ofType(typeValues), []bound{
		{"0 to 1", body(sum, 0, 1), ""},
		{"no value", body(sum, 0, 0), "values"},
		{"0 to 2^20", body(sum, 0, 1<<20), ""},
		{"0 to 2^20 + 1", body(sum, 0, 1<<20+1), "count is 1048577"},
		{"the last", body(sum, 1<<20-1, 1), ""},
		{"one more", body(sum, 1<<20-1, 2), "values"},
		{"first 2^20", body(sum, 1<<20, 1), "first is 1048576"},
		{"the largest first", body(sum, u64(1<<62-1), 1), "first"},
		{"the largest count", body(sum, 0, u64(1<<62-1)), "count"},
		{"checksum of another kind", body(1, hash, 0, 1), "kind 1"},
		{"checksum of the largest kind", body(u64(1<<62-1), hash, 0, 1), "unknown kind"},
		{"hash of 31", body(sum[2:]), "checksum"},
	})
}

func TestRangesLimits(t *testing.T) {
	one := func(fields ...field) []byte { return body(append([]field{1, sum}, fields...)...) }
	many := func(n int) []byte {
		b := body(n)
		for range n {
			b = append(b, body(sum, 0, 1)...)
		}
		return b
	}
	check(t, ofType(typeRanges), []bound{
		{"no span", body(0), "no span"},
		{"256 spans", many(256), ""},
		{"257 spans", many(257), "number of spans is 257"},
		{"2^62 - 1 spans", body(u64(1<<62 - 1)), "number of spans"},
		{"a span fewer", body(2, sum, 0, 1), "ends within"},
		{"a span more", body(1, sum, 0, 1, sum, 0, 1), "35 bytes too many"},
		{"length 0", one(0, 0), "no bytes"},
		{"length 0 at the end", one(u64(1<<44), 0), "no bytes"},
		{"length 0 behind another", body(2, sum, 0, 1, sum, 0, 0), "no bytes"},
		{"length 1", one(0, 1), ""},
		{"0 to 2^44", one(0, u64(1<<44)), ""},
		{"0 to 2^44 + 1", one(0, u64(1<<44+1)), "beyond"},
		{"2^44 - 1 to 2^44", one(u64(1<<44-1), 1), ""},
		{"2^44 - 1 to 2^44 + 1", one(u64(1<<44-1), 2), "beyond"},
		{"2^44 to 2^44 + 1", one(u64(1<<44), 1), "beyond"},
		{"the largest offset", one(u64(1<<62-1), 1), "beyond"},
		{"the largest length", one(1, u64(1<<62-1)), "beyond"},
		{"the largest both", one(u64(1<<62-1), u64(1<<62-1)), "beyond"},
		{"beyond, behind another", body(2, sum, 0, 1, sum, 1, u64(1<<44)), "beyond"},
		{"checksum of another kind", body(1, 1, hash, 0, 1), "kind 1"},
	})
}

func TestRecheckLimits(t *testing.T) {
	check(t, ofType(typeRecheck), []bound{
		{"chunk 0", body(sum, 0), ""},
		{"the last chunk", body(sum, u64(1<<20-1)), ""},
		{"one more", body(sum, u64(1<<20)), "chunk"},
		{"the largest number", body(sum, u64(1<<62-1)), "chunk"},
		{"checksum of another kind", body(1, hash, 0), "kind 1"},
		{"hash of 31", body(sum[2:]), "checksum"},
	})
}

func TestPathLimits(t *testing.T) {
	check(t, ofType(typePath), []bound{
		{"no body", nil, ""},
		{"a body", body(0), "1 bytes too many"},
	})
}

func TestAddOverflows(t *testing.T) {
	for _, tt := range []struct {
		a, b, limit uint64
		want        bool
	}{
		{1, 2, 3, false},
		{2, 2, 3, true},
		{1 << 63, 1 << 63, 3, true}, // wraps to 0
		{1<<64 - 1, 1, 1<<64 - 1, true},
		{1<<64 - 2, 1, 1<<64 - 1, false},
	} {
		if got := addOverflows(tt.a, tt.b, tt.limit); got != tt.want {
			t.Errorf("%d + %d over %d: got %t, want %t", tt.a, tt.b, tt.limit, got, tt.want)
		}
	}
}

func TestRequestLengthLimit(t *testing.T) {
	// Every valid request is shorter than the limit, so the error shows
	// what was read.
	for _, typ := range []int{typeStat, typeRecheck, typePath} {
		check(t, streamed(ReadRequest), []bound{
			{"16384", body(typ, 16384, text(16384)), "malformed"},
			{"16385", body(typ, 16385, text(16385)), "length is 16385, at most 16384"},
			{"2^62 - 1", body(typ, u64(1<<62-1)), "at most 16384"},
		})
	}
	check(t, streamed(ReadOpen), []bound{
		{"16384", body(typeOpen, 16384, text(16384)), "malformed open"},
		{"16385", body(typeOpen, 16385, text(16385)), "length is 16385, at most 16384"},
	})
}

// TestLongVarint writes each varint of each message in every longer form.
func TestLongVarint(t *testing.T) {
	for _, tt := range longVarints() {
		if err := tt.parse(body(tt.fields...)); err != nil && tt.name != "unknown request" {
			t.Fatalf("%s in the shortest form: %v", tt.name, err)
		}
		for i, f := range tt.fields {
			v, ok := f.(int)
			if !ok {
				continue
			}
			for width := 2 * quicvarint.Len(uint64(v)); width <= 8; width *= 2 {
				fields := append([]field(nil), tt.fields...)
				fields[i] = long{v: uint64(v), width: width}
				err := tt.parse(body(fields...))
				if !isMalformed(err) || !strings.Contains(err.Error(), "shortest") {
					t.Errorf("%s, field %d in %d bytes: got %v, want a *MalformedError", tt.name, i, width, err)
				}
			}
		}
	}
}

type longVarint struct {
	name   string
	parse  func([]byte) error
	fields []field
}

func longVarints() []longVarint {
	refusal := func(s Status) func([]byte) error {
		return func(b []byte) error {
			h := Header{Status: s, Length: len(b)}
			if s == StatusFailedSpan {
				_, err := ReadFailedSpan(bytes.NewReader(b), h)
				return err
			}
			err := ReadRefusal(bytes.NewReader(b), h)
			if _, ok := errors.AsType[*Refusal](err); ok {
				return nil
			}
			return err
		}
	}
	return []longVarint{
		{"request", streamed(ReadRequest), []field{1, 3, "\x00\x01a"}},
		{"unknown request", streamed(ReadRequest), []field{9, 1, "\x00"}},
		{"header", streamed(ReadHeader), []field{0, 0}},
		{"open", func(b []byte) error { _, err := parseOpen(b); return err },
			[]field{text(16), 8, text(8), 32, hash, 1, 0, 65, 3, "abc"}},
		{"stat", ofType(typeStat), []field{1, 3, "abc", 1, 0, 65, 3, "abc"}},
		{"values", ofType(typeValues), []field{0, hash, 0, 64}},
		{"ranges", ofType(typeRanges), []field{2, 0, hash, 64, 16384, 0, hash, 0, 1}},
		{"recheck", ofType(typeRecheck), []field{0, hash, 64}},
		{"refusal", refusal(StatusBusy), []field{64, "text"}},
		{"failed span", refusal(StatusFailedSpan), []field{64, 2, 64, "text"}},
		{"opened", func(b []byte) error { _, err := parseOpenedBody(b); return err },
			[]field{1, 16 << 20, 16 << 20, 3, 32, hash, 1, 0}},
		{"indexing", func(b []byte) error { _, err := ParseIndexing(b); return err },
			[]field{63, 16383}},
		{"path report", func(b []byte) error { _, err := ParsePathReport(b); return err },
			[]field{16384, 64, 63, 62, 16384, 64, 65, 66, 67}},
		{"offer", func(b []byte) error { _, err := ParseOffer(b); return err },
			[]field{1, 0, 64, 16384, 0, hash, 1, "a", 0, hash, 5, 32, 1, 0}},
		{"listing", func(b []byte) error { _, err := ParseListing(b); return err },
			[]field{listingMagic, 3, 0, 1, "a", 64, 0, hash, 2, 1, "b", 3, 1, "c", 1, "d"}},
		{"times", func(b []byte) error { _, err := ParseTimes(b, 1); return err },
			[]field{timesMagic, 1, 64, 16384, 1, 64, 16384}},
		{"file of values", func(b []byte) error { _, err := ParseValuesFile(b); return err },
			[]field{valuesMagic, 74, body(1, 19, 0, 0, sum, 1, "a", sum, 0, 0), 19, listingMagic, "\x00"}},
	}
}

// streamed makes a parser of a reader.
func streamed[T any](read func(r io.Reader) (T, error)) func([]byte) error {
	return func(b []byte) error { _, err := read(bytes.NewReader(b)); return err }
}
