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
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// controlMessage returns one as sendmsg takes it.
func controlMessage(level, typ int32, body ...byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(body)))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(body))))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(typ))
	copy(b[16:], body)
	return b
}

func segmentMessage(size uint16) []byte {
	return controlMessage(unix.IPPROTO_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, size)...)
}

func TestGSOSegment(t *testing.T) {
	t.Parallel()
	tos, segment := controlMessage(unix.IPPROTO_IP, unix.IP_TOS, 2), segmentMessage(1441)
	info := controlMessage(unix.IPPROTO_IP, unix.IP_PKTINFO, make([]byte, 12)...)
	for _, tt := range []struct {
		name             string
		oob              []byte
		size, begin, end int
	}{
		{"nothing", nil, 0, 0, 0},
		{"no size", slices.Concat(info, tos), 0, 0, 0},
		{"only the size", segment, 1441, 0, len(segment)},
		{"as quic-go writes them", slices.Concat(info, segment, tos), 1441, len(info), len(info) + len(segment)},
		{"size last", slices.Concat(tos, segment), 1441, len(tos), len(tos) + len(segment)},
		{"too short a size", controlMessage(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1), 0, 0, 0},
		{"broken", append(slices.Clone(tos), bytes.Repeat([]byte{255}, 16)...), 0, 0, 0},
	} {
		if size, begin, end := gsoSegment(tt.oob); size != tt.size || begin != tt.begin || end != tt.end {
			t.Errorf("%s: size %d from %d to %d, want %d, %d, %d", tt.name, size, begin, end, tt.size, tt.begin, tt.end)
		}
	}
}

// joinedSocket returns a listener's socket that joins what it sends.
func joinedSocket(t *testing.T, addr string) *listenUDPConn {
	t.Helper()
	inner, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
	if err != nil {
		t.Skipf("no socket on %s: %v", addr, err)
	}
	c := listenSocket(inner, newSocketFaults()).(*listenUDPConn)
	t.Cleanup(func() { c.Close() })
	mustJoin(t, c)
	return c
}

// mustJoin ends a test that cannot be: if the kernel cuts packets, as an error.
func mustJoin(t *testing.T, c *listenUDPConn) {
	t.Helper()
	switch {
	case c.joiner != nil:
	case kernelHasGSO(t, c.UDPConn):
		t.Fatal("what is sent is not joined")
	default:
		t.Skip("this kernel does not cut packets")
	}
}

func TestJoinSwitch(t *testing.T) {
	inner, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	for value, want := range map[string]bool{"": kernelHasGSO(t, inner), "0": kernelHasGSO(t, inner), "1": false, "true": false} {
		t.Setenv("MALCOLM_NO_JOIN", value)
		if got := newJoiner(inner) != nil; got != want {
			t.Errorf("MALCOLM_NO_JOIN=%q: joins %v, want %v", value, got, want)
		}
	}
}

// Runs, short packets, single packets and marks of ECN arrive in the order in
// which they were written, and whole.
func TestJoinOrder(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1", "::1"} {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			from := joinedSocket(t, addr)
			to, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			to.SetReadDeadline(time.Now().Add(time.Minute))
			const packets, size, unread = 20_000, 200, 120
			// A place is a packet that may be in the receiver's
			// buffer, from which nothing must be lost.
			places := make(chan struct{}, unread)
			var wg sync.WaitGroup
			wg.Go(func() {
				kind := 0
				for n := 0; n < packets; kind++ {
					k := min(14, packets-n)
					if kind%9 == 8 {
						k = 1
					}
					var b []byte
					for range k {
						places <- struct{}{}
						b = append(b, numbered(n, size)...)
						n++
					}
					oob := segmentMessage(size)
					switch kind % 9 {
					case 3:
						b = b[:len(b)-50]
					case 5:
						oob = append(oob, ecnMessage(addr, 2)...)
					case 8:
						oob = nil
					}
					if _, _, err := from.WriteMsgUDP(b, oob, to.LocalAddr().(*net.UDPAddr)); err != nil {
						t.Error(err)
					}
				}
			})
			b := make([]byte, 1500)
			for n := range packets {
				k, err := to.Read(b)
				if err != nil {
					t.Fatalf("packet %d: %v", n, err)
				}
				if want := numbered(n, size); k != size && k != size-50 || !bytes.Equal(b[:k], want[:k]) {
					t.Fatalf("packet %d of %d bytes begins with %x, want %x", n, k, b[:8], want[:8])
				}
				<-places
			}
			wg.Wait()
			bursts, runs := from.joiner.bursts.Load(), from.joiner.runs.Load()
			t.Logf("%d bursts in %d runs", bursts, runs)
		})
	}
}

