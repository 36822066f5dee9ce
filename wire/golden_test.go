package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// A message is one valid message and its bytes by the specification. The bytes
// are written by hand, not by the code under test.
type message struct {
	name   string
	hex    string // spaces are for the reader; at each "|" the message may end too
	value  any
	append func(b []byte) []byte
	read   func(r io.Reader) (any, error) // from a stream; nil: no such reader
	parse  func(b []byte) (any, error)    // from memory, without its first head bytes; nil: no such parser
	head   int                            // bytes of type and length before what parse takes
	framed bool                           // the stream gives its length; else the caller does
	alone  bool                           // the stream must end behind it
	view   bool                           // the value keeps the bytes that it was parsed from
}

func (m message) bytes(t testing.TB) []byte { t.Helper(); return unhex(t, m.hex) }

// mayEnd reports whether the first n bytes are a valid message by themselves.
func (m message) mayEnd(n int) bool {
	digits := 0
	for _, c := range m.hex {
		switch {
		case c == '|' && digits == 2*n:
			return true
		case c != '|' && c != ' ':
			digits++
		}
	}
	return false
}

var unspaced = strings.NewReplacer(" ", "", "|", "")

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(unspaced.Replace(s))
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
	sum00 = "00" + hex00                                                       // a checksum: its kind and the hash
	sum40 = "00" + hex40
	sum80 = "00" + hex80
)

func request(name, hex string, head int, r Request) message {
	return message{
		name: name, hex: hex, value: r, head: head, framed: true, alone: true,
		append: func(b []byte) []byte { return AppendRequest(b, r) },
		read:   func(r io.Reader) (any, error) { return ReadRequest(r) },
		parse:  func(b []byte) (any, error) { return parseRequest(r.requestType(), b) },
	}
}

func open(name, hex string, head int, o Open) message {
	return message{
		name: name, hex: hex, value: o, head: head, framed: true,
		append: func(b []byte) []byte { return AppendRequest(b, o) },
		read:   func(r io.Reader) (any, error) { return ReadOpen(r) },
		parse:  func(b []byte) (any, error) { return parseOpen(b) },
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
		append: e.Append,
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
	return Refusal{}, unexpected(err)
}

func failedSpan(name, hex string, f FailedSpan) message {
	return message{
		name: name, hex: hex, value: f, framed: true,
		append: f.Append,
		read:   func(r io.Reader) (any, error) { return readFailedSpanFrame(r) },
	}
}

// readFailedSpanFrame reads a failed span with its head.
func readFailedSpanFrame(r io.Reader) (FailedSpan, error) {
	h, err := ReadHeader(r)
	if err != nil {
		return FailedSpan{}, err
	}
	if h.Status != StatusFailedSpan {
		return FailedSpan{}, malformed("failed span", "another status")
	}
	return ReadFailedSpan(r, h)
}

func bodyHeader(hex string) Header { return Header{Length: len(unspaced.Replace(hex)) / 2} }

func opened(name, hex string, o Opened) message {
	return message{
		name: name, hex: hex, value: o,
		append: o.Append,
		read:   func(r io.Reader) (any, error) { return ReadOpened(r, bodyHeader(hex)) },
		parse:  func(b []byte) (any, error) { return parseOpenedBody(b) },
	}
}

func parseOpenedBody(b []byte) (Opened, error) {
	return ReadOpened(bytes.NewReader(b), Header{Length: len(b)})
}

func indexing(name, hex string, i Indexing) message {
	return message{
		name: name, hex: hex, value: i,
		append: i.Append,
		read:   func(r io.Reader) (any, error) { return ReadIndexing(r, bodyHeader(hex)) },
		parse:  func(b []byte) (any, error) { return ParseIndexing(b) },
	}
}

func report(name, hex string, p PathReport) message {
	return message{
		name: name, hex: hex, value: p,
		append: p.Append,
		read:   func(r io.Reader) (any, error) { return ReadPathReport(r, bodyHeader(hex)) },
		parse:  func(b []byte) (any, error) { return ParsePathReport(b) },
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

// messages returns every kind of message, each with its fields empty and full.
func messages() []message {
	all := append(opens(), requests()...)
	all = append(all, replies()...)
	all = append(all, openeds()...)
	all = append(all, reports()...)
	all = append(all, offers()...)
	all = append(all, valuesMessages()...)
	all = append(all, listings()...)
	all = append(all, timesMessages()...)
	return append(all, valuesFiles()...)
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
			if m.read != nil {
				behind := "next"
				if m.alone {
					behind = ""
				}
				r := strings.NewReader(string(b) + behind)
				got, err := m.read(r)
				if err != nil || !reflect.DeepEqual(got, m.value) {
					t.Errorf("read\n got %+v, %v\nwant %+v", got, err, m.value)
				}
				if r.Len() != len(behind) {
					t.Errorf("read left %d bytes behind the message, want %d", r.Len(), len(behind))
				}
			}
			if m.parse == nil {
				return
			}
			got, err := m.parse(b[m.head:])
			if err != nil || !reflect.DeepEqual(got, m.value) {
				t.Errorf("parsed\n got %+v, %v\nwant %+v", got, err, m.value)
			}
		})
	}
}

// TestParsedKeepsNothing proves that a message does not change if the buffer it
// was parsed from is used again.
func TestParsedKeepsNothing(t *testing.T) {
	for _, m := range messages() {
		if m.view || m.parse == nil {
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
