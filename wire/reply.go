package wire

import (
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/quic-go/quic-go/quicvarint"
)

// The range of a modification time: what a varint can hold.
const (
	minSeconds = -1 << 61
	maxSeconds = 1<<61 - 1
	maxNanos   = 999_999_999
)

// A Header begins every frame of a reply.
type Header struct {
	Status Status
	Length uint64 // of the body that follows, in bytes
}

// Append appends the encoding of h to b.
func (h Header) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(h.Status))
	return quicvarint.Append(b, h.Length)
}

// ReadHeader reads the head of the next frame. It allocates nothing for the
// frame's length and does not check it: the caller knows what it asked for.
// Errors are [io.EOF] if the reply has ended, [io.ErrUnexpectedEOF] if it ended
// within a head, [*MalformedError], or r's own.
func ReadHeader(r io.Reader) (Header, error) {
	s, err := readVarint(r, "reply", "status", quicvarint.Max)
	if err != nil {
		return Header{}, err
	}
	n, err := readVarint(r, "reply", "length", quicvarint.Max)
	if err != nil {
		return Header{}, unexpected(err)
	}
	return Header{Status: Status(s), Length: n}, nil
}

// A Refusal is a status that ends a reply without what was asked for. Text is
// the peer's: quote it before a person sees it.
type Refusal struct {
	Status Status
	Text   string // at most MaxTextLen bytes of anything
}

func (e *Refusal) Error() string {
	if e.Text == "" {
		return "refused: " + e.Status.String()
	}
	return fmt.Sprintf("refused: %s: %q", e.Status, e.Text)
}

// AppendRefusal appends the frame of a refusal to b; text is cut to
// [MaxTextLen] bytes.
func AppendRefusal(b []byte, s Status, text string) []byte {
	text = text[:min(len(text), MaxTextLen)]
	b = Header{Status: s, Length: uint64(len(text))}.Append(b)
	return append(b, text...)
}

// ReadRefusal reads the text that belongs to h and returns the refusal as an
// error. Any other error says that it could not be read: [*MalformedError],
// [io.ErrUnexpectedEOF] or r's own.
func ReadRefusal(r io.Reader, h Header) error {
	if h.Length > MaxTextLen {
		return malformed("reply", fmt.Sprintf("text of %d bytes, at most %d are allowed", h.Length, MaxTextLen))
	}
	text, err := readBody(r, int(h.Length))
	if err != nil {
		return err
	}
	return &Refusal{Status: h.Status, Text: string(text)}
}

// Indexing says how much of its file the server has hashed.
type Indexing struct {
	Done, Total int64 // in bytes, 0 to MaxFileSize; Done is at most Total
}

// Append appends the body of a frame "indexing" to b.
func (i Indexing) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(i.Done))
	return quicvarint.Append(b, uint64(i.Total))
}

// ParseIndexing reads the body of a frame "indexing".
func ParseIndexing(b []byte) (Indexing, error) {
	d := decoder{message: "indexing", b: b}
	done := d.varint("bytes done", MaxFileSize)
	total := d.varint("bytes in all", MaxFileSize)
	if d.err == nil && done > total {
		d.fail("%d of %d bytes done", done, total)
	}
	if err := d.done(); err != nil {
		return Indexing{}, err
	}
	return Indexing{Done: int64(done), Total: int64(total)}, nil
}

// maxIndexingLen bounds the body of a frame "indexing": two varints.
const maxIndexingLen = 16

// ReadIndexing reads the body of a frame "indexing" with the head h. Errors are
// [*MalformedError], [io.ErrUnexpectedEOF] or r's own.
func ReadIndexing(r io.Reader, h Header) (Indexing, error) {
	b, err := readLimited(r, h, "indexing", maxIndexingLen)
	if err != nil {
		return Indexing{}, err
	}
	return ParseIndexing(b)
}

// An Offer is what a server says of its file.
type Offer struct {
	Size      int64     // in bytes, 0 to MaxFileSize
	ModTime   time.Time // UTC when parsed; -2^61 to 2^61 - 1 s, more years than its JSON can hold
	Checksum  [32]byte  // BLAKE3-256 of the file
	Name      string    // at most MaxNameLen bytes of UTF-8; empty: no name
	Proof     *[32]byte // that the server holds the access token; nil: no proof
	ValuesLen int       // bytes of the values that follow; 0: none follow
}

// Append appends the encoding of o to b. The caller keeps o within the limits
// of its fields. Only ModTime, which comes from a file system, may be beyond
// its limits: it is sent as the nearest second within them.
func (o Offer) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(o.Size))
	b = quicvarint.Append(b, zigzag(min(max(o.ModTime.Unix(), minSeconds), maxSeconds)))
	b = quicvarint.Append(b, uint64(o.ModTime.Nanosecond()))
	b = append(b, o.Checksum[:]...)
	b = appendBytes(b, o.Name)
	b = appendProof(b, o.Proof)
	return quicvarint.Append(b, uint64(o.ValuesLen))
}

// ParseOffer reads the body of an offer. Errors are [*MalformedError].
func ParseOffer(b []byte) (Offer, error) {
	if len(b) > MaxOfferLen {
		return Offer{}, malformed("offer", fmt.Sprintf("%d bytes, at most %d are allowed", len(b), MaxOfferLen))
	}
	d := decoder{message: "offer", b: b}
	var o Offer
	o.Size = int64(d.varint("size", MaxFileSize))
	seconds := unzigzag(d.varint("modification time", quicvarint.Max))
	nanos := int64(d.varint("nanoseconds", maxNanos))
	o.ModTime = time.Unix(seconds, nanos).UTC()
	o.Checksum = d.hash("checksum")
	o.Name = string(d.bytes("name", MaxNameLen))
	if d.err == nil && !utf8.ValidString(o.Name) {
		d.fail("name is not UTF-8")
	}
	o.Proof = d.proof()
	o.ValuesLen = int(d.varint("length of the values", MaxInlineValues))
	if err := d.done(); err != nil {
		return Offer{}, err
	}
	return o, nil
}

// ReadOffer reads the body of an offer with the head h. Errors are
// [*MalformedError], [io.ErrUnexpectedEOF] or r's own.
func ReadOffer(r io.Reader, h Header) (Offer, error) {
	b, err := readLimited(r, h, "offer", MaxOfferLen)
	if err != nil {
		return Offer{}, err
	}
	return ParseOffer(b)
}

// ReadValues reads values with the head h. want is their length in bytes for
// the size agreed on; any other length is malformed. Errors are
// [*MalformedError], [io.ErrUnexpectedEOF] or r's own.
func ReadValues(r io.Reader, h Header, want int) (Values, error) {
	if h.Length != uint64(want) {
		return Values{}, malformed("values", fmt.Sprintf("%d bytes, want %d", h.Length, want))
	}
	b, err := readBody(r, want)
	if err != nil {
		return Values{}, err
	}
	return ParseValues(b)
}

func readLimited(r io.Reader, h Header, message string, limit int) ([]byte, error) {
	if h.Length > uint64(limit) {
		return nil, malformed(message, fmt.Sprintf("%d bytes, at most %d are allowed", h.Length, limit))
	}
	return readBody(r, int(h.Length))
}
