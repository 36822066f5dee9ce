package main

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transport"
)

// A tardy socket is an attacker's whose packets leave late, so that the
// server's congestion window grows as on a long path. Once it holds them back,
// only those that the test lets go leave: the connection lives, and nothing
// more is acknowledged.
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

// SetReadBuffer and SetWriteBuffer keep quic-go from warning about a connection
// without them.
func (c *tardy) SetReadBuffer(int) error  { return nil }
func (c *tardy) SetWriteBuffer(int) error { return nil }

// connectTardily connects from an address by its number, with windows that
// bound nothing.
func (s *serveProcess) connectTardily(from int) (*tardy, transport.Conn, error) {
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(attackerAddr(from), 0)))
	if err != nil {
		return nil, nil, err
	}
	if raw, err := udp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16*mib) })
	}
	c := &tardy{PacketConn: struct{ net.PacketConn }{udp}, delay: 250 * time.Millisecond}
	a := s.attacker(from)
	a.Window, a.Open = 30*mib, func() (net.PacketConn, error) { return c, nil }
	conn, err := a.Connect(s.t.Context())
	return c, conn, err
}

// readOn asks for the whole file again and again, and reads it, until the
// connection ends.
func (s *serveProcess) readOn(conn transport.Conn, got *atomic.Int64) {
	p := make([]byte, 64<<10)
	for {
		st, err := hostile.Send(s.t.Context(), conn, s.wholeFile())
		if err != nil {
			return
		}
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

// What clients do not acknowledge is kept below serve: it is bounded, too.
// MALCOLM_TEST_UNACKED=512 makes it as large as the promise: 512 connections,
// the default budget of 256 MiB, and less than 384 MiB resident in all.
func TestHostileUnacknowledgedMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs more memory than the attacks")
	}
	conns, batch, budget := 12, 4, int64(8*mib)
	if n, err := strconv.Atoi(os.Getenv("MALCOLM_TEST_UNACKED")); err == nil {
		conns, batch, budget = n, 32, 256*mib
	}
	s := startServe(t, serveFile(t), "--max-held", strconv.FormatInt(budget, 10))
	s.honest()
	alone := s.residentNow()

	var got atomic.Int64
	var reading sync.WaitGroup
	var sockets []*tardy
	var all []transport.Conn
	// A few at a time, so that each has the rate for a large window.
	for i := range conns {
		c, conn, err := s.connectTardily(1 + i/16)
		if err != nil {
			t.Fatal(err)
		}
		sockets, all = append(sockets, c), append(all, conn)
		reading.Go(func() { s.readOn(conn, &got) })
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
	s.honest()
	resident := s.residentNow()
	// What serve is granted, and a little that is not Go's.
	most := memoryLeast + admission.Limits{Bytes: budget}.Granted(conns) + 16*mib
	t.Logf("%d connections read %s, then nothing was acknowledged: serve has %s, alone %s, of at most %s",
		conns, human.Bytes(got.Load()), human.Bytes(resident), human.Bytes(alone), human.Bytes(most))
	if got.Load() < 2*budget {
		t.Error("it was no attack")
	}
	if resident > most {
		t.Errorf("serve needed %s, want at most %s", human.Bytes(resident), human.Bytes(most))
	}
	for _, conn := range all {
		conn.Close(0, "")
	}
	reading.Wait()
}
