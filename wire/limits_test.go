package wire

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// A field is one field of a body: an int, u64 or long is a varint, a string is
// its own bytes.
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
		default:
			panic(fmt.Sprintf("field of type %T", f))
		}
	}
	return b
}

var hash = string(bytes.Repeat([]byte{0xaa}, 32))

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

func TestHelloLimits(t *testing.T) {
	check(t, func(b []byte) error { _, err := parseRequest(typeHello, b); return err }, []bound{
		{"flags 1", body(1, 0, 0), ""},
		{"flags 2", body(2, 0, 0), "flags"},
		{"flags 3", body(3, 0, 0), "flags"},
		{"flags 2^61", body(u64(1<<61), 0, 0), "flags"},
		{"selector of 1024", body(0, 1024, text(1024), 0), ""},
		{"selector of 1025", body(0, 1025, text(1025), 0), "selector length is 1025"},
		{"selector of 2^62 - 1", body(0, u64(1<<62-1)), "selector length"},
		{"proof of 1", body(0, 0, 1, text(1)), "proof has 1 bytes"},
		{"proof of 31", body(0, 0, 31, text(31)), "proof has 31 bytes"},
		{"proof of 32", body(0, 0, 32, text(32)), ""},
		{"proof of 33", body(0, 0, 33, text(33)), "proof length is 33"},
		{"empty", nil, "ends within"},
	})
}

func TestRangeLimits(t *testing.T) {
	check(t, func(b []byte) error { _, err := parseRequest(typeRange, b); return err }, []bound{
		{"length 0", body(hash, 0, 0), "no bytes"},
		{"length 0 at the end", body(hash, u64(1<<44), 0), "no bytes"},
		{"length 1", body(hash, 0, 1), ""},
		{"0 to 2^44", body(hash, 0, u64(1<<44)), ""},
		{"0 to 2^44 + 1", body(hash, 0, u64(1<<44+1)), "beyond"},
		{"2^44 - 1 to 2^44", body(hash, u64(1<<44-1), 1), ""},
		{"2^44 - 1 to 2^44 + 1", body(hash, u64(1<<44-1), 2), "beyond"},
		{"2^44 to 2^44 + 1", body(hash, u64(1<<44), 1), "beyond"},
		{"the largest offset", body(hash, u64(1<<62-1), 1), "beyond"},
		{"the largest length", body(hash, 1, u64(1<<62-1)), "beyond"},
		{"the largest both", body(hash, u64(1<<62-1), u64(1<<62-1)), "beyond"},
		{"hash of 31", body(hash[1:]), "checksum"},
	})
}

