package transport

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// TestNo0RTT: nothing is sent or taken before the handshake is complete, even
// by and from those that could resume.
func TestNo0RTT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		resuming := clientTLS()
		resuming.ServerName = "server"
		resuming.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		early := func(host byte, to net.Addr) bool {
			tr := &quic.Transport{Conn: n.conn(host, int(host))}
			defer tr.Close()
			c, err := tr.DialEarly(t.Context(), to, resuming, nil)
			if err != nil {
				t.Fatal(err)
			}
			<-c.HandshakeComplete()
			time.Sleep(time.Second) // for a ticket
			c.CloseWithError(0, "")
			return c.ConnectionState().Used0RTT
		}
		// A foreign server, with whose ticket a client sends early data
		// ...
		other := &quic.Transport{Conn: n.conn(1, 1)}
		defer other.Close()
		if _, err := other.ListenEarly(serverTLS(), &quic.Config{Allow0RTT: true}); err != nil {
			t.Fatal(err)
		}
		to := other.Conn.LocalAddr()
		if early(2, to) || !early(3, to) {
			t.Fatal("the test does not see 0-RTT")
		}
		// ... our client never sends any there ...
		for host := range byte(2) {
			c := mustDial(t, n.conn(4+host, 4), to, DialOptions{TLS: resuming})
			if s := c.(*quicConn).qc.ConnectionState(); s.Used0RTT || s.TLS.DidResume {
				t.Errorf("our client resumed: %t, with 0-RTT: %t", s.TLS.DidResume, s.Used0RTT)
			}
		}
		// ... and our server gives no ticket for it.
		l := serve(t, n.conn(7, 7), ListenOptions{})
		resuming.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		if early(8, l.Addr()) || early(9, l.Addr()) {
			t.Error("our listener took 0-RTT")
		}
	})
}
