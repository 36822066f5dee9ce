package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A message is one valid message and its bytes by the specification. The bytes
// are written by hand, not by the code under test.
type message struct {
	name   string
	hex    string // spaces are for the reader
	value  any
	append func(b []byte) []byte
	read   func(r io.Reader) (any, error) // from a stream
	parse  func(b []byte) (any, error)    // from memory, without its first head bytes; nil: no such parser
	head   int                            // bytes of type and length before what parse takes
	framed bool                           // the stream gives its length; else the caller does
}

func (m message) bytes(t testing.TB) []byte { t.Helper(); return unhex(t, m.hex) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("hex of the test: %v", err)
	}
	return b
}

// filled returns n, n+1, n+2, ...: swapping any two bytes is noticed.
func filled(n byte) (h [32]byte) {
	for i := range h {
		h[i] = n + byte(i)
	}
	return h
}

func ptr(h [32]byte) *[32]byte { return &h }

const (
	hex00 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" // filled(0x00)
	hex40 = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f" // filled(0x40)
	hex80 = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f" // filled(0x80)
)

func request(name, hex string, head int, r Request) message {
	return message{
		name: name, hex: hex, value: r, head: head, framed: true,
		append: func(b []byte) []byte { return AppendRequest(b, r) },
		read:   func(r io.Reader) (any, error) { return ReadRequest(r) },
		parse:  func(b []byte) (any, error) { return parseRequest(r.requestType(), b) },
	}
}

func header(name, hex string, h Header) message {
	return message{
		name: name, hex: hex, value: h, framed: true,
		append: h.Append,
		read:   func(r io.Reader) (any, error) { return ReadHeader(r) },
	}
}

func refusal(name, hex string, e Refusal) message {
	return message{
		name: name, hex: hex, value: e, framed: true,
		append: func(b []byte) []byte { return AppendRefusal(b, e.Status, e.Text) },
		read:   func(r io.Reader) (any, error) { return readRefusalFrame(r) },
	}
}

// readRefusalFrame reads a refusal with its head.
func readRefusalFrame(r io.Reader) (Refusal, error) {
	h, err := ReadHeader(r)
	if err != nil {
		return Refusal{}, err
	}
	err = ReadRefusal(r, h)
	if e, ok := errors.AsType[*Refusal](err); ok {
		return *e, nil
	}
	return Refusal{}, err
}

func bodyHeader(hex string) Header {
	return Header{Length: uint64(len(strings.ReplaceAll(hex, " ", "")) / 2)}
}

func indexing(name, hex string, i Indexing) message {
	return message{
		name: name, hex: hex, value: i,
		append: i.Append,
		read:   func(r io.Reader) (any, error) { return ReadIndexing(r, bodyHeader(hex)) },
		parse:  func(b []byte) (any, error) { return ParseIndexing(b) },
	}
}

func offer(name, hex string, o Offer) message {
	return message{
		name: name, hex: hex, value: o,
		append: o.Append,
		read:   func(r io.Reader) (any, error) { return ReadOffer(r, bodyHeader(hex)) },
		parse:  func(b []byte) (any, error) { return ParseOffer(b) },
	}
}

func values(name, hex string, v Values) message {
	h := bodyHeader(hex)
	return message{
		name: name, hex: hex, value: v,
		append: v.Append,
		read:   func(r io.Reader) (any, error) { return ReadValues(r, h, int(h.Length)) },
		parse:  func(b []byte) (any, error) { return ParseValues(b) },
	}
}

// messages returns every kind of message, each with its fields empty and full.
func messages() []message {
	all := requests()
	all = append(all, replies()...)
	all = append(all, offers()...)
	return append(all, lists()...)
}

