package wire

import (
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/quic-go/quic-go/quicvarint"
)

// A Header begins every frame of a reply.
type Header struct {
	Status Status
	Length int // of the body that follows, in bytes, 0 to MaxFrameLen
}

// Append appends the encoding of h to b.
func (h Header) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(h.Status))
	return quicvarint.Append(b, uint64(h.Length))
}

// ReadHeader reads the head of the next frame. Errors are [io.EOF] if the reply
// has ended, [io.ErrUnexpectedEOF] if it ended within a head,
// [*MalformedError], or r's own.
func ReadHeader(r io.Reader) (Header, error) {
	s, err := readVarint(r, "reply", "status", quicvarint.Max)
	if err != nil {
		return Header{}, err
	}
	n, err := readVarint(r, "reply", "length", MaxFrameLen)
	if err != nil {
		return Header{}, unexpected(err)
	}
	return Header{Status: Status(s), Length: int(n)}, nil
}

// A Refusal is a status that ends a reply without what was asked for. Text is
// the peer's: quote it before a person sees it.
type Refusal struct {
	Status Status
	Wait   time.Duration // after which to come back, in whole milliseconds, up to MaxWait of them; 0: not known
	Text   string        // at most MaxTextLen bytes of anything
}

func (e *Refusal) Error() string {
	if e.Text == "" {
		return "refused: " + e.Status.String()
	}
	return fmt.Sprintf("refused: %s: %q", e.Status, e.Text)
}

// Append appends the frame of the refusal to b. The text is cut to [MaxTextLen]
// bytes, the wait is rounded up and kept within its limit.
func (e *Refusal) Append(b []byte) []byte {
	body := e.appendBody(nil)
	b = Header{Status: e.Status, Length: len(body)}.Append(b)
	return append(b, body...)
}

func (e *Refusal) appendBody(b []byte) []byte {
	wait := min(max(e.Wait, 0), MaxWait*time.Millisecond)
	ms := (wait + time.Millisecond - 1) / time.Millisecond
	b = quicvarint.Append(b, uint64(ms))
	return append(b, e.Text[:min(len(e.Text), MaxTextLen)]...)
}

// maxRefusalLen bounds the body of a refusal: a varint and a text.
const maxRefusalLen = 8 + MaxTextLen

// ReadRefusal reads the body that belongs to h and returns the refusal as an
// error. Any other error says that it could not be read: [*MalformedError]
// (also if the status is no refusal), [io.ErrUnexpectedEOF] or r's own.
func ReadRefusal(r io.Reader, h Header) error {
	b, err := readLimited(r, h, "refusal", maxRefusalLen)
	if err != nil {
		return err
	}
	d := decoder{message: "refusal", b: b}
	e := d.refusal(h.Status)
	if err := d.done(); err != nil {
		return err
	}
	return e
}

// refusal reads the rest of the body.
func (d *decoder) refusal(s Status) *Refusal {
	if !s.refuses() {
		d.fail("status %q is no refusal", s)
	}
	e := &Refusal{Status: s, Wait: time.Duration(d.varint("wait", MaxWait)) * time.Millisecond}
	if d.err == nil && len(d.b) > MaxTextLen {
		d.fail("text of %d bytes, at most %d are allowed", len(d.b), MaxTextLen)
	}
	e.Text = string(d.take("text", len(d.b)))
	return e
}

// A FailedSpan says that the rest of a span does not come.
type FailedSpan struct {
	Index   int // of the span in its request, 0 to MaxSpans - 1
	Refusal Refusal
}

// Append appends the frame of f to b.
func (f FailedSpan) Append(b []byte) []byte {
	body := quicvarint.Append(nil, uint64(f.Index))
	body = quicvarint.Append(body, uint64(f.Refusal.Status))
	body = f.Refusal.appendBody(body)
	b = Header{Status: StatusFailedSpan, Length: len(body)}.Append(b)
	return append(b, body...)
}

// ReadFailedSpan reads the body of a frame "failed span" with the head h.
// Errors are [*MalformedError], [io.ErrUnexpectedEOF] or r's own.
func ReadFailedSpan(r io.Reader, h Header) (FailedSpan, error) {
	b, err := readLimited(r, h, "failed span", 2+8+maxRefusalLen)
	if err != nil {
		return FailedSpan{}, err
	}
	d := decoder{message: "failed span", b: b}
	f := FailedSpan{Index: int(d.varint("index", MaxSpans-1))}
	s := Status(d.varint("status", quicvarint.Max))
	f.Refusal = *d.refusal(s)
	if err := d.done(); err != nil {
		return FailedSpan{}, err
	}
	return f, nil
}

// Limits are what a server allows on one connection.
type Limits struct {
	Streams int   // requests under way, 1 to 2^31 - 1
	Flight  int64 // bytes of ranges under way, at least LeastLongest
	Longest int64 // bytes that one request for ranges asks for, LeastLongest to Flight
	Wasted  int   // requests that may come to nothing, 0 to 2^31 - 1
}

// Opened is the reply to an accepted [Open].
type Opened struct {
	Limits Limits
	Proof  *[32]byte // that the server holds the access token; nil: no proof
	Tail   Tail
}

