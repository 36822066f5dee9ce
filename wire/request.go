package wire

import (
	"fmt"
	"io"

	"github.com/quic-go/quic-go/quicvarint"
)

// The request types of malcolm/1. Their numbers are frozen.
const (
	typeHello    = 1
	typeManifest = 2
	typeRange    = 3
	typeRecheck  = 4
)

const flagInlineManifest = 1

// A Request is what a client asks on one stream: a [Hello], a
// [ManifestRequest], a [RangeRequest] or a [RecheckRequest].
type Request interface {
	requestType() uint64
	appendBody(b []byte) []byte
}

// Hello asks what the server offers. It is the first request on a connection.
type Hello struct {
	Selector       string    // which file, at most MaxSelectorLen bytes; empty: the only one
	InlineManifest bool      // send the values too if they are at most MaxInlineValues long
	Proof          *[32]byte // that the client holds the access token; nil: no proof
}

// ManifestRequest asks for the values of one version of the file.
type ManifestRequest struct {
	Checksum [32]byte
}

// RangeRequest asks for bytes of one version of the file.
type RangeRequest struct {
	Checksum [32]byte
	Offset   int64 // in bytes, 0 to MaxFileSize - 1
	Length   int64 // in bytes, 1 to MaxFileSize - Offset
}

// RecheckRequest asks the server to read a chunk from its disk once more, since
// the client got bytes that do not match the chunk's value.
type RecheckRequest struct {
	Checksum [32]byte
	Chunk    int // 0 to MaxChunks - 1
}

func (Hello) requestType() uint64           { return typeHello }
func (ManifestRequest) requestType() uint64 { return typeManifest }
func (RangeRequest) requestType() uint64    { return typeRange }
func (RecheckRequest) requestType() uint64  { return typeRecheck }

func (h Hello) appendBody(b []byte) []byte {
	var flags uint64
	if h.InlineManifest {
		flags |= flagInlineManifest
	}
	b = quicvarint.Append(b, flags)
	b = appendBytes(b, h.Selector)
	return appendProof(b, h.Proof)
}

func (m ManifestRequest) appendBody(b []byte) []byte { return append(b, m.Checksum[:]...) }

func (r RangeRequest) appendBody(b []byte) []byte {
	b = append(b, r.Checksum[:]...)
	b = quicvarint.Append(b, uint64(r.Offset))
	return quicvarint.Append(b, uint64(r.Length))
}

func (r RecheckRequest) appendBody(b []byte) []byte {
	b = append(b, r.Checksum[:]...)
	return quicvarint.Append(b, uint64(r.Chunk))
}

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

// ReadRequest reads one request from a stream, and nothing behind it. It reads
// at most [MaxRequestLen] bytes of body, and none of a body that is announced
// as longer. Errors are [*MalformedError], [*UnsupportedError], [io.EOF] if the
// stream ended before its first byte, [io.ErrUnexpectedEOF] if it ended within
// the request, or r's own.
func ReadRequest(r io.Reader) (Request, error) {
	t, err := readVarint(r, "request", "type", quicvarint.Max)
	if err != nil {
		return nil, err
	}
	n, err := readVarint(r, "request", "length", MaxRequestLen)
	if err != nil {
		return nil, unexpected(err)
	}
	body, err := readBody(r, int(n))
	if err != nil {
		return nil, err
	}
	if err := readEnd(r, "request"); err != nil {
		return nil, err
	}
	return parseRequest(t, body)
}

func parseRequest(t uint64, body []byte) (Request, error) {
	switch t {
	case typeHello:
		return parseHello(body)
	case typeManifest:
		return parseManifestRequest(body)
	case typeRange:
		return parseRangeRequest(body)
	case typeRecheck:
		return parseRecheckRequest(body)
	}
	return nil, &UnsupportedError{Type: t}
}

func parseHello(b []byte) (Request, error) {
	d := decoder{message: "hello", b: b}
	flags := d.varint("flags", flagInlineManifest)
	h := Hello{
		InlineManifest: flags&flagInlineManifest != 0,
		Selector:       string(d.bytes("selector", MaxSelectorLen)),
		Proof:          d.proof(),
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	return h, nil
}

func parseManifestRequest(b []byte) (Request, error) {
	d := decoder{message: "manifest request", b: b}
	m := ManifestRequest{Checksum: d.hash("checksum")}
	if err := d.done(); err != nil {
		return nil, err
	}
	return m, nil
}

func parseRangeRequest(b []byte) (Request, error) {
	d := decoder{message: "range request", b: b}
	sum := d.hash("checksum")
	offset := d.varint("offset", quicvarint.Max)
	length := d.varint("length", quicvarint.Max)
	if d.err == nil && length == 0 {
		d.fail("asks for no bytes")
	}
	if d.err == nil && addOverflows(offset, length, MaxFileSize) {
		d.fail("ends beyond the largest file")
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	return RangeRequest{Checksum: sum, Offset: int64(offset), Length: int64(length)}, nil
}

func parseRecheckRequest(b []byte) (Request, error) {
	d := decoder{message: "recheck request", b: b}
	r := RecheckRequest{Checksum: d.hash("checksum"), Chunk: int(d.varint("chunk", MaxChunks-1))}
	if err := d.done(); err != nil {
		return nil, err
	}
	return r, nil
}
