package transfer

import (
	"context"
	"net"
	"sync"
	"time"

	"malcolm/transfer/serve"
	"malcolm/transfer/source"
)

// narrowWindow is the least receive window, in bytes.
const narrowWindow = 64 << 10

// A meter counts what a server spends on clients, which have one address.
type meter struct {
	w      *world
	target source.Target
	src    *heldFile
	run    *serve.Server

	mu   sync.Mutex
	bill bill
}

// metered starts a server over UDP, or over TCP where all use that, and returns
// when its file is hashed.
func (w *world) metered(data []byte, cfg serve.Config) *meter {
	w.t.Helper()
	m := &meter{w: w, target: w.nextTargets(1)[0], src: newSource(data)}
	if l := w.link(m.target); w.tcp.only {
		l.set(func(l *link) { l.rate /= mostLinks }) // of each TLS connection
	}
	pc := w.socket(addrOf(m.target))
	if w.tcp.only {
		cfg.TCP.Sockets = []net.Listener{meteredListener{w.listenTCP(addrOf(m.target).AddrPort()), m}}
	} else {
		pc = meteredSocket{pc, m}
	}
	cfg.Source, cfg.Name, cfg.Identity, cfg.Conns = m.src, "data.bin", testIDs[0], []net.PacketConn{pc}
	cfg.Events = func(e serve.Event) {
		if _, ok := e.(serve.Ready); ok {
			m.src.served()
		}
	}
	var err error
	if m.run, err = serve.NewServer(cfg); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.run.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	time.Sleep(time.Second)
	return m
}

// count adds more to the bill, updates what is held at once, and returns the
// bill so far.
func (m *meter) count(more bill) bill {
	st := m.run.Status()
	now := bill{mostRequests: int64(st.Requests), mostHeld: st.Load.Held, mostPlaces: int64(st.Load.Conns)}
	m.mu.Lock()
	defer m.mu.Unlock()
	for kind := range m.bill {
		m.bill[kind] = max(m.bill[kind]+more[kind], now[kind])
	}
	return m.bill
}

// charge returns what clients cost in their time. Then their context ends.
func (m *meter) charge(by costly) bill {
	a := m.w.attacker(m.target, 1)
	if by.narrow {
		a.Window = narrowWindow // over TCP all windows are as small
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { by.clients(ctx, a) })
	for began := time.Now(); time.Since(began) < by.span; time.Sleep(10 * time.Millisecond) {
		m.count(bill{})
	}
	b := m.count(bill{bytesRead: m.src.sent()})
	cancel()
	wg.Wait()
	return b
}

// A meteredSocket is the UDP socket of a server with a meter.
type meteredSocket struct {
	net.PacketConn
	m *meter
}

func (s meteredSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(p)
	s.m.count(bill{packetsReceived: 1})
	return n, from, err
}

func (s meteredSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	s.m.count(bill{packetsSent: 1, bytesSent: int64(len(p))})
	return s.PacketConn.WriteTo(p, to)
}

// A meteredListener is the TCP port of a server with a meter.
type meteredListener struct {
	net.Listener
	m *meter
}

func (l meteredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.m.count(bill{packetsReceived: 1, packetsSent: 1}) // that make the connection
	return meteredConn{c, l.m}, nil
}

// A meteredConn counts packets of the usual size, whatever a call brings.
type meteredConn struct {
	net.Conn
	m *meter
}

const segmentSize = 1448 // bytes of a packet of TCP

func segments(n int) int64 { return int64(n+segmentSize-1) / segmentSize }

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.m.count(bill{packetsReceived: segments(n)})
	return n, err
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.m.count(bill{packetsSent: segments(n), bytesSent: int64(n)})
	return n, err
}