// Append appends the body of the reply to b.
func (o Opened) Append(b []byte) []byte {
	for _, n := range []int64{int64(o.Limits.Streams), o.Limits.Flight, o.Limits.Longest, int64(o.Limits.Wasted)} {
		b = quicvarint.Append(b, uint64(n))
	}
	b = appendProof(b, o.Proof)
	return appendTail(b, o.Tail)
}

// MaxOpenedLen bounds the body of the reply to an [Open], in bytes.
const MaxOpenedLen = 8 << 10

// ReadOpened reads the body of the reply to an open, with the head h. Errors
// are [*MalformedError], [io.ErrUnexpectedEOF] or r's own.
func ReadOpened(r io.Reader, h Header) (Opened, error) {
	b, err := readLimited(r, h, "reply to open", MaxOpenedLen)
	if err != nil {
		return Opened{}, err
	}
	d := decoder{message: "reply to open", b: b}
	var o Opened
	o.Limits.Streams = int(d.varint("streams", maxCount))
	o.Limits.Flight = int64(d.varint("bytes under way", maxAnnounce))
	o.Limits.Longest = int64(d.varint("longest request", maxAnnounce))
	o.Limits.Wasted = int(d.varint("wasted requests", maxCount))
	if l := o.Limits; d.err == nil && (l.Streams < 1 || l.Longest < LeastLongest || l.Flight < l.Longest) {
		d.fail("limits of %d streams, %d bytes under way and %d in one request are too small", l.Streams, l.Flight, l.Longest)
	}
	o.Proof = d.proof()
	o.Tail = d.tail()
	if err := d.done(); err != nil {
		return Opened{}, err
	}
	return o, nil
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

// A Kind is what an offer is of.
type Kind uint64

// The kinds of offers. Their numbers are frozen.
const (
	KindFile Kind = 0
	KindTree Kind = 1 // Size, Checksum and values are those of its listing
)

// An Offer is what a server says of a file or a tree.
type Offer struct {
	Kind      Kind
	Size      int64     // in bytes, 0 to MaxFileSize
	ModTime   time.Time // UTC when parsed; -2^61 to 2^61 - 1 s, more years than its JSON can hold
	Checksum  [32]byte  // BLAKE3-256
	Name      string    // at most MaxNameLen bytes of UTF-8; empty: no name
	Times     [32]byte  // of a tree: checksum of its list of times
	TimesSize int64     // of a tree: size of that list in bytes, 0 to MaxTimesSize
	ValuesLen int       // bytes of the values that follow; 0: they do not follow
	Tail      Tail
}

// Append appends the encoding of o to b. The caller keeps o within the limits
// of its fields. Only ModTime, which comes from a file system, may be beyond
// its limits: it is sent as the nearest second within them.
func (o Offer) Append(b []byte) []byte {
	b = quicvarint.Append(b, uint64(o.Kind))
	b = quicvarint.Append(b, uint64(o.Size))
	b = appendTime(b, o.ModTime)
	b = appendChecksum(b, o.Checksum)
	b = appendBytes(b, o.Name)
	if o.Kind == KindTree {
		b = appendChecksum(b, o.Times)
		b = quicvarint.Append(b, uint64(o.TimesSize))
	}
	b = quicvarint.Append(b, uint64(o.ValuesLen))
	return appendTail(b, o.Tail)
}

// OfferableName returns the name to offer: name, or "" when an offer cannot
// carry it.
func OfferableName(name string) string {
	if len(name) > MaxNameLen || !utf8.ValidString(name) {
		return ""
	}
	return name
}

// ParseOffer reads the body of an offer. Errors are [*MalformedError].
func ParseOffer(b []byte) (Offer, error) {
	if len(b) > MaxOfferLen {
		return Offer{}, malformed("offer", fmt.Sprintf("%d bytes, at most %d are allowed", len(b), MaxOfferLen))
	}
	d := decoder{message: "offer", b: b}
	var o Offer
	o.Kind = Kind(d.varint("kind", uint64(KindTree)))
	o.Size = int64(d.varint("size", MaxFileSize))
	o.ModTime = d.time("modification time")
	o.Checksum = d.checksum("checksum")
	o.Name = string(d.bytes("name", MaxNameLen))
	if d.err == nil && !utf8.ValidString(o.Name) {
		d.fail("name is not UTF-8")
	}
	if o.Kind == KindTree {
		o.Times = d.checksum("checksum of the times")
		o.TimesSize = int64(d.varint("size of the times", MaxTimesSize))
	}
	o.ValuesLen = int(d.varint("length of the values", MaxInlineValues))
	if d.err == nil && o.ValuesLen%ValueLen != 0 {
		d.fail("values of %d bytes, want a multiple of %d", o.ValuesLen, ValueLen)
	}
	o.Tail = d.tail()
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

func readLimited(r io.Reader, h Header, message string, limit int) ([]byte, error) {
	if h.Length > limit {
		return nil, malformed(message, fmt.Sprintf("%d bytes, at most %d are allowed", h.Length, limit))
	}
	return readBody(r, h.Length)
}
