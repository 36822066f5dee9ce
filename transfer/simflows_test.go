package transfer

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"malcolm/certs"
)

// flowProtocol is the ALPN of flows.
const flowProtocol = "flow"

// flowHost is where flows come from.
var flowHost = netip.AddrFrom4([4]byte{10, 1, 0, 1})

// Flows are endless downloads of others, which share a server's link: plain
// quic-go, and so NewReno. Each is one connection with one stream.
type flows struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	came    atomic.Int64 // bytes of all
}

// flow begins n flows over a link. They go on until end is called.
func (w *world) flow(l *link, n int) *flows {
	ctx, stop := context.WithCancel(context.Background())
	f := &flows{stop: stop}
	for range n {
		w.mu.Lock()
		w.port++
		at := netip.AddrPortFrom(flowHost, uint16(w.port))
		w.links[at] = l
		w.mu.Unlock()
		server := w.socket(net.UDPAddrFromAddrPort(at))
		client, _ := w.Open(at) // the world always has a socket
		for _, run := range []func() error{
			func() error { return f.send(ctx, server) },
			func() error { return f.take(ctx, client, at) },
		} {
			f.running.Go(func() {
				if err := run(); err != nil && ctx.Err() == nil {
					w.t.Errorf("a flow: %v", err)
				}
			})
		}
	}
	return f
}

// end ends the flows.
func (f *flows) end() {
	f.stop()
	f.running.Wait()
}

// flowConfig has windows that bound nothing.
func flowConfig() *quic.Config {
	const window = 64 << 20
	return &quic.Config{InitialStreamReceiveWindow: window, InitialConnectionReceiveWindow: window, MaxStreamReceiveWindow: window, MaxConnectionReceiveWindow: window}
}

// send sends to the one client that comes.
func (f *flows) send(ctx context.Context, pc net.PacketConn) error {
	conf, err := testIDs[0].ServerTLS(time.Now(), flowProtocol)
	if err != nil {
		return err
	}
	defer pc.Close()
	t := &quic.Transport{Conn: pc}
	defer t.Close()
	l, err := t.Listen(conf, flowConfig())
	if err != nil {
		return err
	}
	defer l.Close()
	c, err := l.Accept(ctx)
	if err != nil {
		return err
	}
	defer c.CloseWithError(0, "")
	st, err := c.OpenUniStreamSync(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { st.CancelWrite(0) })()
	for piece := make([]byte, 64<<10); ; {
		if _, err := st.Write(piece); err != nil {
			return err
		}
	}
}

// take receives what a server sends.
func (f *flows) take(ctx context.Context, pc net.PacketConn, from netip.AddrPort) error {
	defer pc.Close()
	t := &quic.Transport{Conn: pc}
	defer t.Close()
	conf := certs.ClientTLS(flowProtocol, func(certs.ServerID) error { return nil })
	c, err := t.Dial(ctx, net.UDPAddrFromAddrPort(from), conf, flowConfig())
	if err != nil {
		return err
	}
	defer c.CloseWithError(0, "")
	st, err := c.AcceptUniStream(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { st.CancelRead(0) })()
	for piece := make([]byte, 64<<10); ; {
		n, err := st.Read(piece)
		f.came.Add(int64(n))
		if err != nil {
			return err
		}
	}
}
