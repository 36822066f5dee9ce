package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/quic-go/quic-go/quicvarint"
)

func isMalformed(err error) bool {
	_, ok := errors.AsType[*MalformedError](err)
	return ok
}

// TestPrefixesOfStream ends the stream within each message, at every byte.
func TestPrefixesOfStream(t *testing.T) {
	for _, m := range messages() {
		b := m.bytes(t)
		for i := range b {
			want := io.ErrUnexpectedEOF
			if i == 0 && m.framed {
				want = io.EOF
			}
			got, err := m.read(bytes.NewReader(b[:i]))
			if err != want {
				t.Errorf("%s: first %d of %d bytes: got %v, want %v", m.name, i, len(b), err, want)
			}
			if err != nil && got != nil && !reflect.ValueOf(got).IsZero() {
				t.Errorf("%s: first %d of %d bytes: got %+v beside the error", m.name, i, len(b), got)
			}
		}
	}
}

// TestPrefixesOfBody gives the parser of each body a body cut short.
func TestPrefixesOfBody(t *testing.T) {
	for _, m := range messages() {
		if m.parse == nil {
			continue
		}
		b := m.bytes(t)[m.head:]
		_, list := m.value.(Values)
		for i := range b {
			if list && i%hashLen == 0 {
				continue // the values of fewer chunks
			}
			if got, err := m.parse(b[:i]); !isMalformed(err) {
				t.Errorf("%s: first %d of %d bytes: got %+v, %v, want a *MalformedError", m.name, i, len(b), got, err)
			}
		}
	}
}

// TestPrefixesOfAnnouncedBody sends a body cut short, announced with its own
// length.
func TestPrefixesOfAnnouncedBody(t *testing.T) {
	for _, m := range requests() {
		b := m.bytes(t)
		body := b[m.head:]
		for i := range body {
			cut := append(quicvarint.Append([]byte{b[0]}, uint64(i)), body[:i]...)
			if got, err := m.read(bytes.NewReader(cut)); !isMalformed(err) {
				t.Errorf("%s: first %d of %d bytes: got %+v, %v, want a *MalformedError", m.name, i, len(body), got, err)
			}
		}
	}
}

func TestTrailingByte(t *testing.T) {
	for _, m := range messages() {
		if m.parse == nil {
			continue
		}
		for _, extra := range []byte{0x00, 0xff} {
			b := append(m.bytes(t), extra)
			if got, err := m.parse(b[m.head:]); !isMalformed(err) {
				t.Errorf("%s and %#x: got %+v, %v, want a *MalformedError", m.name, extra, got, err)
			}
		}
	}
	for _, m := range requests() {
		b := m.bytes(t)
		body := append(bytes.Clone(b[m.head:]), 0)
		long := appendBytes([]byte{b[0]}, body)
		if got, err := m.read(bytes.NewReader(long)); !isMalformed(err) {
			t.Errorf("%s and a byte in its body: got %+v, %v, want a *MalformedError", m.name, got, err)
		}
	}
}

// TestSlowReaders reads every message from readers that return their bytes in
// the ways that io.Reader allows.
func TestSlowReaders(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"one byte at a time": iotest.OneByteReader,
		"half of what fits":  iotest.HalfReader,
		"data with EOF":      iotest.DataErrReader,
		"one byte with EOF":  func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
		"empty reads":        func(r io.Reader) io.Reader { return &emptyReads{r: r} },
	}
	for name, slow := range readers {
		for _, m := range messages() {
			got, err := m.read(slow(bytes.NewReader(m.bytes(t))))
			if err != nil || !reflect.DeepEqual(got, m.value) {
				t.Errorf("%s: %s:\n got %+v, %v\nwant %+v", name, m.name, got, err, m.value)
			}
		}
	}
}

// An emptyReads returns 0, nil before each read that returns bytes.
type emptyReads struct {
	r    io.Reader
	give bool
}