// numbered returns packet n.
func numbered(n, size int) []byte {
	b := bytes.Repeat([]byte{byte(n)}, size)
	binary.BigEndian.PutUint64(b, uint64(n))
	return b
}

func ecnMessage(addr string, mark byte) []byte {
	if netip.MustParseAddr(addr).Is4() {
		return controlMessage(unix.IPPROTO_IP, unix.IP_TOS, mark)
	}
	return controlMessage(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, binary.NativeEndian.AppendUint32(nil, uint32(mark))...)
}

// The largest run is one that the kernel takes, on both families.
func TestJoinLargestRun(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1", "::1"} {
		from := joinedSocket(t, addr)
		for _, run := range []struct{ bytes, size int }{
			{maxRunBytes, 1452}, {maxRunBytes, maxRunBytes/maxRunPackets + 1}, {maxRunPackets * 100, 100},
		} {
			if !fits(run.bytes, run.size) {
				t.Errorf("%d bytes in packets of %d do not fit", run.bytes, run.size)
			}
			oob := slices.Concat(segmentMessage(uint16(run.size)), ecnMessage(addr, 1))
			if _, _, err := from.UDPConn.WriteMsgUDP(make([]byte, run.bytes), oob, from.LocalAddr().(*net.UDPAddr)); err != nil {
				t.Errorf("%s: %d bytes in packets of %d: %v", addr, run.bytes, run.size, err)
			}
		}
	}
}

// Deadlines are those of the socket.
func TestJoinDeadline(t *testing.T) {
	t.Parallel()
	c := joinedSocket(t, "127.0.0.1")
	write := func(b, oob []byte) error {
		_, _, err := c.WriteMsgUDP(b, oob, c.LocalAddr().(*net.UDPAddr))
		return err
	}
	full, oob := make([]byte, 14*1400), segmentMessage(1400)
	c.SetWriteDeadline(time.Unix(1, 0))
	if err := write(full[:10], nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a single packet: %v", err)
	}
	for err := error(nil); !errors.Is(err, os.ErrDeadlineExceeded); {
		if err = write(full, oob); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	write(nil, nil) // what waits has failed, too
	c.SetWriteDeadline(time.Time{})
	write(full, oob)
	if err := write(full, oob); err != nil {
		t.Errorf("after the deadline: %v", err)
	}
	if err := write(full[:10], nil); err != nil {
		t.Errorf("a single packet after the deadline: %v", err)
	}
}

// What quic-go sends is joined, arrives, and does so in order: quic-go takes
// what comes late for lost.
func TestJoinOfConnections(t *testing.T) {
	for _, tt := range []struct {
		name               string
		connections, bytes int
	}{{"one", 1, 16 << 20}, {"forty", 40, 1 << 20}} {
		t.Run(tt.name, func(t *testing.T) {
			pc, err := ListenUDP("127.0.0.1", 0)
			if err != nil {
				t.Fatal(err)
			}
			l := serve(t, pc, ListenOptions{})
			socket := l.(*quicListener).pc.(*listenUDPConn)
			mustJoin(t, socket)
			joiner := socket.joiner
			data := numbered(1, tt.bytes)
			var wg sync.WaitGroup
			for range tt.connections {
				cpc, err := DialUDP(netip.Addr{}, netip.AddrPortFrom(loopback, portOf(l.Addr())))
				if err != nil {
					t.Fatal(err)
				}
				client := mustDial(t, cpc, nil, DialOptions{})
				c, s := streams(t, client, mustAccept(t, l))
				wg.Go(func() {
					s.Write(data)
					s.CloseWrite()
				})
				wg.Go(func() {
					if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
						t.Errorf("read %d bytes, %v, want %d", len(got), err, len(data))
					}
				})
			}
			wg.Wait()
			bursts, runs := joiner.bursts.Load(), joiner.runs.Load()
			t.Logf("%d bursts in %d runs", bursts, runs)
			if runs == 0 || runs >= bursts {
				t.Errorf("%d bursts in %d runs; want them joined", bursts, runs)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if len(joiner.remotes) != 0 || joiner.busy {
				t.Errorf("%d remotes are left, a goroutine sends: %v", len(joiner.remotes), joiner.busy)
			}
		})
	}
}
