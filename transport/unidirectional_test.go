package transport

import (
	"testing"
	"testing/synctest"

	"github.com/quic-go/quic-go"
)

// A client's streams go both ways. What it sends on a one-way stream that
// nobody accepts would be kept until its connection ends. So would datagrams.
func TestHostileUnidirectionalStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		l := serve(t, n.conn(1, 1), ListenOptions{})
		tr := &quic.Transport{Conn: n.conn(2, 2)}
		defer tr.Close()
		c, err := tr.Dial(t.Context(), l.Addr(), clientTLS(), &quic.Config{EnableDatagrams: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseWithError(0, "")
		if _, err := c.OpenStream(); err != nil {
			t.Errorf("a stream both ways: %v", err)
		}
		if _, err := c.OpenUniStream(); err == nil {
			t.Error("a client may open unidirectional streams")
		}
		if err := c.SendDatagram([]byte("x")); err == nil {
			t.Error("a client may send datagrams")
		}
	})
}
