package transport

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"

	"malcolm/transfer/admission"
)

// TestSmallestQUICPathIsEnough: a path that carries at most 1,200 bytes of
// payload, as QUIC demands of every path (RFC 9000, section 14), is enough.
func TestSmallestQUICPathIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var tooLarge, largest atomic.Int64
		narrow := func(p simnet.Packet) bool {
			largest.Store(max(largest.Load(), int64(len(p.Data))))
			if len(p.Data) > initialPacketSize {
				tooLarge.Add(1)
				return true
			}
			return false
		}
		n.drop.Store(&narrow)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		client := mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{})
		if lost := tooLarge.Load(); lost > 0 {
			t.Errorf("%d packets of the handshake were larger than %d bytes", lost, initialPacketSize)
		}
		c, s := streams(t, client, mustAccept(t, l))
		const size = 256 << 10
		go func() {
			s.Write(make([]byte, size))
			s.CloseWrite()
		}()
		if got, err := io.Copy(io.Discard, c); got != size || err != nil {
			t.Errorf("%d bytes arrived, %v, want %d", got, err, size)
		}
		if largest.Load() < initialPacketSize {
			t.Errorf("no packet had more than %d bytes: the path was not narrow for anybody", largest.Load())
		}
	})
}

// TestConnectionIDLength: a server's connection IDs are too long to be guessed,
// or to occur twice, since their reset tokens stay the same.
func TestConnectionIDLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var least atomic.Int64
		least.Store(256)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		see := func(p simnet.Packet) bool {
			if p.From.String() == l.Addr().String() && p.Data[0]&0x80 != 0 { // RFC 9000, section 17.2
				to := int(p.Data[5])
				least.Store(min(least.Load(), int64(p.Data[6+to])))
			}
			return false
		}
		n.drop.Store(&see)
		mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{})
		mustAccept(t, l)
		if got := least.Load(); got != connIDLen {
			t.Errorf("a server's connection ID has %d bytes, want %d", got, connIDLen)
		}
	})
}

// A tokenStore keeps the last token of a NEW_TOKEN frame and always shows it.
type tokenStore struct {
	token atomic.Pointer[quic.ClientToken]
	shown atomic.Int64
}

func (s *tokenStore) Pop(string) *quic.ClientToken {
	s.shown.Add(1)
	return s.token.Load()
}

func (s *tokenStore) Put(_ string, t *quic.ClientToken) { s.token.Store(t) }

// TestOldTokenProvesNothing: a client that was once at an address cannot speak
// in its name later. The token that it got then proves nothing.
func TestOldTokenProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const forged = 4 * admission.MostUnproved
		s := newAttackedServer(t, admission.Limits{Handshakes: 1000}, 1)
		var store tokenStore
		dial := func(ctx context.Context, port int) (*quic.Conn, *quic.Transport, error) {
			pc := s.socketAt(&net.UDPAddr{IP: net.IPv4(10, 1, 0, 1).To4(), Port: port})
			tr := &quic.Transport{Conn: newPlainConn(pc, newWatch(func() {}, func([]byte) {}))}
			c, err := tr.Dial(ctx, s.server, clientTLS(), &quic.Config{TokenStore: &store, Versions: []quic.Version{quic.Version1}})
			return c, tr, err
		}
		c, tr, err := dial(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		c.CloseWithError(0, "")
		tr.Close()
		if store.token.Load() == nil {
			t.Fatal("the server gave no token")
		}
		time.Sleep(time.Hour)
		s.mu.Lock()
		s.repliesLost, s.perFlow, s.most = true, firstFlight, 0
		s.mu.Unlock()
		for i := range forged {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			if c, _, err := dial(ctx, 2+i); err == nil {
				c.CloseWithError(0, "")
			}
			cancel()
		}
		time.Sleep(time.Second)
		if store.shown.Load() < forged {
			t.Errorf("the token was shown %d times", store.shown.Load())
		}
		if _, _, _, most := s.counts(); most > admission.MostUnproved {
			t.Errorf("%d connections were begun in the address's name, want at most %d", most, admission.MostUnproved)
		}
		time.Sleep(time.Minute)
	})
}
