package sourcetest

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// tcpWindow is [TCPPath].Window when that is zero.
	tcpWindow = 1 << 20
	// tcpPiece bounds the bytes that arrive together.
	tcpPiece = 16 << 10
)

// A TCP is a server's TCP port in memory and the path to it. Times may be
// virtual. Any goroutine may call its methods.
type TCP struct {
	addr *net.TCPAddr

	mu      sync.Mutex
	path    TCPPath
	changed chan struct{}  // closed and replaced when path or conns changed
	waiting []*tcpEnd      // connections that nobody has accepted
	conns   []*tcpEnd      // of servers
	handle  func(net.Conn) // takes connections in Accept's place; nil: nobody does
	dialed  int
	closed  bool

	carried atomic.Int64 // bytes that clients have read
}

// A TCPPath says how things are on the way. It may change at any time.
type TCPPath struct {
	Delay   time.Duration // one way
	Rate    float64       // bytes a second, each connection and way; 0: no bound
	Window  int           // bytes of one way of a connection that may be under way or unread; 0: 1 MiB
	Hole    bool          // nothing comes through, until it is gone
	Refuses bool          // the port is closed
}

// NewTCP returns the port at an address.
func NewTCP(addr netip.AddrPort, path TCPPath) *TCP {
	return &TCP{addr: net.TCPAddrFromAddrPort(addr), path: path, changed: make(chan struct{})}
}

// Set changes the path.
func (t *TCP) Set(f func(*TCPPath)) { t.do(func() { f(&t.path) }) }

func (t *TCP) do(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	close(t.changed)
	t.changed = make(chan struct{})
}

// Handle hands all further connections to another program, each in a goroutine.
// A goroutine ends when its client hangs up.
func (t *TCP) Handle(program func(net.Conn)) { t.do(func() { t.handle = program }) }

// Dialed returns how many connections were tried.
func (t *TCP) Dialed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dialed
}

// Carried returns how many bytes clients have read, of all connections.
func (t *TCP) Carried() int64 { return t.carried.Load() }

// Reset ends all connections, like a server that has forgotten them.
func (t *TCP) Reset() {
	t.mu.Lock()
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for _, c := range conns {
		c.in.end(syscall.ECONNRESET)
		c.out.end(syscall.ECONNRESET)
	}
}

// Dial makes a connection from an address.
func (t *TCP) Dial(ctx context.Context, from netip.AddrPort) (net.Conn, error) {
	t.do(func() { t.dialed++ })
	for {
		t.mu.Lock()
		path, changed, closed := t.path, t.changed, t.closed
		t.mu.Unlock()
		var arrived <-chan time.Time
		if !path.Hole {
			arrived = time.After(2 * path.Delay)
		}
		select {
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: t.addr, Err: ctx.Err()}
		case <-changed:
			continue
		case <-arrived:
		}
		if path.Refuses || closed {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: t.addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		up, down, client := newTCPFlow(t), newTCPFlow(t), net.TCPAddrFromAddrPort(from)
		server := &tcpEnd{in: up, out: down, local: t.addr, remote: client}
		t.do(func() {
			t.conns = append(t.conns, server)
			if t.handle != nil {
				go t.handle(server)
			} else {
				t.waiting = append(t.waiting, server)
			}
		})
		return &tcpEnd{in: down, out: up, local: client, remote: t.addr, count: &t.carried}, nil
	}
}

// Accept implements [net.Listener], as Close and Addr do.
func (t *TCP) Accept() (net.Conn, error) {
	for {
		t.mu.Lock()
		changed, closed := t.changed, t.closed
		if len(t.waiting) > 0 && !closed {
			c := t.waiting[0]
			t.waiting = t.waiting[1:]
			t.mu.Unlock()
			return c, nil
		}
		t.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		<-changed
	}
}

// Close refuses new connections.
func (t *TCP) Close() error {
	t.do(func() { t.closed = true })
	return nil
}

func (t *TCP) Addr() net.Addr { return t.addr }

// A tcpFlow is one direction of a connection.
type tcpFlow struct {
	port *TCP

	mu      sync.Mutex
	changed chan struct{} // closed and replaced
	pieces  []tcpPieceAt
	bytes   int       // of pieces
	free    time.Time // when the last byte has left
	eof     bool      // nothing is written any more
	err     error     // the connection is over
}

type tcpPieceAt struct {
	b  []byte    // nil: the end
	at time.Time // when it arrives
}

func newTCPFlow(t *TCP) *tcpFlow { return &tcpFlow{port: t, changed: make(chan struct{})} }

func (f *tcpFlow) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *tcpFlow) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		f.wake()
	}
}

