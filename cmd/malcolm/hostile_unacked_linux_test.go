package main

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"malcolm/certs"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/admission"
	"malcolm/transfer/manifest"
	"malcolm/transport"
	"malcolm/wire"
)

// A tardy socket is a client's whose packets leave late, so that the server's congestion
// window grows as on a long path; once it holds them back, only one in ten seconds leaves,
// so that the connection lives and nothing more is acknowledged.
type tardy struct {
	net.PacketConn
	delay time.Duration

	mu      sync.Mutex
	holding bool
	held    [][]byte
	to      net.Addr
}

func (c *tardy) WriteTo(p []byte, to net.Addr) (int, error) {
	q := bytes.Clone(p)
	time.AfterFunc(c.delay, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.to = to
		switch {
		case !c.holding:
			c.PacketConn.WriteTo(q, to)
		case len(c.held) < 100:
			c.held = append(c.held, q)
		}
	})
	return len(p), nil
}

// hold holds packets back.
func (c *tardy) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = true
}

// let lets one of them go.
func (c *tardy) let() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) > 0 {
		c.PacketConn.WriteTo(c.held[0], c.to)
		c.held = c.held[1:]
	}
}

// SetReadBuffer and SetWriteBuffer keep quic-go from warning about a connection without
// them.
func (c *tardy) SetReadBuffer(int) error  { return nil }
func (c *tardy) SetWriteBuffer(int) error { return nil }

// raidTardily connects with windows that bound nothing.
func (b *besieged) raidTardily(from int) (*tardy, *transport.Conn, error) {
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(attacker(from), 0)))
	if err != nil {
		return nil, nil, err
	}
	if raw, err := udp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16*mib) })
	}
	c := &tardy{PacketConn: struct{ net.PacketConn }{udp}, delay: 250 * time.Millisecond}
	conn, err := transport.Dial(b.t.Context(), c, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(b.port)}, transport.DialOptions{
		TLS: certs.ClientTLS(wire.ALPN, nil), Windows: transport.NewWindowBudget(1 << 40), StreamWindow: 30 * mib, ConnWindow: 30 * mib,
	})
	return c, conn, err
}

// readOn asks for the whole file again and again, and reads it, until the connection ends.
func (b *besieged) readOn(conn *transport.Conn, got *atomic.Int64) {
	p := make([]byte, 64<<10)
	for {
		st, err := conn.OpenStream(b.t.Context())
		if err != nil {
			return
		}
		st.Write(b.wholeFile())
		st.CloseWrite()
		for err == nil {
			var n int
			n, err = st.Read(p)
			got.Add(int64(n))
		}
		if err != io.EOF {
			return
		}
	}
}

// What clients do not acknowledge is kept below serve: it is bounded, too. As large as
// the promise is made with MALCOLM_TEST_UNACKED=512: so many connections, the default
// budget of 256 MiB, and less than 384 MiB resident in all.
func TestHostileUnacknowledgedMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs more memory than the attacks")
	}
	conns, batch, budget := 12, 4, int64(8*mib)
	if n, err := strconv.Atoi(os.Getenv("MALCOLM_TEST_UNACKED")); err == nil {
		conns, batch, budget = n, 32, 256*mib
	}
	data := make([]byte, besiegedSize)
	rand.Read(data)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	_, sum, err := manifest.Build(t.Context(), bytes.NewReader(data), besiegedSize, manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := besiege(t, data, sum, path, "--max-held", strconv.FormatInt(budget, 10))
	b.honest()
	alone, _ := b.memory()

	var got atomic.Int64
	var reading sync.WaitGroup
	var sockets []*tardy
	var all []*transport.Conn
	// A few at a time, so that each has the rate for a large window.
	for i := range conns {
		c, conn, err := b.raidTardily(1 + i/16)
		if err != nil {
			t.Fatal(err)
		}
		sockets, all = append(sockets, c), append(all, conn)
		reading.Go(func() { b.readOn(conn, &got) })
		if i%batch == batch-1 {
			time.Sleep(4 * time.Second) // more of it makes the attack worse
			for _, c := range sockets {
				c.hold()
			}
		}
	}
	for range 3 { // what does not move goes after 10 s
		time.Sleep(5 * time.Second)
		for _, c := range sockets {
			c.let()
		}
	}
	b.honest()
	m, ok := b.memory()
	if !ok || strings.Contains(b.stderr.String(), "internal error") {
		t.Fatal("serve is not well")
	}
	// What serve is granted, and a little that is not Go's.
	most := memoryLeast + admission.Limits{Bytes: budget}.Granted(conns) + 16*mib
	t.Logf("%d connections read %s, then nothing was acknowledged: serve has %s, alone %s, of at most %s",
		conns, human.Bytes(got.Load()), human.Bytes(m.resident), human.Bytes(alone.resident), human.Bytes(most))
	if got.Load() < 2*budget {
		t.Error("it was no attack")
	}
	if m.resident > most {
		t.Errorf("serve needed %s, want at most %s", human.Bytes(m.resident), human.Bytes(most))
	}
	for _, conn := range all {
		conn.Close(0, "")
	}
	reading.Wait()
}
