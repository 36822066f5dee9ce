package transport

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/quicvarint"
	"github.com/quic-go/quic-go/testutils/simnet"
)

// A maliciousServer makes packets of a server, with frames in them that no
// honest implementation sends. It knows the server's secret.
type maliciousServer struct {
	*network
	keys bytes.Buffer // of the server's TLS, in the format of SSLKEYLOGFILE

	mu   sync.Mutex
	last simnet.Packet // of the server's, with a short header
}

// clientIDLen is the length of a client's connection IDs, in bytes.
const clientIDLen = 4

func newMaliciousServer(t *testing.T) (f *maliciousServer, client Conn) {
	f = &maliciousServer{network: newNetwork(t)}
	conf := serverTLS()
	conf.KeyLogWriter = &f.keys
	l := serve(t, f.conn(1, 1), ListenOptions{TLS: conf})
	see := func(p simnet.Packet) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if p.From.String() == l.Addr().String() && p.Data[0]&0x80 == 0 {
			f.last = p
		}
		return false
	}
	f.drop.Store(&see)
	client = mustDial(t, f.conn(2, 2), l.Addr(), DialOptions{})
	mustAccept(t, l)
	if suite := client.TLS().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("%s: only AES can be forged here", tls.CipherSuiteName(suite))
	}
	time.Sleep(time.Second) // there is a packet with a short header by now
	return f, client
}

// secret returns the server's first secret for packets with a short header.
func (f *maliciousServer) secret() []byte {
	for line := range strings.Lines(f.keys.String()) {
		if words := strings.Fields(line); words[0] == "SERVER_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(words[2])
			if err != nil {
				f.t.Fatal(err)
			}
			return secret
		}
	}
	f.t.Fatal("the server's secret is not known")
	return nil
}

// expand is HKDF-Expand-Label of RFC 8446, section 7.1, with an empty context.
func (f *maliciousServer) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := fmt.Sprintf("%c%c%c%s%c", 0, n, len(label), label, 0)
	key, err := hkdf.Expand(sha256.New, f.secret(), info, n)
	if err != nil {
		f.t.Fatal(err)
	}
	return key
}

func (f *maliciousServer) block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// send sends frames to the client in a packet of the server, with a number that
// the server itself never reaches (RFC 9001, sections 5.3 and 5.4).
func (f *maliciousServer) send(frames ...[]byte) {
	const number = 1000
	payload := slices.Concat(frames...)
	payload = append(payload, make([]byte, 16)...) // PADDING
	f.mu.Lock()
	p := f.last
	f.mu.Unlock()
	head := append([]byte{0x43}, p.Data[1:1+clientIDLen]...)
	head = binary.BigEndian.AppendUint32(head, number)
	nonce := f.expand("quic iv", 12)
	nonce[10] ^= number >> 8
	nonce[11] ^= number & 0xff
	aead, err := cipher.NewGCM(f.block(f.expand("quic key", 16)))
	if err != nil {
		f.t.Fatal(err)
	}
	p.Data = aead.Seal(slices.Clone(head), nonce, payload, head)
	mask := make([]byte, aes.BlockSize)
	at := 1 + clientIDLen
	f.block(f.expand("quic hp", 16)).Encrypt(mask, p.Data[at+4:at+4+aes.BlockSize])
	p.Data[0] ^= mask[0] & 0x1f
	for i := range 4 {
		p.Data[at+i] ^= mask[1+i]
	}
	if err := f.PerfectRouter.SendPacket(p); err != nil {
		f.t.Fatal(err)
	}
}

// Transport errors of RFC 9000, section 20.1.
const (
	flowControlError   = 0x3
	streamLimitError   = 0x4
	streamStateError   = 0x5
	frameEncodingError = 0x7
)

// streamFrame is a STREAM frame of one byte.
func streamFrame(id, offset uint64) []byte {
	return append(quicvarint.Append(quicvarint.Append([]byte{0x0e}, id), offset), 1, 0)
}

// A server that sends what its client has not allowed is cut off, and nothing
// that it sent is kept.
func TestHostileFrames(t *testing.T) {
	for _, test := range []struct {
		name  string
		frame []byte
		code  uint64 // 0: the connection goes on
	}{
		{"nothing but padding", nil, 0},
		{"a stream of the server's", streamFrame(1, 0), streamLimitError},
		{"a thousandth stream of the server's", streamFrame(4001, 0), streamLimitError},
		{"a unidirectional stream", streamFrame(3, 0), streamLimitError},
		{"a stream that the client has not opened", streamFrame(400, 0), streamStateError},
		{"a byte beyond the window", streamFrame(0, DefaultStreamWindow), flowControlError},
		{"a datagram", []byte{0x31, 1, 0}, frameEncodingError},
		{"a frame that there is not", []byte{0x21}, frameEncodingError},
		{"2^60 and one streams", append([]byte{0x12}, quicvarint.Append(nil, 1<<60+1)...), frameEncodingError},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, client := newMaliciousServer(t)
				if _, err := client.OpenStream(context.Background(), Patient); err != nil { // number 0
					t.Fatal(err)
				}
				f.send(test.frame)
				time.Sleep(testRTT)
				switch err := client.Err(); {
				case test.code == 0 && err != nil:
					t.Errorf("error = %v, want none", err)
				case test.code != 0:
					if e := wantPeer(t, err, PeerProtocol); e.Code != test.code {
						t.Errorf("error = %v, want code 0x%x", e, test.code)
					}
				}
			})
		})
	}
}
