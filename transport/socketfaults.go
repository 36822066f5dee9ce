package transport

import (
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
)

const (
	// firstFaultPause is the time before a failed read is repeated. It
	// doubles with each failure in a row up to longestFaultPause.
	firstFaultPause   = time.Millisecond
	longestFaultPause = time.Second
	// maxFaults is the number of reads in a row that may fail before the
	// socket itself counts as broken: about 10 s.
	maxFaults = 20
)

// socketFaults tells errors that pass by themselves, such as a lack of memory,
// from a broken socket. One goroutine may call read, any other the rest.
type socketFaults struct {
	n       int       // reads in a row that failed
	repeats time.Time // when the last of them was due for repetition

	once    sync.Once
	stopped chan struct{}
}

func newSocketFaults() *socketFaults { return &socketFaults{stopped: make(chan struct{})} }

// stop ends a pause, since nobody reads any more.
func (f *socketFaults) stop() { f.once.Do(func() { close(f.stopped) }) }

// worked says that a read has succeeded.
func (f *socketFaults) worked() { f.n = 0 }

// read judges the error of a read. It returns nil, after a pause, if the read
// is to be repeated, else the error. An error that is not the system's, such as
// that of a closed socket, is always returned.
func (f *socketFaults) read(err error) error {
	if !isSystem(err) {
		return err
	}
	if time.Since(f.repeats) > longestFaultPause { // it has waited for packets meanwhile
		f.n = 0
	}
	if f.n >= maxFaults {
		return err
	}
	pause := min(firstFaultPause<<f.n, longestFaultPause)
	f.n++
	f.repeats = time.Now().Add(pause)
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-f.stopped:
		return net.ErrClosed
	}
}

// lostPacket reports whether the error of a write counts as the loss of the
// packet, which QUIC repairs. All system errors do, except those that tell
// quic-go that a packet was too large.
func lostPacket(err error) bool {
	return isSystem(err) && !isErrno(err, errnoTooLarge)
}

// listenSocket returns pc wrapped for a listener, with its errors handled by f.
func listenSocket(pc net.PacketConn, f *socketFaults) net.PacketConn {
	u, ok := pc.(*net.UDPConn)
	if !ok {
		return &listenConn{plainSocket{pc}, f}
	}
	c := &listenUDPConn{
		UDPConn: u, faults: f, joiner: newJoiner(u),
		readBatch: ipv4.NewPacketConn(u).ReadBatch,
		readFrom:  u.ReadFrom,
		writeMsg:  u.WriteMsgUDP,
	}
	if c.joiner != nil {
		c.writeMsg = c.joiner.writeMsg
	}
	return c
}

// A listenUDPConn is a listener's UDP socket. quic-go must see neither a
// temporary error nor an empty batch: it would hand out earlier packets again.
type listenUDPConn struct {
	*net.UDPConn // buffers, deadlines, SyscallConn
	faults       *socketFaults
	joiner       *joiner // nil: what is sent is not joined

	// The socket's calls. They are fields so that tests can replace the
	// kernel.
	readBatch func(ms []ipv4.Message, flags int) (int, error)
	readFrom  func(p []byte) (int, net.Addr, error)
	writeMsg  func(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error)
}

var _ quic.OOBCapablePacketConn = (*listenUDPConn)(nil)

// ReadBatch fills ms with at least one packet or returns an error that ends the
// listener.
func (c *listenUDPConn) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		n, err := c.readBatch(ms, flags)
		switch {
		case err != nil:
			if err := c.faults.read(err); err != nil {
				return 0, err
			}
		case n > 0:
			c.faults.worked()
			return n, nil
		}
	}
}

// ReadFrom reads one packet.
func (c *listenUDPConn) ReadFrom(p []byte) (int, net.Addr, error) {
	return readPatiently(c.faults, c.readFrom, p)
}

// WriteMsgUDP sends b.
func (c *listenUDPConn) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = c.writeMsg(b, oob, to)
	if lostPacket(err) {
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

// WriteTo sends p.
func (c *listenUDPConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	n, _, err := c.WriteMsgUDP(p, nil, to)
	return n, err
}

// Close closes the socket.
func (c *listenUDPConn) Close() error {
	if c.joiner != nil {
		return c.joiner.close(c.UDPConn.Close)
	}
	return c.UDPConn.Close()
}

// A listenConn is any other packet connection of a listener, such as a
// simulated one.
type listenConn struct {
	plainSocket
	faults *socketFaults
}

func (c *listenConn) ReadFrom(p []byte) (int, net.Addr, error) {
	return readPatiently(c.faults, c.PacketConn.ReadFrom, p)
}

func (c *listenConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	n, err := c.PacketConn.WriteTo(p, addr)
	if lostPacket(err) {
		return len(p), nil
	}
	return n, err
}

// readPatiently reads one packet.
func readPatiently(f *socketFaults, read func([]byte) (int, net.Addr, error), p []byte) (int, net.Addr, error) {
	for {
		n, addr, err := read(p)
		if err == nil {
			f.worked()
			return n, addr, nil
		}
		if err := f.read(err); err != nil {
			return n, addr, err
		}
	}
}

// A plainSocket is a packet connection that need not be the system's.
// SetReadBuffer and SetWriteBuffer keep quic-go from warning that they are
// missing.
type plainSocket struct{ net.PacketConn }

func (c plainSocket) SetReadBuffer(bytes int) error {
	if s, ok := c.PacketConn.(interface{ SetReadBuffer(int) error }); ok {
		return s.SetReadBuffer(bytes)
	}
	return nil
}

func (c plainSocket) SetWriteBuffer(bytes int) error {
	if s, ok := c.PacketConn.(interface{ SetWriteBuffer(int) error }); ok {
		return s.SetWriteBuffer(bytes)
	}
	return nil
}
