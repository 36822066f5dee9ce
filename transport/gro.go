package transport

import (
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/net/ipv4"
)

const (
	// groBufferSize holds the longest run of packets that the kernel joins.
	// It cuts off, silently, what does not fit.
	groBufferSize = 64 << 10
	// groOOBSize holds the control messages of one run: the size of its
	// packets, ECN and, on a socket bound to all addresses, PKTINFO.
	// quic-go's own buffers have 128 bytes.
	groOOBSize = 128
)

// A groReader reads runs of packets that the kernel has joined (UDP_GRO) and
// hands them out one by one, without an allocation. Only one goroutine may
// read.
type groReader struct {
	read    func(b, oob []byte) (n, oobn int, from netip.AddrPort, err error)
	segment func(oob []byte) (size int, rest []byte)

	buf  []byte // of the last read
	oob  []byte
	rest []byte // of buf, not handed out yet
	size int    // of each packet in rest except the last
	ctrl []byte // of oob: for each packet
	from netip.AddrPort
	addr *net.UDPAddr // made of from

	runs, packets, oversize atomic.Uint64
}

// newGROReader returns a reader of a socket for which the kernel joins packets.
// segment takes the size of the packets from the control messages; 0: only one.
func newGROReader(read func(b, oob []byte) (int, int, netip.AddrPort, error), segment func([]byte) (int, []byte)) *groReader {
	return &groReader{
		read: read, segment: segment,
		buf: make([]byte, groBufferSize), oob: make([]byte, groOOBSize),
	}
}

// readBatch works like ipv4.PacketConn's ReadBatch, without the flags: it fills
// ms with at least one packet, or returns an error of the socket. A packet
// longer than its buffer is dropped and counted.
func (g *groReader) readBatch(ms []ipv4.Message, _ int) (int, error) {
	for {
		if n := g.hand(ms); n > 0 {
			return n, nil
		}
		n, oobn, from, err := g.read(g.buf, g.oob)
		if err != nil {
			return 0, err
		}
		g.rest = g.buf[:n]
		g.size, g.ctrl = g.segment(g.oob[:oobn])
		if g.size <= 0 {
			g.size = n
		}
		if g.addr == nil || from != g.from {
			g.from, g.addr = from, net.UDPAddrFromAddrPort(from)
		}
		g.runs.Add(1)
	}
}

// hand fills ms with what is left of the last run, and returns the number of
// packets.
func (g *groReader) hand(ms []ipv4.Message) (n int) {
	for n < len(ms) && len(g.rest) > 0 {
		p := g.rest[:min(g.size, len(g.rest))]
		g.rest = g.rest[len(p):]
		m := &ms[n]
		if len(p) > len(m.Buffers[0]) {
			g.oversize.Add(1)
			continue
		}
		m.N = copy(m.Buffers[0], p)
		m.NN = copy(m.OOB, g.ctrl)
		m.Flags = 0
		m.Addr = g.addr
		n++
	}
	g.packets.Add(uint64(n))
	return n
}
