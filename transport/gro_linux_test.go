package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// groPair returns a socket whose packets the kernel joins, its reader, and a
// connected one that sends to it.
func groPair(t *testing.T, addr string) (*net.UDPConn, *groReader, *net.UDPConn) {
	t.Helper()
	to, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
	if err != nil {
		t.Skipf("no socket on %s: %v", addr, err)
	}
	t.Cleanup(func() { to.Close() })
	g := newGRO(to)
	if g == nil {
		t.Skip("this kernel does not join packets")
	}
	from, err := net.DialUDP("udp", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	return to, g, from
}

// send has the kernel cut b into packets of size bytes.
func send(t *testing.T, c *net.UDPConn, b []byte, size int) {
	t.Helper()
	oob := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(oob[8:], unix.IPPROTO_UDP)
	binary.NativeEndian.PutUint32(oob[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(oob[16:], uint16(size))
	if _, _, err := c.WriteMsgUDP(b, oob, nil); err != nil {
		t.Skipf("this kernel does not cut packets: %v", err)
	}
}

// receive reads n packets.
func receive(t *testing.T, g *groReader, n int) (got []ipv4.Message) {
	t.Helper()
	for len(got) < n {
		ms := batch(8)
		k, err := g.readBatch(ms, 0)
		if err != nil {
			t.Fatalf("after %d packets: %v", len(got), err)
		}
		got = append(got, ms[:k]...)
	}
	return got
}

func TestGROOfTheKernel(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			to, g, from := groPair(t, addr)
			to.SetReadDeadline(time.Now().Add(10 * time.Second))
			send(t, from, packets(20, 1200, 333), 1200)
			foreign := make([]byte, 9000)
			from.Write(foreign)
			from.Write(nil)
			send(t, from, packets(3, 64, 0), 64)
			var got []int
			for i, m := range receive(t, g, 24) {
				p := m.Buffers[0][:m.N]
				if m.N == 0 || slices.Max(p) != slices.Min(p) || int(p[0]) != i && i < 21 {
					t.Errorf("packet %d is of %d bytes and not whole", i, m.N)
				}
				if m.Addr.String() != from.LocalAddr().String() {
					t.Errorf("packet %d from %v, want %v", i, m.Addr, from.LocalAddr())
				}
				got = append(got, m.N)
			}
			want := slices.Concat(slices.Repeat([]int{1200}, 20), []int{333, 64, 64, 64})
			if !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
			if n := g.oversize.Load(); n != 1 {
				t.Errorf("%d packets too long, want the one of 9,000 bytes", n)
			}
			if n := g.runs.Load(); n > 6 {
				t.Errorf("%d reads for 24 packets: the kernel did not join them", n)
			}
		})
	}
}

// The control messages that quic-go asks for reach it with each packet of a
// run.
func TestGROKeepsECN(t *testing.T) {
	const ce = 3
	for _, tt := range []struct {
		addr                  string
		level, send, receives int
		of                    int32 // type of the control message
	}{
		{"127.0.0.1", unix.IPPROTO_IP, unix.IP_TOS, unix.IP_RECVTOS, unix.IP_TOS},
		{"::1", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, unix.IPV6_RECVTCLASS, unix.IPV6_TCLASS},
	} {
		t.Run(tt.addr, func(t *testing.T) {
			to, g, from := groPair(t, tt.addr)
			setOption(t, to, tt.level, tt.receives, 1)
			setOption(t, from, tt.level, tt.send, ce)
			to.SetReadDeadline(time.Now().Add(10 * time.Second))
			send(t, from, packets(3, 500, 20), 500)
			for i, m := range receive(t, g, 4) {
				cs, err := unix.ParseSocketControlMessage(m.OOB[:m.NN])
				if err != nil || len(cs) != 1 || cs[0].Header.Type != tt.of || cs[0].Data[0]&3 != ce {
					t.Errorf("packet %d: control messages %v, %v; want one with ECN %d", i, cs, err, ce)
				}
			}
		})
	}
}

func setOption(t *testing.T, c *net.UDPConn, level, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestGROSegment(t *testing.T) {
	message := func(level, typ int32, body ...byte) []byte {
		b := make([]byte, unix.CmsgSpace(len(body)))
		binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(body))))
		binary.NativeEndian.PutUint32(b[8:], uint32(level))
		binary.NativeEndian.PutUint32(b[12:], uint32(typ))
		copy(b[16:], body)
		return b
	}
	tos, info := message(unix.IPPROTO_IP, unix.IP_TOS, 2), message(unix.IPPROTO_IP, unix.IP_PKTINFO, make([]byte, 12)...)
	gro := message(unix.IPPROTO_UDP, unix.UDP_GRO, binary.NativeEndian.AppendUint32(nil, 1452)...)
	for _, tt := range []struct {
		name string
		oob  []byte
		size int
		rest []byte
	}{
		{"nothing", nil, 0, nil},
		{"no size", tos, 0, tos},
		{"only the size", gro, 1452, nil},
		{"size first", slices.Concat(gro, tos, info), 1452, slices.Concat(tos, info)},
		{"size between", slices.Concat(tos, gro, info), 1452, slices.Concat(tos, info)},
		{"size last", slices.Concat(tos, info, gro), 1452, slices.Concat(tos, info)},
		{"too short a size", message(unix.IPPROTO_UDP, unix.UDP_GRO, 1, 2), 0, nil},
		{"broken", append(slices.Clone(tos), 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0), 0, tos},
	} {
		t.Run(tt.name, func(t *testing.T) {
			size, rest := groSegment(slices.Clone(tt.oob))
			if size != tt.size || !bytes.Equal(rest, tt.rest) {
				t.Errorf("size %d and %d bytes, want %d and %d", size, len(rest), tt.size, len(tt.rest))
			}
		})
	}
}

func TestGROWaits(t *testing.T) {
	to, g, _ := groPair(t, "127.0.0.1")
	read := func() error {
		_, err := g.readBatch(batch(8), 0)
		return err
	}
	to.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
	to.SetReadDeadline(time.Time{})
	ended := make(chan error)
	go func() { ended <- read() }()
	to.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want that it is closed", err)
	}
}

// A connection's packets are joined, and cut for sending, if the system can.
func TestGROOfAConnection(t *testing.T) {
	for _, off := range []string{"", "1"} {
		t.Run("off="+off, func(t *testing.T) {
			t.Setenv("MALCOLM_NO_GRO", off)
			_, pc, client, server := loopbackPair(t)
			if (pc.gro == nil) != (off == "1") {
				if off == "" {
					t.Skip("this kernel does not join packets")
				}
				t.Fatal("packets are joined against the user's will")
			}
			const size = 4 << 20
			st, err := client.OpenStream(t.Context(), Patient)
			if err != nil {
				t.Fatal(err)
			}
			st.Write([]byte{1})
			go func() {
				s, err := server.AcceptStream(t.Context())
				if err == nil {
					s.Write(make([]byte, size))
					s.CloseWrite()
				}
			}()
			if n, err := io.Copy(io.Discard, st); n != size || err != nil {
				t.Fatalf("%d bytes, %v", n, err)
			}
			if pc.gro == nil {
				return
			}
			runs, packets := pc.gro.runs.Load(), pc.gro.packets.Load()
			if !server.(*quicConn).gso() || runs*2 > packets {
				t.Errorf("%d packets in %d reads, GSO %v; want them joined", packets, runs, server.(*quicConn).gso())
			}
		})
	}
}
