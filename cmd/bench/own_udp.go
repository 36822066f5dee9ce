package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
)

var errDatagram = errors.New("a datagram of another length")

// udpServeCmd is the server of the ceiling.
type udpServeCmd struct {
	Bind   string `required:""`
	Number int    `default:"1"`
}

// udpGetCmd is its client.
type udpGetCmd struct {
	Size    int64    `required:""`
	Targets []string `arg:""`
}

// The ceiling is a flow of UDP datagrams of udpPayload bytes: a number of 8
// bytes, and the rest encrypted by AES-128-GCM. The client answers with the
// next number that it expects. The server keeps at most udpWindow datagrams of
// a flow on their way, so that only a full buffer elsewhere loses any. When the
// client has enough, it answers udpEnough.
const (
	udpPayload = 1452                             // bytes, as in QUIC on a path of MTU 1500 over IPv6
	udpNumber  = 8                                // bytes of the packet number
	udpPlain   = udpPayload - udpNumber - udpAEAD // bytes of data in a datagram
	udpAEAD    = 16                               // bytes of the tag
	udpBatch   = 44                               // datagrams of one system call: at most 64 KiB
	udpBuffer  = 7 << 20                          // bytes asked for as socket buffer
	udpWindow  = 1 << 20 / udpPayload             // datagrams under way
	udpAck     = udpWindow / 4                    // datagrams between two answers
	udpEnough  = ^uint64(0)
)

// udpCipher returns the cipher of all flows. The key is no secret: this
// measures what encryption costs.
func udpCipher() (cipher.AEAD, error) {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// udpSeal writes datagram number into b, which has udpPayload bytes.
func udpSeal(aead cipher.AEAD, b []byte, number uint64) {
	binary.BigEndian.PutUint64(b, number)
	var nonce [12]byte
	binary.BigEndian.PutUint64(nonce[4:], number)
	aead.Seal(b[:udpNumber], nonce[:], b[udpNumber:udpNumber+udpPlain], b[:udpNumber])
}

// udpOpen deciphers a datagram in place and returns its number.
func udpOpen(aead cipher.AEAD, b []byte) (uint64, error) {
	if len(b) != udpPayload {
		return 0, errDatagram
	}
	var nonce [12]byte
	copy(nonce[4:], b[:udpNumber])
	_, err := aead.Open(b[udpNumber:udpNumber], nonce[:], b[udpNumber:], b[:udpNumber])
	return binary.BigEndian.Uint64(b), err
}

// A udpReceiver counts the datagrams of one flow.
type udpReceiver struct {
	aead     cipher.AEAD
	got      uint64 // datagrams
	next     uint64 // one more than the highest number
	answered uint64 // the last next that was answered
}

// take deciphers the result of one system call: datagrams of segment bytes
// each, one behind the other.
func (r *udpReceiver) take(b []byte, segment int) error {
	if segment <= 0 {
		segment = len(b)
	}
	for len(b) > 0 {
		n := min(segment, len(b))
		number, err := udpOpen(r.aead, b[:n])
		if err != nil {
			return err
		}
		r.got++
		r.next = max(r.next, number+1)
		b = b[n:]
	}
	return nil
}

// answer returns what to tell the server now, if anything.
func (r *udpReceiver) answer() (uint64, bool) {
	if r.next-r.answered < udpAck {
		return 0, false
	}
	r.answered = r.next
	return r.next, true
}

// lost is the number of datagrams that never came.
func (r *udpReceiver) lost() uint64 { return r.next - min(r.got, r.next) }
