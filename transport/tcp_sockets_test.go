package transport

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func listenLoopback(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// tcpSockets returns a listener, and both ends of a connection over sockets.
func tcpSockets(t *testing.T, o ListenOptions) (l Listener, client, server Conn) {
	t.Helper()
	l = serveTCP(t, listenLoopback(t), o)
	client = mustDialTCP(t, DialSocket(nil, l.Addr().String()), DialOptions{})
	return l, client, mustAccept(t, l)
}

func TestTCPSockets(t *testing.T) {
	_, client, server := tcpSockets(t, ListenOptions{StallTimeout: 7 * time.Second})
	const size = 4 << 20
	download(t, client, server, size)
	s, c := server.Stats(), client.Stats()
	if s.BytesSent < size || c.BytesReceived < size || c.PacketsReceived == 0 {
		t.Errorf("stats %+v and %+v", s, c)
	}
	if runtime.GOOS == "linux" && (s.MinRTT <= 0 || s.SmoothedRTT <= 0 || s.Window == 0 || s.PacketsSent == 0 || s.PacketsReceived == 0) {
		t.Errorf("stats %+v", s)
	}
	client.Close(5, "done")
	<-server.Done()
	if e := wantPeer(t, server.Err(), PeerClosed); e.Code != 5 || e.Text != "done" {
		t.Errorf("code %d, text %q", e.Code, e.Text)
	}
}

// What the system does not tell is zero: no packet at all is not taken for the
// silence of a peer whose bytes come.
func TestTCPStatsWithoutASocket(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := &bothWays{t: t, p: TCP}
		client, server := w.pair()
		const size = 1 << 20
		download(t, client, server, size)
		for _, c := range []Conn{client, server} {
			if s := c.Stats(); s.PacketsReceived != 0 || s.BytesReceived == 0 || s.BytesSent == 0 {
				t.Errorf("stats %+v, want bytes and no packets", s)
			}
		}
	})
}

func TestTCPClosedPort(t *testing.T) {
	ln := listenLoopback(t)
	ln.Close()
	_, err := dialTCP(DialSocket(nil, ln.Addr().String()), DialOptions{})
	wantNetwork(t, err, PortUnreachable)
}

func TestTCPKilledServer(t *testing.T) {
	l, client, server := tcpSockets(t, ListenOptions{})
	c, _ := streams(t, client, server)
	l.Close() // says nothing to the client
	_, err := c.Read(make([]byte, 1))
	wantPeer(t, err, PeerRestarted)
	<-client.Done()
	wantPeer(t, client.Err(), PeerRestarted)
}

// A close code reaches a client that is receiving at full speed.
func TestTCPCloseWhileSending(t *testing.T) {
	_, client, server := tcpSockets(t, ListenOptions{})
	c, s := streams(t, client, server)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for b := make([]byte, 128<<10); ; {
			if _, err := s.Write(b); err != nil {
				return
			}
		}
	}()
	io.CopyN(io.Discard, c, 8<<20)
	server.Close(1, "stopping")
	_, err := io.Copy(io.Discard, c)
	if e := wantPeer(t, err, PeerClosed); e.Code != 1 {
		t.Errorf("code %d, want 1", e.Code)
	}
	<-sent
}

// Short deadlines of a server's writes spoil nothing, and say what the client
// takes, however it stops and goes.
func TestTCPWriteDeadlines(t *testing.T) {
	_, client, server := tcpSockets(t, ListenOptions{})
	c, s := streams(t, client, server)
	c.CloseWrite()
	data := make([]byte, 32<<20)
	for i := range data {
		data[i] = byte(i>>16 ^ i)
	}
	stalled := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		defer close(stalled)
		late := 0
		for rest := data; len(rest) > 0; {
			s.SetWriteDeadline(time.Now().Add(time.Millisecond))
			n, err := s.Write(rest[:min(len(rest), 100_000)])
			if err != nil && !isLocal(err, LocalDeadline) {
				done <- err
				return
			}
			rest = rest[n:]
			if late++; n > 0 {
				late = 0
			}
			if late == 20 {
				signal(stalled)
			}
		}
		done <- s.CloseWrite()
	}()
	var got []byte
	for len(got) < len(data) {
		<-stalled
		part := make([]byte, min(12<<20, len(data)-len(got)))
		if _, err := io.ReadFull(c, part); err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	if !bytes.Equal(got, data) {
		t.Error("the bytes are others")
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Many clients at once are all served.
func TestTCPManyConnections(t *testing.T) {
	const many = 200
	// All at once take long on a busy machine.
	l := serveTCP(t, listenLoopback(t), ListenOptions{HandshakeTimeout: time.Minute})
	go func() {
		for {
			c, err := l.Accept(t.Context())
			if err != nil {
				return
			}
			go func() {
				for replyTo(t.Context(), c, "pong") == "ping" {
				}
			}()
		}
	}()
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			c, err := DialTCP(t.Context(), DialSocket(nil, l.Addr().String()), l.Addr(), DialOptions{TLS: clientTLS()})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close(0, "")
			for range 3 {
				st, err := c.OpenStream(t.Context(), Patient)
				if err != nil {
					t.Error(err)
					return
				}
				st.Write([]byte("ping"))
				st.CloseWrite()
				if got, err := io.ReadAll(st); string(got) != "pong" || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTCPNothingIsLeftRunning(t *testing.T) {
	l, client, server := tcpSockets(t, ListenOptions{})
	c, s := streams(t, client, server)
	c.CancelRead(1, 0)
	s.CloseWrite()
	client.Close(0, "")
	l.Close()
	var stacks string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		b := make([]byte, 1<<20)
		stacks = string(b[:runtime.Stack(b, true)])
		if !strings.Contains(stacks, "transport.(*tcp") {
			return
		}
	}
	t.Errorf("still running:\n%s", stacks)
}

// brokenListener fails to accept between connections.
type brokenListener struct {
	*memory
	errs  chan error
	tries atomic.Int64
}

func (l *brokenListener) Accept() (net.Conn, error) {
	l.tries.Add(1)
	select {
	case err := <-l.errs:
		return nil, err
	default:
		return l.memory.Accept()
	}
}

// A listener without descriptors pauses, and goes on.
func TestTCPAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &brokenListener{memory: newMemory(), errs: make(chan error, 1000)}
		for range 20 {
			ln.errs <- sysErr("accept4", syscall.EMFILE)
		}
		l := serveTCP(t, ln, ListenOptions{})
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := DialTCP(ctx, ln.dial, memoryAddr, DialOptions{TLS: clientTLS()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(0, "")
		mustAccept(t, l)
		if took := time.Since(start); took < 10*time.Second || ln.tries.Load() > 25 {
			t.Errorf("went on after %v and %d tries, want pauses", took, ln.tries.Load())
		}
	})
}

// A socket that only fails is broken, in the end.
func TestTCPBrokenListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &brokenListener{memory: newMemory(), errs: make(chan error, 1000)}
		for range cap(ln.errs) {
			ln.errs <- sysErr("accept4", syscall.EBADF)
		}
		l := serveTCP(t, ln, ListenOptions{})
		_, err := l.Accept(t.Context())
		wantNetwork(t, err, SocketFailed)
	})
}

