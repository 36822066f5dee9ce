package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

const testALPN = "transport-test"

// testCert is made once, since every bubble would pay for it.
var testCert = func() tls.Certificate {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}()

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{testCert}, NextProtos: []string{testALPN}}
}

func clientTLS() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		NextProtos:         []string{testALPN},
		VerifyConnection:   func(tls.ConnectionState) error { return nil },
	}
}

// network is a simulated one with half of rtt in each direction. drop, if set,
// sees every packet and decides which are lost.
type network struct {
	simnet.PerfectRouter
	t    *testing.T
	rtt  time.Duration
	drop atomic.Pointer[func(simnet.Packet) bool]
}

const testRTT = 20 * time.Millisecond

func newNetwork(t *testing.T) *network { return &network{t: t, rtt: testRTT} }

func (n *network) SendPacket(p simnet.Packet) error {
	if drop := n.drop.Load(); drop != nil && (*drop)(p) {
		return nil
	}
	return n.PerfectRouter.SendPacket(p)
}

// conn returns a socket at 10.0.0.host:port, which replaces an earlier one.
func (n *network) conn(host byte, port int) net.PacketConn {
	addr := &net.UDPAddr{IP: net.IPv4(10, 0, 0, host).To4(), Port: port}
	link := &simnet.SimulatedLink{UploadPacket: n, Latency: n.rtt / 2}
	c := simnet.NewBlockingSimConn(addr, link)
	link.Start()
	n.AddNode(addr, link) // packets may come from here on
	n.t.Cleanup(func() { c.Close(); link.Close() })
	return c
}

func serve(t *testing.T, pc net.PacketConn, o ListenOptions) Listener {
	t.Helper()
	if o.TLS == nil {
		o.TLS = serverTLS()
	}
	l, err := Listen(pc, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(pc net.PacketConn, remote net.Addr, o DialOptions) (Conn, error) {
	if o.TLS == nil {
		o.TLS = clientTLS()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return Dial(ctx, pc, remote, o)
}

func mustDial(t *testing.T, pc net.PacketConn, remote net.Addr, o DialOptions) Conn {
	t.Helper()
	c, err := dial(pc, remote, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(0, "") })
	return c
}

func mustAccept(t *testing.T, l Listener) Conn {
	t.Helper()
	c, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair returns both ends of one connection over a simulated network.
func pair(t *testing.T) (client, server Conn) {
	n := newNetwork(t)
	l := serve(t, n.conn(1, 1), ListenOptions{})
	client = mustDial(t, n.conn(2, 2), l.Addr(), DialOptions{})
	return client, mustAccept(t, l)
}

// streams returns both ends of one stream; the client has sent one byte.
func streams(t *testing.T, client, server Conn) (c, s Stream) {
	t.Helper()
	c, err := client.OpenStream(t.Context(), Patient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	s, err = server.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c, s
}

func wantPeer(t *testing.T, err error, kind PeerKind) *PeerError {
	t.Helper()
	e, ok := errors.AsType[*PeerError](err)
	if !ok || e.Kind != kind {
		t.Fatalf("error = %T %v, want a PeerError of kind %d", err, err, kind)
	}
	return e
}

func wantNetwork(t *testing.T, err error, kind NetworkKind) {
	t.Helper()
	if e, ok := errors.AsType[*NetworkError](err); !ok || e.Kind != kind {
		t.Fatalf("error = %T %v, want a NetworkError of kind %d", err, err, kind)
	}
}

func wantLocal(t *testing.T, err error, kind LocalKind) {
	t.Helper()
	if e, ok := errors.AsType[*LocalError](err); !ok || e.Kind != kind {
		t.Fatalf("error = %T %v, want a LocalError of kind %d", err, err, kind)
	}
}
