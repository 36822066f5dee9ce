package transport

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func portOf(a net.Addr) uint16 { return uint16(a.(*net.UDPAddr).Port) }

// loopbackPair returns a listener on a free port of 127.0.0.1 and a connection
// to it.
func loopbackPair(t *testing.T) (l Listener, pc *udpConn, client, server Conn) {
	t.Helper()
	lpc, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	l = serve(t, lpc, ListenOptions{})
	cpc, err := DialUDP(netip.Addr{}, netip.AddrPortFrom(loopback, portOf(l.Addr())))
	if err != nil {
		t.Fatal(err)
	}
	client = mustDial(t, cpc, nil, DialOptions{})
	return l, cpc.(*udpConn), client, mustAccept(t, l)
}

func TestListenUDP(t *testing.T) {
	all, err := ListenUDP("", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	port := portOf(all.LocalAddr())
	for _, to := range []string{"127.0.0.1", "::1"} {
		c, err := DialUDP(netip.Addr{}, netip.AddrPortFrom(netip.MustParseAddr(to), port))
		if err != nil {
			if to == "::1" {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.WriteTo([]byte(to), nil); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, _, err := all.ReadFrom(b)
		if err != nil || string(b[:n]) != to {
			t.Errorf("read %q, %v, want %q", b[:n], err, to)
		}
	}
	_, err = ListenUDP("", port)
	if !InUse(err) {
		t.Errorf("second socket on a port: %v, want one for InUse", err)
	}
	for _, bind := range []string{"192.0.2.1", "not an address"} {
		if _, err := ListenUDP(bind, 0); err == nil || InUse(err) {
			t.Errorf("ListenUDP(%q): %v", bind, err)
		}
	}
	for _, bind := range []string{"127.0.0.1", "0.0.0.0", "localhost"} {
		pc, err := ListenUDP(bind, 0)
		if err != nil {
			t.Errorf("ListenUDP(%q): %v", bind, err)
			continue
		}
		if bind == "0.0.0.0" && pc.LocalAddr().(*net.UDPAddr).IP.To4() == nil {
			t.Errorf("ListenUDP(%q) listens on %v", bind, pc.LocalAddr())
		}
		pc.Close()
	}
}

func TestDialUDPGivesAll(t *testing.T) {
	c, err := DialUDP(netip.Addr{}, netip.AddrPortFrom(loopback, 9))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, ok := c.(quic.OOBCapablePacketConn); !ok {
		t.Error("quic-go would see a plain socket")
	}
	if _, ok := c.(net.Conn); !ok {
		t.Error("not a net.Conn")
	}
}

func TestClosedPort(t *testing.T) {
	lpc, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(lpc.LocalAddr())
	lpc.Close()
	pc, err := DialUDP(netip.Addr{}, netip.AddrPortFrom(loopback, port))
	if err != nil {
		t.Fatal(err)
	}
	_, err = dial(pc, nil, DialOptions{})
	if runtime.GOOS == "windows" {
		t.Skipf("depends on the firewall: %v", err)
	}
	wantNetwork(t, err, PortUnreachable)
	if _, err := pc.WriteTo([]byte{1}, nil); err == nil {
		t.Error("the socket is still open")
	}
}

func TestKilledServer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("depends on the firewall")
	}
	l, pc, client, _ := loopbackPair(t)
	pc.watch.mu.Lock()
	pc.watch.patience = refusalPatience / 10
	pc.watch.mu.Unlock()
	// As when its process is killed: nothing more is sent. A closing
	// quic-go transport may still answer a packet with a stateless reset.
	l.(*quicListener).pc.Close()
	s, err := client.OpenStream(t.Context(), Patient)
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte{1})
	<-client.Done()
	wantNetwork(t, client.Err(), PortUnreachable)
	_, err = s.Read(make([]byte, 1))
	wantNetwork(t, err, PortUnreachable)
}

func TestRealTransfer(t *testing.T) {
	_, pc, client, server := loopbackPair(t)
	if runtime.GOOS == "linux" && kernelHasGSO(t, pc.UDPConn) && !client.(*quicConn).gso() {
		t.Error("no GSO on a connected socket")
	}
	const size = 4 << 20
	download(t, client, server, size)
	client.Close(5, "done")
	<-server.Done()
	if e := wantPeer(t, server.Err(), PeerClosed); e.Code != 5 || e.Text != "done" {
		t.Errorf("code %d, text %q", e.Code, e.Text)
	}
	if _, err := pc.Write([]byte{1}); err == nil {
		t.Error("the socket is still open")
	}
}

func TestOrdinarySocketsWork(t *testing.T) {
	l, _, _, _ := loopbackPair(t)
	pc, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	client := mustDial(t, pc, l.Addr(), DialOptions{})
	c, s := streams(t, client, mustAccept(t, l))
	s.CloseWrite()
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	l, _, client, _ := loopbackPair(t)
	client.Close(0, "")
	l.Close()
	// A goroutine that has closed a channel or called back may need a
	// moment to return. The test's own time limit ends the loop.
	var stacks string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		b := make([]byte, 1<<20)
		stacks = string(b[:runtime.Stack(b, true)])
		if !strings.Contains(stacks, "quic-go.(") && !strings.Contains(stacks, "transport.(*udpConn)") {
			return
		}
	}
	t.Errorf("still running:\n%s", stacks)
}