func TestRecheckLimits(t *testing.T) {
	check(t, func(b []byte) error { _, err := parseRequest(typeRecheck, b); return err }, []bound{
		{"chunk 0", body(hash, 0), ""},
		{"the last chunk", body(hash, u64(1<<20-1)), ""},
		{"one more", body(hash, u64(1<<20)), "chunk"},
		{"the largest number", body(hash, u64(1<<62-1)), "chunk"},
		{"hash of 31", body(hash[1:]), "checksum"},
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
	// No valid request is near the limit, so the error shows what was read.
	check(t, func(b []byte) error { _, err := ReadRequest(bytes.NewReader(b)); return err }, []bound{
		{"4096", body(typeManifest, 4096, text(4096)), "4064 bytes too many"},
		{"4097", body(typeManifest, 4097, text(4097)), "length is 4097, at most 4096"},
		{"2^62 - 1", body(typeManifest, u64(1<<62-1)), "at most 4096"},
	})
}

func TestOfferLimits(t *testing.T) {
	times := body(0, 0)
	rest := body(hash, 0, 0, 0)
	with := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	named := func(name string) []byte { return body(0, 0, 0, hash, len(name), name, 0, 0) }
	check(t, func(b []byte) error { _, err := ParseOffer(b); return err }, []bound{
		{"size 2^44", with(body(u64(1<<44)), times, rest), ""},
		{"size 2^44 + 1", with(body(u64(1<<44+1)), times, rest), "size is 17592186044417"},
		{"earliest and latest", with(body(0, u64(1<<62-1), 0), rest), ""},
		{"nanoseconds 999999999", with(body(0, 0, 999_999_999), rest), ""},
		{"nanoseconds 10^9", with(body(0, 0, 1_000_000_000), rest), "nanoseconds is 1000000000"},
		{"name of 230", named(text(230)), ""},
		{"name of 231", named(text(231)), "name length is 231"},
		{"name of 2^62 - 1", body(0, 0, 0, hash, u64(1<<62-1)), "name length"},
		{"name of UTF-8", named("\u00e9\U0001f600\x00/.."), ""},
		{"name with a lone byte", named("a\xff"), "UTF-8"},
		{"name with a surrogate", named("\xed\xa0\x80"), "UTF-8"},
		{"name with an overlong form", named("\xc0\xaf"), "UTF-8"},
		{"name that ends within a rune", named("a\xc3"), "UTF-8"},
		{"proof of 1", body(0, 0, 0, hash, 0, 1, text(1), 0), "proof has 1 bytes"},
		{"proof of 31", body(0, 0, 0, hash, 0, 31, text(31), 0), "proof has 31 bytes"},
		{"proof of 33", body(0, 0, 0, hash, 0, 33, text(33), 0), "proof length is 33"},
		{"values of 65536", body(0, 0, 0, hash, 0, 0, 65536), ""},
		{"values of 65537", body(0, 0, 0, hash, 0, 0, 65537), "length of the values is 65537"},
		{"1024 bytes", with(body(0, 0, 0), rest, make([]byte, 1024-38)), "986 bytes too many"},
		{"1025 bytes", with(body(0, 0, 0), rest, make([]byte, 1025-38)), "1025 bytes, at most 1024"},
	})
	check(t, func(b []byte) error {
		_, err := ReadOffer(bytes.NewReader(b), Header{Length: uint64(len(b))})
		return err
	}, []bound{
		{"read 1024 bytes", with(body(0, 0, 0), rest, make([]byte, 1024-38)), "986 bytes too many"},
		{"read 1025 bytes", make([]byte, 1025), "1025 bytes, at most 1024"},
	})
}

// TestOfferOfOddTime: a file system may hold any time. None may stop a server.
func TestOfferOfOddTime(t *testing.T) {
	for _, tt := range []struct{ seconds, want int64 }{
		{1<<61 - 1, 1<<61 - 1},
		{1 << 61, 1<<61 - 1},
		{1<<63 - 1, 1<<61 - 1},
		{-1 << 61, -1 << 61},
		{-1<<61 - 1, -1 << 61},
		{-1 << 63, -1 << 61},
		{time.Time{}.Unix(), -62_135_596_800},
	} {
		got, err := ParseOffer(Offer{ModTime: time.Unix(tt.seconds, 7)}.Append(nil))
		if err != nil || got.ModTime.Unix() != tt.want || got.ModTime.Nanosecond() != 7 {
			t.Errorf("second %d: got %d and %d ns, %v, want %d", tt.seconds, got.ModTime.Unix(), got.ModTime.Nanosecond(), err, tt.want)
		}
	}
}

func TestRefusalLimits(t *testing.T) {
	check(t, func(b []byte) error { _, err := readRefusalFrame(bytes.NewReader(b)); return err }, []bound{
		{"text of 256", body(3, 256, text(256)), ""},
		{"text of 257", body(3, 257, text(257)), "257 bytes, at most 256"},
		{"text of 2^62 - 1", body(3, u64(1<<62-1)), "at most 256"},
	})
	for n, want := range map[int]int{255: 255, 256: 256, 257: 256, 10_000: 256} {
		got, err := readRefusalFrame(bytes.NewReader(AppendRefusal(nil, StatusBusy, text(n))))
		if err != nil || len(got.Text) != want {
			t.Errorf("text of %d: sent as %d bytes, %v, want %d", n, len(got.Text), err, want)
		}
	}
}

func TestIndexingLimits(t *testing.T) {
	bounds := []bound{
		{"0 of 0", body(0, 0), ""},
		{"1 of 1", body(1, 1), ""},
		{"1 of 0", body(1, 0), "1 of 0"},
		{"2^44 of 2^44", body(u64(1<<44), u64(1<<44)), ""},
		{"2^44 + 1 in all", body(0, u64(1<<44+1)), "in all"},
		{"2^44 + 1 done", body(u64(1<<44+1), u64(1<<44)), "done"},
	}
	check(t, func(b []byte) error { _, err := ParseIndexing(b); return err }, bounds)
	bounds = append(bounds,
		bound{"16 bytes", make([]byte, 16), "14 bytes too many"},
		bound{"17 bytes", make([]byte, 17), "17 bytes, at most 16"})
	check(t, func(b []byte) error {
		_, err := ReadIndexing(bytes.NewReader(b), Header{Status: StatusIndexing, Length: uint64(len(b))})
		return err
	}, bounds)
}

func TestValuesLimits(t *testing.T) {
	check(t, func(b []byte) error { _, err := ParseValues(b); return err }, []bound{
		{"no chunk", nil, ""},
		{"1 byte", make([]byte, 1), "1 bytes are not a multiple of 32"},
		{"31 bytes", make([]byte, 31), "31 bytes are not a multiple of 32"},
		{"one chunk", make([]byte, 32), ""},
		{"33 bytes", make([]byte, 33), "33 bytes are not a multiple of 32"},
		{"2^20 chunks", make([]byte, 32<<20), ""},
		{"2^20 + 1 chunks", make([]byte, 32<<20+32), "33554464 bytes, at most 33554432"},
	})
}

// TestLongVarint writes each varint of each message in every longer form.
func TestLongVarint(t *testing.T) {
	for _, tt := range []struct {
		name   string
		parse  func([]byte) error
		fields []field
	}{
		{"request", streamed(ReadRequest), []field{1, 3, "\x00\x00\x00"}},
		{"unknown request", streamed(ReadRequest), []field{9, 1, "\x00"}},
		{"header", streamed(ReadHeader), []field{0, 0}},
		{"hello", func(b []byte) error { _, err := parseHello(b); return err },
			[]field{1, 3, "abc", 32, hash}},
		{"range", func(b []byte) error { _, err := parseRangeRequest(b); return err },
			[]field{hash, 64, 16384}},
		{"indexing", func(b []byte) error { _, err := ParseIndexing(b); return err },
			[]field{63, 16383}},
		{"offer", func(b []byte) error { _, err := ParseOffer(b); return err },
			[]field{0, 64, 16384, hash, 1, "a", 0, 64}},
	} {
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

// streamed makes a parser of a reader.
func streamed[T any](read func(r io.Reader) (T, error)) func([]byte) error {
	return func(b []byte) error { _, err := read(bytes.NewReader(b)); return err }
}

// TestErrorsQuoteNothing: the text of an error is safe to print, whatever the
// peer sent.
func TestErrorsQuoteNothing(t *testing.T) {
	const malicious = "\x1b[2Jmalicious"
	for name, err := range map[string]error{
		"selector": func() error { _, err := parseHello(body(0, len(malicious)+1, malicious)); return err }(),
		"name": func() error {
			_, err := ParseOffer(body(0, 0, 0, hash, len(malicious)+1, malicious+"\xff", 0, 0))
			return err
		}(),
		"text": ReadRefusal(strings.NewReader(malicious), Header{Status: StatusBusy, Length: uint64(len(malicious))}),
	} {
		if err == nil || strings.Contains(err.Error(), "\x1b") || !isMalformed(err) && name != "text" {
			t.Errorf("%s: got %q", name, err)
		}
	}
}

func TestRefusalError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&Refusal{Status: StatusNotFound}, "refused: not found"},
		{&Refusal{Status: StatusBusy, Text: "a\n\x1b"}, `refused: busy: "a\n\x1b"`},
		{&Refusal{Status: 11}, "refused: status 11"},
		{&UnsupportedError{Type: 9}, "unknown request type 9"},
		{&MalformedError{Message: "offer", Reason: "is odd"}, "malformed offer: is odd"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
