package transport

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// memory is a listener and a dialer of connections in memory, which take no
// byte that the other end does not read.
type memory struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}

	mu    sync.Mutex
	dials []*memoryConn // the clients' ends, in order
}

func newMemory() *memory { return &memory{conns: make(chan net.Conn), over: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.over:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.over) })
	return nil
}

func (m *memory) Addr() net.Addr { return memoryAddr }

var memoryAddr = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}

// memorySocket is what each end of a connection in memory takes without being
// read, in bytes.
const memorySocket = 64 << 10

// memoryFlow is one direction of a connection in memory.
type memoryFlow struct {
	mu      sync.Mutex
	buf     []byte
	err     error         // ends it; read behind buf if it is io.EOF
	changed chan struct{} // closed and replaced
}

func newMemoryFlow() *memoryFlow { return &memoryFlow{changed: make(chan struct{})} }

// do calls try until it is done, the deadline passes, or the flow ends.
func (f *memoryFlow) do(limit *waitLimit, try func() (int, bool)) (int, error) {
	for {
		f.mu.Lock()
		n, done := try()
		if done {
			close(f.changed)
			f.changed = make(chan struct{})
		}
		err, changed := f.err, f.changed
		f.mu.Unlock()
		if done || err != nil {
			if done {
				err = nil
			}
			return n, err
		}
		select {
		case <-changed:
		case <-limit.passed():
			return n, os.ErrDeadlineExceeded
		}
	}
}

// end ends the flow with an error.
func (f *memoryFlow) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = err
	close(f.changed)
	f.changed = make(chan struct{})
}

// memoryConn is one end of a connection in memory.
type memoryConn struct {
	in, out        *memoryFlow
	reads, writes  waitLimit
	local, remote  *net.TCPAddr
	closedByItself atomic.Bool
}

func (c *memoryConn) Read(b []byte) (int, error) {
	if c.closedByItself.Load() {
		return 0, net.ErrClosed
	}
	select {
	case <-c.reads.passed():
		return 0, os.ErrDeadlineExceeded
	default:
	}
	return c.in.do(&c.reads, func() (int, bool) {
		n := copy(b, c.in.buf)
		c.in.buf = c.in.buf[n:]
		return n, n > 0
	})
}

func (c *memoryConn) Write(b []byte) (n int, err error) {
	select {
	case <-c.writes.passed():
		return 0, os.ErrDeadlineExceeded
	default:
	}
	for n < len(b) {
		k, err := c.out.do(&c.writes, func() (int, bool) {
			k := min(len(b)-n, memorySocket-len(c.out.buf))
			if c.out.err != nil {
				return 0, false
			}
			c.out.buf = append(c.out.buf, b[n:n+k]...)
			return k, k > 0
		})
		n += k
		if err != nil {
			if err == io.EOF {
				err = net.ErrClosed
			}
			return n, err
		}
	}
	return n, nil
}

func (c *memoryConn) Close() error {
	c.closedByItself.Store(true)
	c.out.end(io.EOF)
	c.in.end(sysErr("read", syscall.EPIPE))
	return nil
}

// kill ends both directions with an error, as a network does.
func (c *memoryConn) kill(err error) {
	c.in.end(err)
	c.out.end(err)
}

func (c *memoryConn) SetDeadline(t time.Time) error {
	c.reads.set(t)
	c.writes.set(t)
	return nil
}
func (c *memoryConn) SetReadDeadline(t time.Time) error  { c.reads.set(t); return nil }
func (c *memoryConn) SetWriteDeadline(t time.Time) error { c.writes.set(t); return nil }
func (c *memoryConn) LocalAddr() net.Addr                { return c.local }
func (c *memoryConn) RemoteAddr() net.Addr               { return c.remote }

// newMemoryPair returns both ends of a connection in memory.
func newMemoryPair() (client, server *memoryConn) {
	up, down := newMemoryFlow(), newMemoryFlow()
	guest := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 2}
	return &memoryConn{in: down, out: up, local: guest, remote: memoryAddr},
		&memoryConn{in: up, out: down, local: memoryAddr, remote: guest}
}

func (m *memory) dial(ctx context.Context) (net.Conn, error) {
	client, server := newMemoryPair()
	select {
	case m.conns <- server:
	case <-m.over:
		return nil, refusal
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dials = append(m.dials, client)
	return client, nil
}

// dialled returns how many connections were made.
func (m *memory) dialled() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.dials)
}

func serveTCP(t *testing.T, ln net.Listener, o ListenOptions) Listener {
	t.Helper()
	if o.TLS == nil {
		o.TLS = serverTLS()
	}
	l, err := ListenTCP(ln, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dialTCP(dial func(context.Context) (net.Conn, error), o DialOptions) (Conn, error) {
	if o.TLS == nil {
		o.TLS = clientTLS()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return DialTCP(ctx, dial, memoryAddr, o)
}

func mustDialTCP(t *testing.T, dial func(context.Context) (net.Conn, error), o DialOptions) Conn {
	t.Helper()
	c, err := dialTCP(dial, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(0, "") })
	return c
}

// tcpPair returns both ends of one connection in memory.
func tcpPair(t *testing.T) (client, server Conn, m *memory) {
	m = newMemory()
	l := serveTCP(t, m, ListenOptions{})
	client = mustDialTCP(t, m.dial, DialOptions{})
	return client, mustAccept(t, l), m
}

// onBoth runs a test over QUIC and over TCP, in virtual time. listen and dial
// are of one network.
func onBoth(t *testing.T, test func(t *testing.T, w *bothWays)) {
	for _, p := range []Protocol{QUIC, TCP} {
		t.Run(p.String(), func(t *testing.T) { inBubble(t, func(t *testing.T) { test(t, &bothWays{t: t, p: p}) }) })
	}
}
