package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/ipv4"
)

// kernel replaces the calls of a udpConn's socket. Reads block until something
// is queued.
type kernel struct {
	reads chan any // error, or int: packets in a batch

	mu     sync.Mutex // probes are written beside the rest
	writes []error    // results of the next writes; then nil
	sent   [][]byte
}

func newKernel() (*kernel, *udpConn) {
	k := &kernel{reads: make(chan any, 100)}
	c := &udpConn{
		faults: newSocketFaults(),
		readBatch: func([]ipv4.Message, int) (int, error) {
			switch r := (<-k.reads).(type) {
			case error:
				return 0, r
			default:
				return r.(int), nil
			}
		},
		writeMsg: func(b, oob []byte) (int, int, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			if len(k.writes) > 0 {
				err := k.writes[0]
				k.writes = k.writes[1:]
				if err != nil {
					return 0, 0, err
				}
			}
			k.sent = append(k.sent, slices.Clone(b))
			return len(b), len(oob), nil
		},
	}
	c.readFrom = func([]byte) (int, net.Addr, error) {
		n, err := c.readBatch(nil, 0)
		if err != nil {
			return 0, nil, err
		}
		return n, &net.UDPAddr{}, nil
	}
	c.watch = newWatch(func() { k.reads <- os.ErrDeadlineExceeded }, c.sendProbe)
	return k, c
}

// sysErr wraps errno as package net does.
func sysErr(call string, errno syscall.Errno) error {
	return &net.OpError{Op: "read", Net: "udp", Err: os.NewSyscallError(call, errno)}
}

var (
	refusal = sysErr("recvmmsg", errnoRefused[0])
	noRoute = sysErr("sendmsg", errnoUnreachable[0])
)

// result is what one read returned.
type result struct {
	n   int
	err error
}

// readAll reads until the first error.
func readAll(c *udpConn) <-chan result {
	results := make(chan result, 100)
	go func() {
		defer close(results)
		for {
			n, err := c.ReadBatch(nil, 0)
			results <- result{n, err}
			if err != nil {
				return
			}
		}
	}()
	return results
}

func TestRefusalBeforeTheHandshake(t *testing.T) {
	for _, err := range []error{refusal, noRoute} {
		k, c := newKernel()
		k.reads <- err
		if _, got := c.ReadBatch(nil, 0); got != err {
			t.Errorf("ReadBatch: %v, want %v", got, err)
		}
		k.reads <- err
		if _, _, got := c.ReadFrom(nil); got != err {
			t.Errorf("ReadFrom: %v, want %v", got, err)
		}
		k.writes = []error{err, err}
		if _, got := c.WriteTo([]byte{1}, nil); got != err {
			t.Errorf("WriteTo: %v, want %v", got, err)
		}
		if _, _, got := c.WriteMsgUDP([]byte{1}, nil, nil); got != err {
			t.Errorf("WriteMsgUDP: %v, want %v", got, err)
		}
	}
}

// TestUnsentHandshake: a handshake that cannot send says why. If a firewall
// drops what is sent, only the write fails.
func TestUnsentHandshake(t *testing.T) {
	for errno, want := range map[syscall.Errno]NetworkKind{
		errnoProhibited[0]: Prohibited, errnoUnreachable[0]: HostUnreachable, syscall.EINVAL: SocketFailed,
	} {
		pc, err := DialUDP(netip.Addr{}, netip.MustParseAddrPort("127.0.0.1:9"))
		if err != nil {
			t.Fatal(err)
		}
		pc.(*udpConn).writeMsg = func([]byte, []byte) (int, int, error) { return 0, 0, sysErr("sendmsg", errno) }
		_, err = dial(pc, pc.(*udpConn).RemoteAddr(), DialOptions{})
		wantNetwork(t, err, want)
		if !errors.Is(err, errno) {
			t.Errorf("error = %v, which is not %v", err, errno)
		}
	}
}

func TestHintsAreSwallowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, c := newKernel()
		c.watch.establish()
		for _, errno := range errnoICMP {
			k.reads <- sysErr("recvmmsg", errno)
		}
		k.reads <- 0 // never handed out
		k.reads <- 3
		if n, err := c.ReadBatch(nil, 0); n != 3 || err != nil {
			t.Errorf("ReadBatch = %d, %v, want 3 packets", n, err)
		}
		k.reads <- refusal
		k.reads <- 5
		if n, _, err := c.ReadFrom(nil); n != 5 || err != nil {
			t.Errorf("ReadFrom = %d, %v, want 5 bytes", n, err)
		}
		for _, errno := range slices.Concat(errnoICMP, errnoFull, transientErrnos) {
			k.writes = []error{sysErr("sendmsg", errno)}
			if n, oobn, err := c.WriteMsgUDP([]byte{1, 2}, []byte{3}, nil); n != 2 || oobn != 1 || err != nil {
				t.Errorf("WriteMsgUDP = %d, %d, %v after %v, want 2, 1", n, oobn, err, errno)
			}
		}
		c.watch.stop()
	})
}