func requests() []message {
	return []message{
		request("hello, empty", "01 03 00 00 00", 2, Hello{}),
		request("hello, full", "01 27 01 0464617461 20"+hex40, 2,
			Hello{Selector: "data", InlineManifest: true, Proof: ptr(filled(0x40))}),
		request("hello, selector of 64 bytes", "01 4044 00 4040"+strings.Repeat("78", 64)+"00", 3,
			Hello{Selector: strings.Repeat("x", 64)}),
		request("hello, selector of no UTF-8", "01 05 00 02ff00 00", 2, Hello{Selector: "\xff\x00"}),
		request("manifest", "02 20"+hex00, 2, ManifestRequest{Checksum: filled(0)}),
		request("range, first byte", "03 22"+hex00+"00 01", 2,
			RangeRequest{Checksum: filled(0), Length: 1}),
		request("range, inside", "03 28"+hex80+"80004000 81000000", 2,
			RangeRequest{Checksum: filled(0x80), Offset: 16 << 10, Length: 16 << 20}),
		request("range, last byte of the largest file", "03 29"+hex80+"c0000fffffffffff 01", 2,
			RangeRequest{Checksum: filled(0x80), Offset: 1<<44 - 1, Length: 1}),
		request("range, the whole of the largest file", "03 29"+hex80+"00 c000100000000000", 2,
			RangeRequest{Checksum: filled(0x80), Length: 1 << 44}),
		request("recheck, first chunk", "04 21"+hex00+"00", 2, RecheckRequest{Checksum: filled(0)}),
		request("recheck, last chunk", "04 24"+hex80+"800fffff", 2, RecheckRequest{Checksum: filled(0x80), Chunk: 1<<20 - 1}),
	}
}

func replies() []message {
	longest := strings.Repeat("z", 256)
	return []message{
		header("ok, empty", "00 00", Header{}),
		header("ok, 63 bytes", "00 3f", Header{Length: 63}),
		header("indexing, 64 bytes", "01 4040", Header{Status: StatusIndexing, Length: 64}),
		header("unreadable, 16384 bytes", "0a 80004000", Header{Status: StatusUnreadable, Length: 16384}),
		header("ok, 2^44 bytes", "00 c000100000000000", Header{Length: 1 << 44}),
		header("the largest numbers", "ffffffffffffffff ffffffffffffffff", Header{Status: 1<<62 - 1, Length: 1<<62 - 1}),

		refusal("changed, no text", "02 00", Refusal{Status: StatusChanged}),
		refusal("not found", "03 04 6e6f6e65", Refusal{Status: StatusNotFound, Text: "none"}),
		refusal("busy, text of no UTF-8", "08 03 ff1b00", Refusal{Status: StatusBusy, Text: "\xff\x1b\x00"}),
		refusal("denied, longest text", "07 4100"+strings.Repeat("7a", 256), Refusal{Status: StatusDenied, Text: longest}),
		refusal("unknown status", "4040 01 61", Refusal{Status: 64, Text: "a"}),

		indexing("indexing, empty file", "00 00", Indexing{}),
		indexing("indexing, half", "7fff 8000fffe", Indexing{Done: 16383, Total: 65534}),
		indexing("indexing, the largest file done", "c000100000000000 c000100000000000",
			Indexing{Done: 1 << 44, Total: 1 << 44}),
	}
}

func offers() []message {
	return []message{
		offer("offer, empty", "00 00 00"+hex00+"00 00 00", Offer{
			ModTime: time.Unix(0, 0).UTC(), Checksum: filled(0),
		}),
		offer("offer, full", "c000100000000000 c0000000caa7e200 05"+hex00+"06c3a92e6d7034 20"+hex80+"80010000", Offer{
			Size: 1 << 44, ModTime: time.Unix(1_700_000_000, 5).UTC(),
			Checksum: filled(0),
			Name:     "é.mp4", Proof: ptr(filled(0x80)), ValuesLen: 65536,
		}),
		offer("offer, before 1970", "05 01 bb9ac9ff"+hex80+"0161 00 4040", Offer{
			Size: 5, ModTime: time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
			Checksum: filled(0x80), Name: "a", ValuesLen: 64,
		}),
		offer("offer, earliest time", "05 ffffffffffffffff 00"+hex80+"0161 00 00", Offer{
			Size: 5, ModTime: time.Unix(-1<<61, 0).UTC(),
			Checksum: filled(0x80), Name: "a",
		}),
		offer("offer, latest time", "05 fffffffffffffffe 00"+hex80+"0161 00 00", Offer{
			Size: 5, ModTime: time.Unix(1<<61-1, 0).UTC(),
			Checksum: filled(0x80), Name: "a",
		}),
		offer("offer, longest name", "05 00 00"+hex80+"40e6"+strings.Repeat("6e", 230)+"00 00", Offer{
			Size: 5, ModTime: time.Unix(0, 0).UTC(),
			Checksum: filled(0x80), Name: strings.Repeat("n", 230),
		}),
	}
}

