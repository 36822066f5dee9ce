package wire

import (
	"fmt"
	"io"

	"github.com/quic-go/quic-go/quicvarint"
)

// The request types of malcolm/1. Their numbers are frozen.
const (
	typeOpen    = 0
	typeStat    = 1
	typeValues  = 2
	typeRanges  = 3
	typeRecheck = 4
	typePath    = 5
)

const flagValues = 1

// A Request is what a client asks on one stream: a [StatRequest], a
// [ValuesRequest], a [RangesRequest], a [RecheckRequest] or a [PathRequest]; at
// the head of the first stream also an [Open].
type Request interface {
	requestType() uint64
	appendBody(b []byte) []byte
}

// Open is the head of the first stream of a connection.
type Open struct {
	Run   [runLen]byte // random, the same on all connections of one run
	Key   [keyLen]byte // the name of the token's key; not sent without a proof
	Proof *[32]byte    // that the client holds the access token; nil: no proof
	Tail  Tail
}

// StatRequest asks what the server offers.
type StatRequest struct {
	Selector string // which file or tree, at most MaxSelectorLen bytes; empty: the only one
	Values   bool   // send the values too if they have at most MaxInlineValues bytes
	Tail     Tail
}

// ValuesRequest asks for values of a file.
type ValuesRequest struct {
	Checksum [32]byte
	First    int // the number of a chunk, 0 to MaxChunks - 1
	Count    int // 1 to MaxChunks - First
}

// RangesRequest asks for bytes of files: 1 to MaxSpans spans.
type RangesRequest struct{ Spans []Span }

// A Span is a part of a file.
type Span struct {
	Checksum [32]byte // of the file
	Offset   int64    // in bytes, 0 to MaxFileSize - 1
	Length   int64    // in bytes, 1 to MaxFileSize - Offset
}

// RecheckRequest asks the server to read a chunk from its disk once more, since
// the client got bytes that do not match the chunk's value.
type RecheckRequest struct {
	Checksum [32]byte
	Chunk    int // 0 to MaxChunks - 1
}

// PathRequest asks for path reports until it is cancelled: see [PathReport].
type PathRequest struct{}

func (Open) requestType() uint64           { return typeOpen }
func (StatRequest) requestType() uint64    { return typeStat }
func (ValuesRequest) requestType() uint64  { return typeValues }
func (RangesRequest) requestType() uint64  { return typeRanges }
func (RecheckRequest) requestType() uint64 { return typeRecheck }
func (PathRequest) requestType() uint64    { return typePath }

func (o Open) appendBody(b []byte) []byte {
	b = append(b, o.Run[:]...)
	if o.Proof == nil {
		b = append(b, 0)
	} else {
		b = appendBytes(b, o.Key[:])
	}
	b = appendProof(b, o.Proof)
	return appendTail(b, o.Tail)
}

func (s StatRequest) appendBody(b []byte) []byte {
	var flags uint64
	if s.Values {
		flags |= flagValues
	}
	b = quicvarint.Append(b, flags)
	b = appendBytes(b, s.Selector)
	return appendTail(b, s.Tail)
}

func (v ValuesRequest) appendBody(b []byte) []byte {
	b = appendChecksum(b, v.Checksum)
	b = quicvarint.Append(b, uint64(v.First))
	return quicvarint.Append(b, uint64(v.Count))
}

func (r RangesRequest) appendBody(b []byte) []byte {
	b = quicvarint.Append(b, uint64(len(r.Spans)))
	for _, s := range r.Spans {
		b = appendChecksum(b, s.Checksum)
		b = quicvarint.Append(b, uint64(s.Offset))
		b = quicvarint.Append(b, uint64(s.Length))
	}
	return b
}

func (r RecheckRequest) appendBody(b []byte) []byte {
	b = appendChecksum(b, r.Checksum)
	return quicvarint.Append(b, uint64(r.Chunk))
}

func (PathRequest) appendBody(b []byte) []byte { return b }

// AppendRequest appends the encoding of r to b. The caller keeps r within the
// limits of its fields.
func AppendRequest(b []byte, r Request) []byte {
	body := r.appendBody(nil)
	b = quicvarint.Append(b, r.requestType())
	return appendBytes(b, body)
}

// UnsupportedError says that a request has a type that malcolm/1 does not
// know. Its body was read and dropped.
type UnsupportedError struct{ Type uint64 }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("unknown request type %d", e.Type)
}