func (e *emptyReads) Read(p []byte) (int, error) {
	e.give = !e.give
	if !e.give {
		return e.r.Read(p)
	}
	return 0, nil
}

// TestReadersOwnError proves that an error of the stream is not taken for a
// fault of the peer, at whatever byte it happens.
func TestReadersOwnError(t *testing.T) {
	reset := errors.New("stream was reset")
	for _, m := range messages() {
		b := m.bytes(t)
		for i := range b {
			_, err := m.read(io.MultiReader(bytes.NewReader(b[:i]), iotest.ErrReader(reset)))
			if !errors.Is(err, reset) {
				t.Errorf("%s: reset after %d of %d bytes: got %v, want %v", m.name, i, len(b), err, reset)
			}
		}
	}
}

// TestUnknownType: the body of an unknown request is consumed, and its stream
// must end after it as after any other.
func TestUnknownType(t *testing.T) {
	for _, typ := range []uint64{0, 5, 63, 64, quicvarint.Max} {
		for _, n := range []int{0, 1, MaxRequestLen} {
			b := appendBytes(quicvarint.Append(nil, typ), bytes.Repeat([]byte{0xff}, n))
			r := bytes.NewReader(b)
			got, err := ReadRequest(r)
			e, ok := errors.AsType[*UnsupportedError](err)
			if !ok || e.Type != typ || got != nil {
				t.Errorf("type %d, %d bytes: got %v, %v, want an *UnsupportedError", typ, n, got, err)
			}
			if r.Len() != 0 {
				t.Errorf("type %d, %d bytes: %d bytes left", typ, n, r.Len())
			}
			if _, err := ReadRequest(bytes.NewReader(append(b, 0))); !isMalformed(err) {
				t.Errorf("type %d, %d bytes and one behind: got %v, want a *MalformedError", typ, n, err)
			}
		}
		short := quicvarint.Append(quicvarint.Append(nil, typ), 2)
		if _, err := ReadRequest(bytes.NewReader(append(short, 0))); err != io.ErrUnexpectedEOF {
			t.Errorf("type %d cut short: got %v, want %v", typ, err, io.ErrUnexpectedEOF)
		}
		long := quicvarint.Append(quicvarint.Append(nil, typ), MaxRequestLen+1)
		if _, err := ReadRequest(bytes.NewReader(long)); !isMalformed(err) {
			t.Errorf("type %d over the limit: got %v, want a *MalformedError", typ, err)
		}
	}
}

// TestRefusedBeforeRead: nothing is read of a body that is too long.
func TestRefusedBeforeRead(t *testing.T) {
	body := bytes.Repeat([]byte{0}, MaxRequestLen+1)
	tooLong := func(limit int) Header { return Header{Length: uint64(limit) + 1} }
	for name, read := range map[string]func(io.Reader) error{
		"request": func(r io.Reader) error {
			head := quicvarint.Append([]byte{typeHello}, MaxRequestLen+1)
			_, err := ReadRequest(io.MultiReader(bytes.NewReader(head), r))
			return err
		},
		"refusal":  func(r io.Reader) error { return ReadRefusal(r, tooLong(MaxTextLen)) },
		"indexing": func(r io.Reader) error { _, err := ReadIndexing(r, tooLong(maxIndexingLen)); return err },
		"offer":    func(r io.Reader) error { _, err := ReadOffer(r, tooLong(MaxOfferLen)); return err },
		"values":   func(r io.Reader) error { _, err := ReadValues(r, tooLong(64), 64); return err },
		"values, shorter than wanted": func(r io.Reader) error {
			_, err := ReadValues(r, tooLong(62), 64)
			return err
		},
	} {
		r := bytes.NewReader(body)
		if err := read(r); !isMalformed(err) {
			t.Errorf("%s: got %v, want a *MalformedError", name, err)
		}
		if r.Len() != len(body) {
			t.Errorf("%s: read %d bytes of the body", name, len(body)-r.Len())
		}
	}
}
