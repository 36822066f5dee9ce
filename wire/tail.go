package wire

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/quic-go/quic-go/quicvarint"
)

// A Tail is what a message says beyond its fixed fields, in ascending order of
// types. Readers keep the types that they pass over, so that a message has one
// encoding.
type Tail []Extra

// An Extra is one type of a tail, and its bytes (at most 256).
type Extra struct {
	Type uint64
	Data []byte
}

// tailCongestion is the type of [Opened.Congestion].
const tailCongestion = 1

// The types that never get a meaning, from firstIdle up to lastIdle.
const (
	firstIdle = 1 << 16
	lastIdle  = 1 << 30
)

// Idle returns a tail with one random type that means nothing. Send it, so that
// every reader passes over what it does not know.
func Idle() Tail {
	var b [8 + maxIdleLen]byte
	rand.Read(b[:])
	t := firstIdle + binary.BigEndian.Uint64(b[:8])%(lastIdle-firstIdle) | 1
	return Tail{{Type: t, Data: b[8 : 8+int(b[7])%(maxIdleLen+1)]}}
}

// maxIdleLen bounds the bytes of a random type.
const maxIdleLen = 16

func appendTail(b []byte, t Tail) []byte {
	for _, e := range t {
		b = appendBytes(quicvarint.Append(b, e.Type), e.Data)
	}
	return b
}

// tail reads the rest of the body.
func (d *decoder) tail() (t Tail) {
	for d.err == nil && len(d.b) > 0 {
		e := Extra{Type: d.varint("type in the tail", quicvarint.Max)}
		e.Data = append([]byte{}, d.bytes("bytes in the tail", maxTailLen)...)
		switch {
		case d.err != nil:
		case len(t) > 0 && e.Type <= t[len(t)-1].Type:
			d.fail("tail is not in ascending order")
		case e.Type%2 == 0:
			d.fail("type %d in the tail is not known and may not be passed over", e.Type)
		case len(t) == maxTail:
			d.fail("tail has more than %d types", maxTail)
		}
		t = append(t, e)
	}
	return t
}