// ReadOpen reads the head of a connection's first stream, and nothing behind
// it. Errors are those of [ReadRequest]; another request is malformed.
func ReadOpen(r io.Reader) (Open, error) {
	t, body, err := readRequest(r)
	if err != nil {
		return Open{}, err
	}
	if t != typeOpen {
		return Open{}, malformed("request", fmt.Sprintf("type %d before open", t))
	}
	return parseOpen(body)
}

// ReadRequest reads one request from a stream, and the end of the stream. It
// reads at most [MaxRequestLen] bytes of body, and none of a body that is
// announced as longer. Errors are [*MalformedError] (also for an open),
// [*UnsupportedError], [io.EOF] if the stream ended before its first byte,
// [io.ErrUnexpectedEOF] if it ended within the request, or r's own.
func ReadRequest(r io.Reader) (Request, error) {
	t, body, err := readRequest(r)
	if err != nil {
		return nil, err
	}
	if err := readEnd(r, "request"); err != nil {
		return nil, err
	}
	return parseRequest(t, body)
}

func readRequest(r io.Reader) (t uint64, body []byte, err error) {
	t, err = readVarint(r, "request", "type", quicvarint.Max)
	if err != nil {
		return 0, nil, err
	}
	n, err := readVarint(r, "request", "length", MaxRequestLen)
	if err != nil {
		return 0, nil, unexpected(err)
	}
	body, err = readBody(r, int(n))
	return t, body, err
}

func parseRequest(t uint64, body []byte) (Request, error) {
	switch t {
	case typeOpen:
		return nil, malformed("open", "not at the head of a connection")
	case typeStat:
		return parseStat(body)
	case typeValues:
		return parseValuesRequest(body)
	case typeRanges:
		return parseRanges(body)
	case typeRecheck:
		return parseRecheck(body)
	case typePath:
		return parsePath(body)
	}
	return nil, &UnsupportedError{Type: t}
}

func parseOpen(b []byte) (Open, error) {
	d := decoder{message: "open", b: b}
	var o Open
	copy(o.Run[:], d.take("run", runLen))
	key := d.bytes("key", keyLen)
	o.Proof = d.proof()
	if d.err == nil && (o.Proof != nil && len(key) != keyLen || o.Proof == nil && len(key) != 0) {
		d.fail("key has %d bytes, want %d with a proof and none without", len(key), keyLen)
	}
	copy(o.Key[:], key)
	o.Tail = d.tail()
	if err := d.done(); err != nil {
		return Open{}, err
	}
	return o, nil
}

func parseStat(b []byte) (Request, error) {
	d := decoder{message: "stat", b: b}
	flags := d.varint("flags", flagValues)
	s := StatRequest{
		Values:   flags&flagValues != 0,
		Selector: string(d.bytes("selector", MaxSelectorLen)),
		Tail:     d.tail(),
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	return s, nil
}

func parseValuesRequest(b []byte) (Request, error) {
	d := decoder{message: "request for values", b: b}
	v := ValuesRequest{Checksum: d.checksum("checksum")}
	v.First = int(d.varint("first", MaxChunks-1))
	v.Count = int(d.varint("count", MaxChunks))
	if d.err == nil && (v.Count == 0 || v.First+v.Count > MaxChunks) {
		d.fail("asks for the values %d to %d", v.First, v.First+v.Count-1)
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	return v, nil
}

func parseRanges(b []byte) (Request, error) {
	d := decoder{message: "request for ranges", b: b}
	n := d.varint("number of spans", MaxSpans)
	if d.err == nil && n == 0 {
		d.fail("asks for no span")
	}
	var spans []Span
	for range n {
		sum := d.checksum("checksum")
		offset := d.varint("offset", quicvarint.Max)
		length := d.varint("length", quicvarint.Max)
		if d.err == nil && length == 0 {
			d.fail("asks for no bytes")
		}
		if d.err == nil && addOverflows(offset, length, MaxFileSize) {
			d.fail("ends beyond the largest file")
		}
		if d.err != nil {
			break
		}
		spans = append(spans, Span{Checksum: sum, Offset: int64(offset), Length: int64(length)})
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	return RangesRequest{Spans: spans}, nil
}

func parseRecheck(b []byte) (Request, error) {
	d := decoder{message: "request for a recheck", b: b}
	r := RecheckRequest{Checksum: d.checksum("checksum"), Chunk: int(d.varint("chunk", MaxChunks-1))}
	if err := d.done(); err != nil {
		return nil, err
	}
	return r, nil
}

func parsePath(b []byte) (Request, error) {
	d := decoder{message: "request for path reports", b: b}
	if err := d.done(); err != nil {
		return nil, err
	}
	return PathRequest{}, nil
}
