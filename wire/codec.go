package wire

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
)

// checksumBLAKE3 is the only kind of checksum: BLAKE3-256.
const checksumBLAKE3 = 0

// The range of a time: what a varint can hold.
const (
	minSeconds = -1 << 61
	maxSeconds = 1<<61 - 1
	maxNanos   = 999_999_999
)

// A decoder consumes the fields of one message body. The first error stays:
// later fields are zero, and done returns it.
type decoder struct {
	message string
	b       []byte
	err     error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = malformed(d.message, fmt.Sprintf(format, args...))
	}
}

// varint reads an integer of at most limit.
func (d *decoder) varint(field string, limit uint64) uint64 {
	return d.varintOf(field, "", limit)
}

// varintOf reads an integer of at most limit, which is a part of a field.
func (d *decoder) varintOf(field, part string, limit uint64) uint64 {
	if d.err != nil {
		return 0
	}
	v, n, err := quicvarint.Parse(d.b)
	if err != nil {
		d.fail("ends within its %s%s", field, part)
		return 0
	}
	if n != quicvarint.Len(v) {
		d.fail("%s%s is not in its shortest form", field, part)
		return 0
	}
	if v > limit {
		d.fail("%s%s is %d, at most %d is allowed", field, part, v, limit)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// take reads n bytes, which stay part of the body.
func (d *decoder) take(field string, n int) []byte {
	if d.err != nil {
		return nil
	}
	if len(d.b) < n {
		d.fail("ends within its %s", field)
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

// bytes reads a length of at most limit, and that number of bytes.
func (d *decoder) bytes(field string, limit int) []byte {
	return d.take(field, int(d.varintOf(field, " length", uint64(limit))))
}

func (d *decoder) hash(field string) (h [32]byte) {
	copy(h[:], d.take(field, hashLen))
	return h
}

// checksum reads a checksum of the only kind that is known.
func (d *decoder) checksum(field string) [32]byte {
	kind := d.varintOf(field, " kind", quicvarint.Max)
	if d.err == nil && kind != checksumBLAKE3 {
		d.fail("%s is of the unknown kind %d", field, kind)
	}
	return d.hash(field)
}

func (d *decoder) time(field string) time.Time {
	seconds := unzigzag(d.varint(field, quicvarint.Max))
	nanos := int64(d.varintOf(field, " nanoseconds", maxNanos))
	return time.Unix(seconds, nanos).UTC()
}

func (d *decoder) proof() *[32]byte {
	p := d.bytes("proof", hashLen)
	switch len(p) {
	case 0:
		return nil
	case hashLen:
		return (*[32]byte)(append([]byte(nil), p...))
	}
	d.fail("proof has %d bytes, want 0 or %d", len(p), hashLen)
	return nil
}

// done returns the first error. Bytes left over are an error too.
func (d *decoder) done() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("has %d bytes too many", len(d.b))
	}
	return d.err
}

func appendBytes[T string | []byte](b []byte, p T) []byte {
	return append(quicvarint.Append(b, uint64(len(p))), p...)
}

func appendChecksum(b []byte, sum [32]byte) []byte {
	return append(quicvarint.Append(b, checksumBLAKE3), sum[:]...)
}

// appendTime appends t, or the nearest second that a time can hold.
func appendTime(b []byte, t time.Time) []byte {
	b = quicvarint.Append(b, zigzag(min(max(t.Unix(), minSeconds), maxSeconds)))
	return quicvarint.Append(b, uint64(t.Nanosecond()))
}

func appendProof(b []byte, p *[32]byte) []byte {
	if p == nil {
		return append(b, 0)
	}
	return appendBytes(b, p[:])
}

// readVarint reads an integer of at most limit from a stream. If the stream
// ends before the first byte the error is [io.EOF], later
// [io.ErrUnexpectedEOF].
func readVarint(r io.Reader, message, field string, limit uint64) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return 0, err
	}
	n := 1 << (b[0] >> 6)
	if _, err := io.ReadFull(r, b[1:n]); err != nil {
		return 0, unexpected(err)
	}
	d := decoder{message: message, b: b[:n]}
	v := d.varint(field, limit)
	return v, d.done()
}

// readBody reads n bytes. Memory grows with what has arrived, never with what
// was announced; at the end it is less than 1.5 n.
func readBody(r io.Reader, n int) ([]byte, error) {
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		if len(b) == cap(b) {
			size := 2 * cap(b)
			if 4*cap(b) >= n { // the last copy moves less than half
				size = n
			}
			grown := make([]byte, len(b), size)
			copy(grown, b)
			b = grown
		}
		got, err := io.ReadFull(r, b[len(b):cap(b)])
		b = b[:len(b)+got]
		if err != nil {
			return nil, unexpected(err)
		}
	}
	return b, nil
}

// readEnd checks that a stream ends here.
func readEnd(r io.Reader, message string) error {
	var b [1]byte
	switch n, err := io.ReadFull(r, b[:]); {
	case n > 0:
		return malformed(message, "has bytes behind its end")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func zigzag(n int64) uint64 { return uint64(n)<<1 ^ uint64(n>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// addOverflows reports whether a + b does not fit limit.
func addOverflows(a, b, limit uint64) bool {
	sum, carry := bits.Add64(a, b, 0)
	return carry != 0 || sum > limit
}
