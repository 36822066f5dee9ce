package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transport"
	"malcolm/wire"
)

// A deafConn is a UDP socket to which nobody sends.
type deafConn struct {
	once sync.Once
	over chan struct{}
}

func (c *deafConn) ReadFrom([]byte) (int, net.Addr, error) {
	<-c.over
	return 0, nil, net.ErrClosed
}

func (c *deafConn) WriteTo(p []byte, _ net.Addr) (int, error) { return len(p), nil }

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.over) })
	return nil
}

func (c *deafConn) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (c *deafConn) SetDeadline(time.Time) error      { return nil }
func (c *deafConn) SetReadDeadline(time.Time) error  { return c.Close() } // quic-go's end
func (c *deafConn) SetWriteDeadline(time.Time) error { return nil }

// A pipeListener is a TCP socket without a network. Connections take nothing
// that the other end does not read.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	over   chan struct{}
	broken atomic.Bool // accepting fails
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), over: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	if l.broken.Load() {
		return nil, errors.New("broken")
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

// A pipeEnd has the address of who is at the other end.
type pipeEnd struct {
	net.Conn
	from net.Addr
}

func (c pipeEnd) RemoteAddr() net.Addr { return c.from }

// connect makes a connection from a host; nil: nobody accepts it.
func (l *pipeListener) connect(host byte) net.Conn {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- pipeEnd{theirs, &net.TCPAddr{IP: net.IPv4(198, 51, 100, host), Port: 1}}:
		return ours
	case <-l.over:
		return nil
	}
}

// dial makes a connection from a host, on which the client does not open.
func (l *pipeListener) dial(t *testing.T, host byte) transport.Conn {
	t.Helper()
	conn, err := transport.DialTCP(t.Context(), func(context.Context) (net.Conn, error) { return l.connect(host), nil }, l.Addr(),
		transport.DialOptions{TLS: certs.ClientTLS(wire.ALPN, nil)})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// tcpServer runs a server with one TCP socket in virtual time.
func tcpServer(t *testing.T, data []byte, cfg Config) (*Server, *pipeListener) {
	t.Helper()
	l := newPipeListener()
	cfg.Conns, cfg.TCP.Sockets = []net.PacketConn{&deafConn{over: make(chan struct{})}}, []net.Listener{l}
	return runServer(t, data, cfg), l
}

// runServer runs a server of a file until the test ends.
func runServer(t *testing.T, data []byte, cfg Config) *Server {
	t.Helper()
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Source, cfg.Name, cfg.Identity = newMemFile(data), "data", id
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s
}

// exchange sends bytes on a stream of a connection, and returns the reply.
func exchange(ctx context.Context, conn transport.Conn, request []byte) ([]byte, error) {
	st, err := conn.OpenStream(ctx, transport.Urgent)
	if err != nil {
		return nil, err
	}
	if _, err := st.Write(request); err != nil {
		return nil, err
	}
	if err := st.CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(st)
}

// openAndStat is what an honest client sends first.
func openAndStat() []byte {
	return wire.AppendRequest(wire.AppendRequest(nil, wire.Open{}), wire.StatRequest{})
}

// fetchAll opens a connection, and asks for the offer and for all bytes.
func fetchAll(t *testing.T, conn transport.Conn, data []byte) {
	t.Helper()
	if err := fetch(t.Context(), conn, data); err != nil {
		t.Fatal(err)
	}
}

func fetch(ctx context.Context, conn transport.Conn, data []byte) error {
	reply, err := exchange(ctx, conn, openAndStat())
	if err != nil {
		return err
	}
	r := bytes.NewReader(reply)
	h, err := wire.ReadHeader(r)
	if err == nil {
		_, err = wire.ReadOpened(r, h)
	}
	for err == nil {
		if h, err = wire.ReadHeader(r); err != nil {
			break
		}
		if h.Status == wire.StatusIndexing {
			_, err = wire.ReadIndexing(r, h)
			continue
		}
		o, err := wire.ReadOffer(r, h)
		if err != nil || o.Checksum != sumOf(data) {
			return fmt.Errorf("offer %+v, %w", o, err)
		}
		break
	}
	if err != nil {
		return err
	}
	ask := all(data)
	if reply, err = exchange(ctx, conn, wire.AppendRequest(nil, ask)); err != nil {
		return err
	}
	got, err := hostile.ReadSpans(bytes.NewReader(reply), ask.Spans)
	if err == nil && !bytes.Equal(got[0].Data, data) {
		err = errors.New("other bytes")
	}
	return err
}

// A client has all over TCP. The connection has a place and is counted.
func TestTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1<<20, 1)
		s, l := tcpServer(t, data, Config{})
		conn := l.dial(t, 1)
		fetchAll(t, conn, data)
		st := s.Status()
		if st.Servers[0].Clients == 0 || st.Servers[0].Sent != int64(len(data)) || len(st.Clients) != 1 || st.Load.Conns == 0 {
			t.Errorf("status = %+v", st)
		}
		conn.Close(uint64(wire.CloseDone), "")
		synctest.Wait()
		if st := s.Status(); st.Servers[0].Clients != 0 || st.Load.Conns != 0 {
			t.Errorf("after the end: %+v", st)
		}
	})
}

// untilClosed reads a connection until the server closes it.
func untilClosed(conn net.Conn) { io.Copy(io.Discard, conn) }