// Connections that never complete their handshake keep nobody out, and go.
func TestTCPHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := &countedGate{most: 1000}
		m := newMemory()
		l := serveTCP(t, m, ListenOptions{Gate: gate})
		for i := range 500 {
			c, err := m.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			switch i % 3 {
			case 0:
				c.Write([]byte{22, 3, 1, 2, 0, 1})
			case 1:
				c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			}
		}
		client := mustDialTCP(t, m.dial, DialOptions{})
		streams(t, client, mustAccept(t, l))
		time.Sleep(DefaultHandshakeTimeout)
		synctest.Wait()
		if gate.now != 1 {
			t.Errorf("%d are there, want 1", gate.now)
		}
	})
}

// sinkAll opens a stream on each connection and reads size bytes from it.
func sinkAll(b *testing.B, conns []Conn, size int) {
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			st, err := c.OpenStream(b.Context(), Patient)
			if err != nil {
				b.Error(err)
				return
			}
			fmt.Fprint(st, size)
			st.CloseWrite()
			buf := make([]byte, 128<<10)
			total := 0
			for err == nil {
				var n int
				n, err = st.Read(buf)
				total += n
			}
			if total != size || err != io.EOF {
				b.Errorf("%d bytes, %v", total, err)
			}
		})
	}
	wg.Wait()
}

// source serves streams of the length that they ask for.
func source(ctx context.Context, l Listener) {
	buf := make([]byte, 128<<10)
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			return
		}
		go func() {
			for {
				st, err := c.AcceptStream(ctx)
				if err != nil {
					return
				}
				go func() {
					defer st.Release()
					var size int
					fmt.Fscan(st, &size)
					for size > 0 {
						n, err := st.Write(buf[:min(size, len(buf))])
						if err != nil {
							return
						}
						size -= n
					}
					st.CloseWrite()
				}()
			}
		}()
	}
}

// BenchmarkBytes is how quickly bytes come, encrypted and not looked at, with
// both ends in this process.
func BenchmarkBytes(b *testing.B) {
	const each = 64 << 20
	for _, p := range []Protocol{QUIC, TCP} {
		for _, n := range []int{1, 4} {
			b.Run(fmt.Sprintf("%v-%d", p, n), func(b *testing.B) {
				conns := benchConns(b, p, n)
				b.SetBytes(each)
				for b.Loop() {
					sinkAll(b, conns, each/n)
				}
			})
		}
	}
}

func benchConns(b *testing.B, p Protocol, n int) (conns []Conn) {
	l, dial := benchListener(b, p)
	b.Cleanup(func() { l.Close() })
	go source(b.Context(), l)
	for range n {
		c, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close(0, "") })
		conns = append(conns, c)
	}
	return conns
}

func benchListener(b *testing.B, p Protocol) (Listener, func() (Conn, error)) {
	if p == TCP {
		l, err := ListenTCP(listenLoopback(b), ListenOptions{TLS: serverTLS()})
		if err != nil {
			b.Fatal(err)
		}
		return l, func() (Conn, error) { return dialTCP(DialSocket(nil, l.Addr().String()), DialOptions{}) }
	}
	pc, err := ListenUDP("127.0.0.1", 0)
	if err != nil {
		b.Fatal(err)
	}
	SmallBuffers(pc)
	l, err := Listen(pc, ListenOptions{TLS: serverTLS()})
	if err != nil {
		b.Fatal(err)
	}
	return l, func() (Conn, error) {
		pc, err := DialUDP(netip.Addr{}, netip.AddrPortFrom(loopback, portOf(l.Addr())))
		if err != nil {
			return nil, err
		}
		SmallBuffers(pc)
		return dial(pc, nil, DialOptions{})
	}
}