// finish ends what is written.
func (f *tcpFlow) finish() {
	f.port.mu.Lock()
	delay := f.port.path.Delay
	f.port.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.eof = true
	f.pieces = append(f.pieces, tcpPieceAt{at: later(f.free, time.Now()).Add(delay)})
	f.wake()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// read reads what has arrived. A hole keeps all back until it is gone.
func (f *tcpFlow) read(p []byte, d *tcpDeadline) (int, error) {
	for {
		f.port.mu.Lock()
		hole, pathChanged := f.port.path.Hole, f.port.changed
		f.port.mu.Unlock()
		over, late := d.channel()
		f.mu.Lock()
		var arrives <-chan time.Time
		switch {
		case late:
			f.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case f.err != nil:
			defer f.mu.Unlock()
			return 0, f.err
		case hole:
		case len(f.pieces) > 0:
			first := &f.pieces[0]
			if wait := time.Until(first.at); wait > 0 {
				arrives = time.After(wait)
				break
			}
			if first.b == nil {
				f.mu.Unlock()
				return 0, io.EOF
			}
			n := copy(p, first.b)
			if first.b = first.b[n:]; len(first.b) == 0 {
				f.pieces = f.pieces[1:]
			}
			f.bytes -= n
			f.wake()
			f.mu.Unlock()
			return n, nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-pathChanged:
		case <-arrives:
		case <-over:
		}
	}
}

func (f *tcpFlow) write(p []byte, d *tcpDeadline) (n int, err error) {
	for n < len(p) {
		f.port.mu.Lock()
		path := f.port.path
		f.port.mu.Unlock()
		over, late := d.channel()
		f.mu.Lock()
		switch {
		case late:
			f.mu.Unlock()
			return n, os.ErrDeadlineExceeded
		case f.err != nil:
			defer f.mu.Unlock()
			return n, f.err
		case f.eof:
			f.mu.Unlock()
			return n, net.ErrClosed
		case f.bytes < cmp.Or(path.Window, tcpWindow):
			piece := slices.Clone(p[n:min(len(p), n+tcpPiece)])
			n += len(piece)
			f.bytes += len(piece)
			f.free = later(f.free, time.Now())
			if path.Rate > 0 {
				f.free = f.free.Add(time.Duration(float64(len(piece)) / path.Rate * float64(time.Second)))
			}
			f.pieces = append(f.pieces, tcpPieceAt{piece, f.free.Add(path.Delay)})
			f.wake()
			f.mu.Unlock()
			continue
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-over:
		}
	}
	return n, nil
}

// A tcpDeadline is a deadline that wakes those who wait.
type tcpDeadline struct {
	mu    sync.Mutex
	at    time.Time
	timer *time.Timer
	over  chan struct{}
}

func (d *tcpDeadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.over != nil {
		close(d.over)
	}
	over := make(chan struct{})
	d.at, d.over = at, over
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.over == over {
				close(over)
				d.over = nil
			}
		})
	}
}

// channel returns what is closed when the deadline passes or changes.
func (d *tcpDeadline) channel() (over <-chan struct{}, late bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.at.IsZero() && !time.Now().Before(d.at) {
		return nil, true
	}
	if d.over == nil {
		d.over = make(chan struct{})
	}
	return d.over, false
}

// A tcpEnd is one end of a connection.
type tcpEnd struct {
	in, out       *tcpFlow
	local, remote *net.TCPAddr
	reads, writes tcpDeadline
	closed        atomic.Bool
	count         *atomic.Int64 // of bytes read; nil: nobody counts
}

func (c *tcpEnd) Read(p []byte) (int, error) {
	n, err := c.in.read(p, &c.reads)
	if c.count != nil {
		c.count.Add(int64(n))
	}
	if err != nil && c.closed.Load() {
		err = net.ErrClosed
	}
	return n, err
}

func (c *tcpEnd) Write(p []byte) (int, error) { return c.out.write(p, &c.writes) }

// Close sends what was written, and then the end.
func (c *tcpEnd) Close() error {
	if !c.closed.Swap(true) {
		c.in.end(syscall.EPIPE) // for a writer that goes on
		c.out.finish()
	}
	return nil
}

func (c *tcpEnd) LocalAddr() net.Addr  { return c.local }
func (c *tcpEnd) RemoteAddr() net.Addr { return c.remote }

func (c *tcpEnd) SetDeadline(t time.Time) error {
	c.reads.set(t)
	c.writes.set(t)
	return nil
}

func (c *tcpEnd) SetReadDeadline(t time.Time) error {
	c.reads.set(t)
	return nil
}

func (c *tcpEnd) SetWriteDeadline(t time.Time) error {
	c.writes.set(t)
	return nil
}