// A client that does not go on with a handshake, or with opening, loses its
// place in time, byte by byte too. Honest clients are served meanwhile.
func TestHostileTCPSlowLoris(t *testing.T) {
	for name, attack := range map[string]struct {
		do   func(conn net.Conn)
		time time.Duration
	}{
		"says nothing": {func(net.Conn) {}, transport.DefaultHandshakeTimeout},
		"sends the handshake byte by byte": {func(conn net.Conn) {
			hello := append([]byte{22, 3, 1, 1, 0}, make([]byte, 256)...)
			for i := range hello {
				if _, err := conn.Write(hello[i : i+1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, transport.DefaultHandshakeTimeout},
		"does not open": {func(conn net.Conn) {
			tls.Client(conn, certs.ClientTLS(wire.ALPN, nil)).Handshake()
		}, admission.DefaultOpenTime},
		"opens byte by byte": {func(conn net.Conn) {
			c := tls.Client(conn, certs.ClientTLS(wire.ALPN, nil))
			for _, b := range openAndStat() {
				if _, err := c.Write([]byte{1, b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, admission.DefaultOpenTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				data := numbers(1000, 1)
				s, l := tcpServer(t, data, Config{})
				began := time.Now()
				conn := l.connect(1)
				var attacking sync.WaitGroup
				attacking.Go(func() { attack.do(conn) })
				fetchAll(t, l.dial(t, 2), data)
				for s.Status().Load.Conns > 1 {
					time.Sleep(time.Second)
					go conn.Read(make([]byte, 1<<10)) // so that a close can leave
				}
				if got := time.Since(began); got > attack.time+2*time.Second {
					t.Errorf("it has its place for %v, want at most %v and a little", got, attack.time)
				}
				conn.Close()
				attacking.Wait()
			})
		})
	}
}

// Bytes that are no TLS end the connection at once.
func TestHostileTCPGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := tcpServer(t, numbers(1000, 1), Config{})
		began := time.Now()
		conn := l.connect(1)
		go untilClosed(conn)
		conn.Write(bytes.Repeat([]byte("GET / HTTP/1.0\r\n"), 100))
		for s.Status().Load.Conns > 0 {
			synctest.Wait()
		}
		if got := time.Since(began); got > time.Second {
			t.Errorf("closed after %v", got)
		}
	})
}

// Half-open connections of one address take a quarter of the places, and
// a pace of handshakes. Others are let in.
func TestHostileTCPHandshakeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 256
		data := numbers(1000, 1)
		s, l := tcpServer(t, data, Config{Limits: Limits{Places: places}})
		for range 10 * places {
			l.connect(1)
		}
		synctest.Wait()
		if st := s.Status(); st.Load.Conns > places/4 || st.Counts.Refused < 9*places {
			t.Errorf("%d have a place, %d are refused", st.Load.Conns, st.Counts.Refused)
		}
		fetchAll(t, l.dial(t, 2), data)
	})
}

// A client that never reads loses its reply when it took no byte for too long,
// and its place. It holds no large buffer.
func TestHostileTCPNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(4<<20, 1)
		s, l := tcpServer(t, data, Config{})
		conn := l.connect(1)
		c := tls.Client(conn, certs.ClientTLS(wire.ALPN, nil))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		request := wire.AppendRequest(wire.AppendRequest(nil, wire.Open{}), all(data))
		segment := append([]byte{byte(len(request))}, request...)
		if len(request) > 63 {
			segment = append([]byte{0x40 | byte(len(request)>>8), byte(len(request))}, request...)
		}
		if _, err := c.Write(append(segment, 0, 0)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(10 * time.Second)
		if st := s.Status(); st.Load.Held > 1<<20 {
			t.Errorf("%d bytes are held", st.Load.Held)
		}
		fetchAll(t, l.dial(t, 2), data)
		for s.Status().Load.Conns > 1 {
			time.Sleep(time.Second)
		}
		if got := time.Since(began); got > 3*DefaultStallTimeout {
			t.Errorf("it has its place for %v", got)
		}
	})
}

// A TCP socket that fails is opened again. Status says that the server listens
// meanwhile, over UDP.
func TestTCPSocketThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1000, 1)
		next := newPipeListener()
		var failed, reopened atomic.Int64
		tries := 0
		cfg := Config{Events: func(e Event) {
			switch e := e.(type) {
			case ServerFailed:
				failed.Add(1)
				if e.Addr.Network() != "tcp" {
					t.Errorf("%v failed", e.Addr)
				}
			case ServerReopened:
				reopened.Add(1)
			}
		}}
		cfg.TCP.Reopen = func(net.Addr) (net.Listener, error) {
			if tries++; tries < 3 {
				return nil, os.ErrPermission
			}
			return next, nil
		}
		s, l := tcpServer(t, data, cfg)
		fetchAll(t, l.dial(t, 1), data)
		l.broken.Store(true)
		l.connect(2)
		time.Sleep(time.Minute)
		if f, r, st := failed.Load(), reopened.Load(), s.Status().Servers[0].State; f != 1 || r != 1 || st == StateStopped {
			t.Fatalf("failed %d times, reopened %d times, state %v", f, r, st)
		}
		fetchAll(t, next.dial(t, 1), data)
	})
}

// A server that stops says so over TCP: what is under way is finished, and the
// close has its code.
func TestTCPStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1000, 1)
		l := newPipeListener()
		id, err := certs.Generate()
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewServer(Config{
			Source: newMemFile(data), Identity: id, Conns: []net.PacketConn{&deafConn{over: make(chan struct{})}},
			TCP: TCP{Sockets: []net.Listener{l}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		conn := l.dial(t, 1)
		fetchAll(t, conn, data)
		stop()
		<-conn.Done()
		var peer *transport.PeerError
		if !errors.As(conn.Err(), &peer) || peer.Kind != transport.PeerClosed || peer.Code != uint64(wire.CloseStopping) {
			t.Errorf("ended by %v, want code stopping", conn.Err())
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if l.connect(1) != nil {
			t.Error("a connection is accepted after the end")
		}
	})
}
