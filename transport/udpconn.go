package transport

import (
	"net"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
)

// udpConn is a connected UDP socket as quic-go wants it. Writes carry no
// address, since the kernel refuses one on a connected socket. The network's
// hints about the peer go through watch.
//
// quic-go uses ReadBatch and WriteMsgUDP if it knows the system's control
// messages (Linux, macOS, FreeBSD), else ReadFrom and WriteTo. It must see
// neither a temporary error nor an empty batch: it would hand out earlier
// packets again.
type udpConn struct {
	*net.UDPConn // buffers, deadlines, SyscallConn
	watch        *watch
	faults       *socketFaults
	gro          *groReader // nil: the kernel does not join packets
	pressure     pressure

	// The socket's calls. They are fields so that tests can replace the
	// kernel.
	readBatch func(ms []ipv4.Message, flags int) (int, error)
	readFrom  func(p []byte) (int, net.Addr, error)
	writeMsg  func(b, oob []byte) (n, oobn int, err error)
}

var (
	_ quic.OOBCapablePacketConn = (*udpConn)(nil)
	_ net.Conn                  = (*udpConn)(nil)
)

// ReadBatch fills ms with at least one packet or returns an error that ends the
// connection.
func (c *udpConn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	c.pressure.wait()
	for {
		n, err := c.readBatch(ms, flags)
		if err = c.judge(n > 0, err); err != nil {
			return 0, err
		}
		if n > 0 {
			c.pressure.handed(n)
			return n, nil
		}
	}
}

// judge judges the result of a read; packet says whether it brought one. It
// returns the error that ends the connection, or nil. After nil a read that
// failed is to be repeated.
func (c *udpConn) judge(packet bool, err error) error {
	if packet {
		c.faults.worked()
	}
	err = c.watch.read(packet, err)
	if err == nil || isErrno(err, errnoICMP) {
		return err
	}
	return c.faults.read(err)
}

// ReadFrom reads one packet.
func (c *udpConn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, addr, err := c.readFrom(p)
		swallowed := err != nil
		if err = c.judge(addr != nil, err); err != nil {
			return n, addr, err
		}
		if !swallowed {
			return n, addr, nil
		}
	}
}

// WriteMsgUDP sends b, whatever the address.
func (c *udpConn) WriteMsgUDP(b, oob []byte, _ *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = c.writeMsg(b, oob)
	if err != nil {
		if err = c.watch.wrote(err); err != nil {
			return n, oobn, err
		}
		n, oobn = len(b), len(oob)
	}
	if nudge := c.watch.nudge(b); nudge != nil {
		if _, _, err := c.writeMsg(nudge, nil); err != nil {
			return n, oobn, c.watch.wrote(err)
		}
	}
	return n, oobn, nil
}

// WriteTo sends p, whatever the address.
func (c *udpConn) WriteTo(p []byte, _ net.Addr) (int, error) {
	n, _, err := c.WriteMsgUDP(p, nil, nil)
	return n, err
}

// sendProbe sends a packet for the watch.
func (c *udpConn) sendProbe(p []byte) {
	if _, _, err := c.writeMsg(p, nil); err != nil {
		// What the error says of the peer counts; otherwise the packet
		// is lost.
		_ = c.watch.wrote(err)
	}
}

// Close closes the socket.
func (c *udpConn) Close() error {
	c.watch.stop()
	c.faults.stop()
	return c.UDPConn.Close()
}

// plainConn gives any other packet connection, such as a simulated one, the
// part of watch that needs no system errors.
type plainConn struct {
	plainSocket
	watch  *watch
	faults *socketFaults
}

// newPlainConn returns pc with a watch.
func newPlainConn(pc net.PacketConn, w *watch) *plainConn {
	return &plainConn{plainSocket{pc}, w, newSocketFaults()}
}

func (c *plainConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, addr, err := readPatiently(c.faults, c.PacketConn.ReadFrom, p)
	if err == nil {
		c.watch.arrived()
	}
	return n, addr, err
}

func (c *plainConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	n, err := c.PacketConn.WriteTo(p, addr)
	if lostPacket(err) {
		n, err = len(p), nil
	}
	if err != nil {
		return n, err
	}
	if nudge := c.watch.nudge(p); nudge != nil {
		_, _ = c.PacketConn.WriteTo(nudge, addr) // a lost one is like any other
	}
	return n, nil
}

// Close closes the connection.
func (c *plainConn) Close() error {
	c.faults.stop()
	return c.PacketConn.Close()
}
