package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/ipv4"
)

// transientErrnos are errors of a socket that pass and say nothing of the peer.
var transientErrnos = []syscall.Errno{syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.ENETUNREACH, syscall.EINVAL}

// A faultySocket fails in each every-th read and write, in turn with each of
// the transient errors.
type faultySocket struct {
	net.PacketConn
	every         uint64
	reads, writes atomic.Uint64
}

func (s *faultySocket) fails(n uint64) error {
	if n%s.every != 0 {
		return nil
	}
	return sysErr("recvmsg", transientErrnos[n/s.every%uint64(len(transientErrnos))])
}

func (s *faultySocket) ReadFrom(p []byte) (int, net.Addr, error) {
	if err := s.fails(s.reads.Add(1)); err != nil {
		return 0, nil, err
	}
	return s.PacketConn.ReadFrom(p)
}

func (s *faultySocket) WriteTo(p []byte, to net.Addr) (int, error) {
	if err := s.fails(s.writes.Add(1)); err != nil {
		return 0, err
	}
	return s.PacketConn.WriteTo(p, to)
}

// TestFaultySockets: one error of a socket ends nothing, at either end, even
// during the handshake.
func TestFaultySockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		ends := []*faultySocket{{PacketConn: n.conn(1, 1), every: 7}, {PacketConn: n.conn(2, 2), every: 5}}
		l := serve(t, ends[0], ListenOptions{})
		client := mustDial(t, ends[1], l.Addr(), DialOptions{})
		server := mustAccept(t, l)
		data := bytes.Repeat([]byte("malcolm "), 100_000)
		c, s := streams(t, client, server)
		go func() {
			s.Write(data)
			s.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d bytes, %v, want %d", len(got), err, len(data))
		}
		if client.Err() != nil || server.Err() != nil {
			t.Errorf("the connection ended: %v, %v", client.Err(), server.Err())
		}
		for i, end := range ends {
			if end.reads.Load() < 5*end.every || end.writes.Load() < 5*end.every {
				t.Errorf("end %d: %d reads and %d writes, too few for an error of each kind", i, end.reads.Load(), end.writes.Load())
			}
		}
	})
}

// sockets are the socket types of both ends, with a test's reads.
func sockets(read func() (int, error)) map[string]struct {
	read func() (int, error)
	stop func()
} {
	batch := func([]ipv4.Message, int) (int, error) { return read() }
	single := func([]byte) (int, net.Addr, error) {
		n, err := read()
		return n, &net.UDPAddr{}, err
	}
	listener := &listenUDPConn{faults: newSocketFaults(), readBatch: batch, readFrom: single}
	client := &udpConn{faults: newSocketFaults(), readBatch: batch, watch: newWatch(func() {}, func([]byte) {})}
	client.watch.establish()
	type socket = struct {
		read func() (int, error)
		stop func()
	}
	return map[string]socket{
		"a listener's batch": {func() (int, error) { return listener.ReadBatch(nil, 0) }, listener.faults.stop},
		"a listener's packet": {func() (int, error) {
			n, _, err := listener.ReadFrom(nil)
			return n, err
		}, listener.faults.stop},
		"a client's batch": {func() (int, error) { return client.ReadBatch(nil, 0) }, client.faults.stop},
	}
}

// TestBrokenSocket: errors without end break a socket. Errors now and then do
// not.
func TestBrokenSocket(t *testing.T) {
	broken := sysErr("recvmmsg", syscall.ENOMEM)
	for name := range sockets(nil) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sockets(func() (int, error) { return 0, broken })[name]
				began := time.Now()
				if _, err := s.read(); err != broken {
					t.Errorf("read: %v, want %v", err, broken)
				}
				if took := time.Since(began); took < 5*time.Second || took > 20*time.Second {
					t.Errorf("given up after %v, want some 10 s", took)
				}

				calls := 0
				s = sockets(func() (int, error) {
					calls++
					switch {
					case calls%2 == 1 && calls < 200:
						return 0, broken
					case calls < 200:
						time.Sleep(2 * time.Second) // an idle socket
						return 0, broken
					}
					return 1, nil
				})[name]
				if n, err := s.read(); n != 1 || err != nil {
					t.Errorf("read %d, %v after %d errors with pauses, want a packet", n, err, calls)
				}
			})
		})
	}
}

// TestStopEndsAPause: a closed listener or connection does not wait for the
// next try of a read.
func TestStopEndsAPause(t *testing.T) {
	for name := range sockets(nil) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sockets(func() (int, error) { return 0, sysErr("recvmmsg", syscall.ENOMEM) })[name]
				began := time.Now()
				go func() {
					time.Sleep(1500 * time.Millisecond) // in a pause of a second
					s.stop()
				}()
				if _, err := s.read(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("read: %v, want that the socket is closed", err)
				}
				if took := time.Since(began); took != 1500*time.Millisecond {
					t.Errorf("returned after %v, want at once after the stop", took)
				}
			})
		})
	}
}

// TestListenerWrites: a write fails only with errors that quic-go acts on.
func TestListenerWrites(t *testing.T) {
	var fails error
	c := &listenUDPConn{writeMsg: func(b, oob []byte, _ *net.UDPAddr) (int, int, error) {
		if fails != nil {
			return 0, 0, fails
		}
		return len(b), len(oob), nil
	}}
	for _, errno := range transientErrnos {
		fails = sysErr("sendmsg", errno)
		if n, oobn, err := c.WriteMsgUDP([]byte{1, 2}, []byte{3}, nil); n != 2 || oobn != 1 || err != nil {
			t.Errorf("WriteMsgUDP = %d, %d, %v after %v, want a packet that is lost", n, oobn, err, errno)
		}
		if n, err := c.WriteTo([]byte{1, 2}, &net.UDPAddr{}); n != 2 || err != nil {
			t.Errorf("WriteTo = %d, %v after %v, want a packet that is lost", n, err, errno)
		}
	}
	for _, err := range []error{net.ErrClosed, sysErr("sendmsg", errnoTooLarge[0])} {
		fails = err
		if _, _, got := c.WriteMsgUDP([]byte{1}, nil, nil); got != err {
			t.Errorf("WriteMsgUDP: %v, want %v", got, err)
		}
	}
}