func TestOtherErrorsPass(t *testing.T) {
	k, c := newKernel()
	c.watch.establish()
	for _, err := range []error{net.ErrClosed, os.ErrDeadlineExceeded} {
		k.reads <- err
		if _, got := c.ReadBatch(nil, 0); got != err {
			t.Errorf("ReadBatch: %v, want %v", got, err)
		}
	}
	// quic-go needs to see that a packet was too large, and GSO's failure.
	for _, errno := range []syscall.Errno{syscall.EMSGSIZE, syscall.EIO} {
		err := sysErr("sendmsg", errno)
		k.writes = []error{err}
		if _, _, got := c.WriteMsgUDP([]byte{1}, nil, nil); got != err {
			t.Errorf("WriteMsgUDP: %v, want %v", got, err)
		}
	}
}

func TestRefusalsEndADeadConnection(t *testing.T) {
	for name, refuse := range map[string]func(*kernel, *udpConn){
		"on reads": func(k *kernel, _ *udpConn) { k.reads <- refusal },
		"on writes": func(k *kernel, c *udpConn) {
			k.writes = []error{refusal}
			c.WriteTo([]byte{1}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The third refusal within the two seconds, and after
			// them.
			for _, times := range [][maxRefusals]time.Duration{
				{0, time.Second, 1500 * time.Millisecond},
				{0, time.Second, 5 * time.Second},
			} {
				synctest.Test(t, func(t *testing.T) {
					k, c := newKernel()
					c.watch.establish()
					results := readAll(c)
					refuse(k, c) // does not count: a packet comes
					synctest.Wait()
					k.reads <- 1
					if r := <-results; r.n != 1 || r.err != nil {
						t.Fatalf("read %d, %v, want a packet", r.n, r.err)
					}
					start := time.Now()
					for _, at := range times {
						time.Sleep(time.Until(start.Add(at)))
						refuse(k, c)
					}
					r := <-results
					wantNetwork(t, r.err, PortUnreachable)
					if !isErrno(r.err, errnoRefused) {
						t.Errorf("the system's error is lost in %v", r.err)
					}
					want := max(refusalPatience, times[maxRefusals-1])
					if got := time.Since(start); got != want {
						t.Errorf("ended after %v, want %v", got, want)
					}
					_, err := c.WriteTo([]byte{1}, nil)
					if k.writes = []error{refusal}; err != nil {
						t.Errorf("write on a live socket: %v", err)
					}
					_, err = c.WriteTo([]byte{1}, nil)
					wantNetwork(t, err, PortUnreachable)
				})
			}
		})
	}
}

func TestForgedRefusalsDoNotEndALiveConnection(t *testing.T) {
	for name, run := range map[string]func(k *kernel){
		"one": func(k *kernel) {
			k.reads <- refusal
			for range 10 {
				time.Sleep(time.Second)
				k.reads <- 1
			}
		},
		"a storm between packets": func(k *kernel) {
			for range 100 {
				for range 10 {
					k.reads <- refusal
				}
				time.Sleep(refusalPatience - 1)
				k.reads <- 1
				time.Sleep(time.Nanosecond)
			}
		},
		"two and silence": func(k *kernel) {
			k.reads <- refusal
			k.reads <- refusal
			time.Sleep(10 * time.Second)
			k.reads <- 1
			k.reads <- refusal // the first after a packet
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, c := newKernel()
				c.watch.establish()
				results := readAll(c)
				go func() {
					for r := range results {
						if r.err != nil && r.err != net.ErrClosed {
							t.Errorf("read: %v", r.err)
						}
					}
				}()
				run(k)
				time.Sleep(10 * time.Second)
				k.reads <- net.ErrClosed
			})
		})
	}
}

func TestNudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, c := newKernel()
		short := append([]byte{0x40}, make([]byte, 29)...)
		for i := range short[1:] {
			short[1+i] = byte(i)
		}
		nudges := func(packet []byte) int {
			t.Helper()
			before := len(k.sent)
			c.WriteTo(packet, nil)
			for _, b := range k.sent[before+1:] {
				if len(b) <= shortPacket || string(b[:nudgePrefix]) != string(packet[:nudgePrefix]) ||
					string(b[nudgePrefix:len(packet)]) == string(packet[nudgePrefix:]) {
					t.Errorf("nudge %x after %x", b, packet)
				}
			}
			return len(k.sent) - before - 1
		}
		send := func(packet []byte, want ...int) {
			t.Helper()
			for i, want := range want {
				time.Sleep(nudgeQuiet)
				if got := nudges(packet); got != want {
					t.Errorf("packet %d: %d nudges, want %d", i+1, got, want)
				}
			}
		}
		send(short, 0, 0, 0, 0) // no handshake yet
		c.watch.establish()
		send(short, 0, 0, 1, 1)
		c.watch.arrived()
		send(short, 0, 0)
		c.watch.arrived()
		send(short, 0, 0, 1)
		send(append([]byte{0xc0}, short[1:]...), 0)          // a long header
		send(append(short, make([]byte, shortPacket)...), 0) // long enough by itself
		send(short[:nudgePrefix-1], 0)                       // no packet of QUIC's

		c.watch.arrived()
		for range 10 { // at once, as acknowledgements in a burst
			if nudges(short) != 0 {
				t.Error("nudge without a silence")
			}
		}
		// A nudge may find a refusal that waits in the socket.
		time.Sleep(nudgeQuiet)
		k.writes = []error{nil, refusal}
		if _, err := c.WriteTo(short, nil); err != nil {
			t.Errorf("write: %v", err)
		}
		if got := c.watch.refusals.n; got != 1 {
			t.Errorf("refusals = %d, want 1", got)
		}
		c.watch.stop()
	})
}

func TestPlainConnPassesBuffersOn(t *testing.T) {
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	plain := &plainSocket{pc}
	if !errors.Is(plain.SetReadBuffer(1), net.ErrClosed) || !errors.Is(plain.SetWriteBuffer(1), net.ErrClosed) {
		t.Error("the buffers of the inner socket were not set")
	}
	plain.PacketConn = &closeSpy{}
	if plain.SetReadBuffer(1) != nil || plain.SetWriteBuffer(1) != nil {
		t.Error("a connection without buffers must not warn")
	}
}

// A refusal makes the watch ask the port again and again. So a dead server is
// found within refusalPatience even by a client that sends nothing.
func TestRefusalProbes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refused bool // the probes, too
		arrives bool // something does, a second after the refusal
		probes  int
		dead    bool
	}{
		{"gone", true, false, probes - 1, true},
		{"forged", false, false, probes, false},
		{"alive", false, true, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, c := newKernel()
				c.watch.establish()
				short := []byte("a short packet of forty bytes, or so....")
				c.WriteMsgUDP(short, nil, nil)
				if tt.refused {
					for range probes {
						k.writes = append(k.writes, sysErr("sendmsg", syscall.ECONNREFUSED))
					}
				}
				k.reads <- sysErr("recvmsg", syscall.ECONNREFUSED)
				ended := make(chan error, 1)
				go func() {
					for {
						if _, err := c.ReadBatch(nil, 0); err != nil {
							ended <- err
							return
						}
					}
				}()
				time.Sleep(time.Second)
				if tt.arrives {
					time.Sleep(time.Millisecond)
					k.reads <- 1
				}
				time.Sleep(refusalPatience)
				synctest.Wait()
				var got error
				select {
				case got = <-ended:
				default:
					k.reads <- os.ErrClosed
					<-ended
				}
				if dead := isDead(got); dead != tt.dead {
					t.Errorf("the connection ended with %v, want that it is dead: %v", got, tt.dead)
				}
				sent := k.sent[1:]
				if tt.refused {
					sent = make([][]byte, probes-len(k.writes))
				}
				if len(sent) != tt.probes {
					t.Errorf("%d probes, want %d", len(sent), tt.probes)
				}
				for _, p := range sent {
					if p != nil && (len(p) != nudgeLen || !slices.Equal(p[:nudgePrefix], short[:nudgePrefix])) {
						t.Errorf("probe %q, want one like %q and longer", p, short)
					}
				}
				c.watch.stop()
			})
		})
	}
}

func isDead(err error) bool {
	var network *NetworkError
	return errors.As(err, &network) && network.Kind == PortUnreachable
}
