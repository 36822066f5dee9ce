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

// TestPrefixesOfStream ends the stream within each message, at every byte, or
// at many if it is large.
func TestPrefixesOfStream(t *testing.T) {
	for _, m := range messages() {
		if m.read == nil {
			continue
		}
		b := m.bytes(t)
		for _, i := range cuts(len(b)) {
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

// cuts returns the places at which a message of n bytes is cut.
func cuts(n int) (at []int) {
	for i := range n {
		if n < 2000 || i < 300 || i > n-300 || i%997 == 0 {
			at = append(at, i)
		}
	}
	return at
}

// TestPrefixesOfBody gives the parser of each body a body cut short.
func TestPrefixesOfBody(t *testing.T) {
	for _, m := range messages() {
		if m.parse == nil {
			continue
		}
		b := m.bytes(t)[m.head:]
		for _, i := range cuts(len(b)) {
			got, err := m.parse(b[:i])
			if whole := m.mayEnd(m.head + i); whole != (err == nil) || err != nil && !isMalformed(err) {
				t.Errorf("%s: first %d of %d bytes: got %+v, %v, want a *MalformedError: %t", m.name, i, len(b), got, err, !whole)
			}
		}
	}
}

// TestPrefixesOfAnnouncedBody sends a body cut short, announced with its own
// length.
func TestPrefixesOfAnnouncedBody(t *testing.T) {
	for _, m := range append(opens(), requests()...) {
		b := m.bytes(t)
		body := b[m.head:]
		for _, i := range cuts(len(body)) {
			cut := append(quicvarint.Append([]byte{b[0]}, uint64(i)), body[:i]...)
			got, err := m.read(bytes.NewReader(cut))
			if whole := m.mayEnd(m.head + i); whole != (err == nil) || err != nil && !isMalformed(err) {
				t.Errorf("%s: first %d of %d bytes: got %+v, %v, want a *MalformedError: %t", m.name, i, len(body), got, err, !whole)
			}
		}
	}
}

// TestPrefixesOfRefusal: only the text of a refusal may be cut.
func TestPrefixesOfRefusal(t *testing.T) {
	for status, fields := range map[Status][]byte{
		StatusBusy:       unhexed("80010000"),          // the wait
		StatusFailedSpan: unhexed("40ff4040 80010000"), // an index, a status, the wait
	} {
		for i := range len(fields) + 3 {
			body := append(bytes.Clone(fields), "abc"...)[:i]
			b := append(Header{Status: status, Length: i}.Append(nil), body...)
			var err error
			if status == StatusFailedSpan {
				_, err = readFailedSpanFrame(bytes.NewReader(b))
			} else {
				_, err = readRefusalFrame(bytes.NewReader(b))
			}
			if short := i < len(fields); short != (err != nil) || short && !isMalformed(err) {
				t.Errorf("%s of %d bytes: got %v, want a *MalformedError: %t", status, i, err, short)
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
	for _, m := range append(opens(), requests()...) {
		b := m.bytes(t)
		body := append(bytes.Clone(b[m.head:]), 0)
		long := appendBytes([]byte{b[0]}, body)
		if got, err := m.read(bytes.NewReader(long)); !isMalformed(err) {
			t.Errorf("%s and a byte in its body: got %+v, %v, want a *MalformedError", m.name, got, err)
		}
		if m.alone {
			if got, err := m.read(bytes.NewReader(append(b, 0))); !isMalformed(err) {
				t.Errorf("%s and a byte behind it: got %+v, %v, want a *MalformedError", m.name, got, err)
			}
		}
	}
}

// TestOpenComesFirst: open is at the head of a connection and nowhere else, and
// what follows it in the stream is left to the next reader.
func TestOpenComesFirst(t *testing.T) {
	b := AppendRequest(nil, Open{Tail: Idle()})
	b = AppendRequest(b, StatRequest{Selector: "data"})
	r := bytes.NewReader(b)
	if _, err := ReadOpen(r); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadRequest(r); err != nil || !reflect.DeepEqual(got, StatRequest{Selector: "data"}) {
		t.Errorf("behind open: got %+v, %v", got, err)
	}
	if got, err := ReadRequest(bytes.NewReader(AppendRequest(nil, Open{}))); !isMalformed(err) {
		t.Errorf("open as another request: got %+v, %v, want a *MalformedError", got, err)
	}
	for _, m := range requests() {
		if got, err := ReadOpen(bytes.NewReader(m.bytes(t))); !isMalformed(err) {
			t.Errorf("%s before open: got %+v, %v, want a *MalformedError", m.name, got, err)
		}
	}
	unknown := unhexed("09 00")
	if got, err := ReadOpen(bytes.NewReader(unknown)); !isMalformed(err) {
		t.Errorf("unknown type before open: got %+v, %v, want a *MalformedError", got, err)
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
			if m.read == nil {
				continue
			}
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
		if m.read == nil {
			continue
		}
		b := m.bytes(t)
		for _, i := range cuts(len(b)) {
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
	for _, typ := range []uint64{6, 63, 64, quicvarint.Max} {
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

// TestRefusedBeforeRead: nothing is read of a body that is too long, or is not
// what was to come.
func TestRefusedBeforeRead(t *testing.T) {
	body := bytes.Repeat([]byte{0}, MaxFrameLen+1)
	behind := func(head string, read func(io.Reader) error) func(io.Reader) error {
		return func(r io.Reader) error {
			return read(io.MultiReader(bytes.NewReader(unhexed(head)), r))
		}
	}
	tooLong := func(limit int) Header { return Header{Status: StatusBusy, Length: limit + 1} }
	readRequest := func(r io.Reader) error { _, err := ReadRequest(r); return err }
	readOpen := func(r io.Reader) error { _, err := ReadOpen(r); return err }
	readHeader := func(r io.Reader) error { _, err := ReadHeader(r); return err }
	readTwo := func(r io.Reader) error { _, err := ReadValues(r, 2); return err }
	for name, read := range map[string]func(io.Reader) error{
		"request":     behind("01 80004001", readRequest),
		"open":        behind("00 80004001", readOpen),
		"frame":       behind("00 80020001", readHeader),
		"refusal":     func(r io.Reader) error { return ReadRefusal(r, tooLong(maxRefusalLen)) },
		"failed span": func(r io.Reader) error { _, err := ReadFailedSpan(r, tooLong(2+8+maxRefusalLen)); return err },
		"opened":      func(r io.Reader) error { _, err := ReadOpened(r, tooLong(MaxOpenedLen)); return err },
		"indexing":    func(r io.Reader) error { _, err := ReadIndexing(r, tooLong(maxIndexingLen)); return err },
		"offer":       func(r io.Reader) error { _, err := ReadOffer(r, tooLong(MaxOfferLen)); return err },

		"values, one more":     behind("00 4060", readTwo),
		"values, one fewer":    behind("00 20", readTwo),
		"values, part of one":  behind("00 4050", readTwo),
		"values, none":         behind("00 00", readTwo),
		"values, a long text":  behind("08 4109", readTwo),
		"values, over a frame": behind("00 80020001", readTwo),
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