func lists() []message {
	two := NewValues(2)
	two.Set(0, filled(0x00))
	two.Set(1, filled(0x40))
	three := NewValues(3)
	three.Set(1, filled(0x80))
	zero := strings.Repeat("00", 32)
	return []message{
		values("values, no chunk", "", Values{[]byte{}}),
		values("values, two chunks", hex00+hex40, two),
		values("values, three chunks", zero+hex80+zero, three),
	}
}

func TestGoldenAppend(t *testing.T) {
	prefix := []byte("prefix")
	for _, m := range messages() {
		t.Run(m.name, func(t *testing.T) {
			want := append(bytes.Clone(prefix), m.bytes(t)...)
			if got := m.append(bytes.Clone(prefix)); !bytes.Equal(got, want) {
				t.Errorf("appended\n got %x\nwant %x", got, want)
			}
		})
	}
}

func TestGoldenParse(t *testing.T) {
	for _, m := range messages() {
		t.Run(m.name, func(t *testing.T) {
			b := m.bytes(t)
			behind := "next"
			if _, request := m.value.(Request); request {
				behind = "" // a request is all of its stream
			}
			r := strings.NewReader(string(b) + behind)
			got, err := m.read(r)
			if err != nil || !reflect.DeepEqual(got, m.value) {
				t.Errorf("read\n got %+v, %v\nwant %+v", got, err, m.value)
			}
			if r.Len() != len(behind) {
				t.Errorf("read left %d bytes behind the message, want %d", r.Len(), len(behind))
			}
			if m.parse == nil {
				return
			}
			got, err = m.parse(b[m.head:])
			if err != nil || !reflect.DeepEqual(got, m.value) {
				t.Errorf("parsed\n got %+v, %v\nwant %+v", got, err, m.value)
			}
		})
	}
}

// TestParsedKeepsNothing proves that a message does not change if the buffer it
// was parsed from is used again. Values are a view by contract.
func TestParsedKeepsNothing(t *testing.T) {
	for _, m := range messages() {
		if _, view := m.value.(Values); view || m.parse == nil {
			continue
		}
		b := m.bytes(t)[m.head:]
		got, err := m.parse(b)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		clear(b)
		if !reflect.DeepEqual(got, m.value) {
			t.Errorf("%s: changed with its buffer: got %+v, want %+v", m.name, got, m.value)
		}
	}
}

func TestValuesFields(t *testing.T) {
	b := unhex(t, hex00+hex40)
	v, err := ParseValues(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Len(); got != 2 {
		t.Errorf("got %d chunks, want 2", got)
	}
	for i, want := range []string{hex00, hex40} {
		if got := fmt.Sprintf("%x", v.At(i)); got != want {
			t.Errorf("value %d: got %s, want %s", i, got, want)
		}
	}
	if !bytes.Equal(v.Bytes(), b) {
		t.Errorf("bytes: got %x, want %x", v.Bytes(), b)
	}
	if got, want := ValuesLen(2), len(b); got != want {
		t.Errorf("length of two chunks: got %d, want %d", got, want)
	}
}

// TestValuesSetConcurrently is for the race detector: the goroutines that hash
// chunks record their values.
func TestValuesSetConcurrently(t *testing.T) {
	const n = 8
	v := NewValues(n)
	done := make(chan struct{})
	for i := range n {
		go func() {
			v.Set(i, filled(byte(i)))
			done <- struct{}{}
		}()
	}
	for range n {
		<-done
	}
	for i := range n {
		if v.At(i) != filled(byte(i)) {
			t.Errorf("chunk %d: got %x", i, v.At(i))
		}
	}
}

func TestNewValuesPanics(t *testing.T) {
	for _, n := range []int{-1, 1<<20 + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "malcolm: internal error") {
					t.Errorf("recovered %q", got)
				}
			}()
			NewValues(n)
		})
	}
}
