package malcolm

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transport"
	"malcolm/wire"
)

// A sim is a server in a simulated network, which is the [Network] of its
// clients. Its time is virtual.
type sim struct {
	t     *testing.T
	nodes simnet.PerfectRouter
	id    *certs.Identity

	// open returns the reply to an open; nil: nothing.
	open func(cs tls.ConnectionState, o wire.Open) []byte
	// answer replies to a request.
	answer func(st transport.Stream, req wire.Request)

	tcp   *sourcetest.TCP // its TCP port
	tcpID *certs.Identity // who is there; nil: id
	hole  atomic.Bool     // UDP is lost
	sent  atomic.Int64    // packets over UDP
	noUDP error           // why no UDP socket is opened; nil: it is

	only transport.Protocol // what clients may use; 0: all

	mu    sync.Mutex
	links []*simnet.SimulatedLink
	port  byte
	opens []wire.Open
	asked []wire.Request
}

// simDelay is the time of a packet on its way.
const simDelay = 10 * time.Millisecond

var simPlace = source.Target{Host: "10.0.0.1", Port: 9001}

// opened is a reply that accepts an open.
func opened(o wire.Opened) []byte { return frame(o.Append(nil)) }

// leastLimits are the least that a server may say.
var leastLimits = wire.Limits{Streams: 1, Flight: wire.LeastLongest, Longest: wire.LeastLongest, Wasted: 100}

// newSim returns a server that accepts every client, whose files are [content].
func newSim(t *testing.T) *sim {
	t.Helper()
	id, err := certs.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s := &sim{t: t, id: id}
	s.tcp = sourcetest.NewTCP(netip.MustParseAddrPort(simPlace.String()), sourcetest.TCPPath{Delay: simDelay})
	s.open = func(tls.ConnectionState, wire.Open) []byte {
		return opened(wire.Opened{Limits: leastLimits, Tail: wire.Idle()})
	}
	s.answer = func(st transport.Stream, req wire.Request) {
		if r, ok := req.(wire.RangesRequest); ok {
			for _, span := range r.Spans {
				st.Write(frames(content(span.Offset, span.Length), wire.MaxFrameLen))
			}
		}
	}
	return s
}

// simulate runs f with a server of [newSim].
func simulate(t *testing.T, f func(t *testing.T, s *sim)) {
	t.Helper()
	simulateWith(t, nil, f)
}

// simulateWith is simulate for a server whose TCP port is somebody else's; nil:
// it is not.
func simulateWith(t *testing.T, tcpID *certs.Identity, f func(t *testing.T, s *sim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t)
		s.tcpID = tcpID
		ctx, cancel := context.WithCancel(t.Context())
		ended := s.listen(ctx)
		f(t, s)
		cancel()
		for range 2 {
			<-ended
		}
		for _, l := range s.links {
			l.Close()
		}
	})
}

// socket returns a socket of the network.
func (s *sim) socket(addr netip.AddrPort) net.PacketConn {
	settings := simnet.LinkSettings{MTU: 1500}
	l := &simnet.SimulatedLink{UploadPacket: s, UplinkSettings: settings, DownlinkSettings: settings,
		LatencyFunc: func(simnet.Packet) time.Duration { return simDelay }}
	udp := net.UDPAddrFromAddrPort(addr)
	c := simnet.NewBlockingSimConn(udp, l)
	l.Start()
	s.links = append(s.links, l)
	s.nodes.AddNode(udp, l)
	return c
}

// AddNode and SendPacket implement simnet.Router.
func (s *sim) AddNode(addr net.Addr, receiver simnet.PacketReceiver) { s.nodes.AddNode(addr, receiver) }

func (s *sim) SendPacket(p simnet.Packet) error {
	s.sent.Add(1)
	if s.hole.Load() {
		return nil
	}
	return s.nodes.SendPacket(p)
}

// Resolve implements [Network].
func (s *sim) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(host)}, nil
}

// Open implements [Network].
func (s *sim) Open(netip.AddrPort) (net.PacketConn, error) {
	if s.noUDP != nil {
		return nil, s.noUDP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.port++
	return s.socket(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, s.port}), 20000)), nil
}

// Dial implements [Network].
func (s *sim) Dial(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	return s.tcp.Dial(ctx, netip.MustParseAddrPort("10.9.0.1:30000"))
}

// listen serves over QUIC and TCP. ended receives when each has ended.
func (s *sim) listen(ctx context.Context) (ended chan struct{}) {
	conf, err := s.id.ServerTLS(time.Now(), wire.ALPN)
	if err != nil {
		s.t.Fatal(err)
	}
	o := transport.ListenOptions{TLS: conf}
	tcpOptions := o
	if s.tcpID != nil {
		if tcpOptions.TLS, err = s.tcpID.ServerTLS(time.Now(), wire.ALPN); err != nil {
			s.t.Fatal(err)
		}
	}
	quic, err := transport.Listen(s.socket(netip.MustParseAddrPort(simPlace.String())), o)
	if err != nil {
		s.t.Fatal(err)
	}
	tcp, err := transport.ListenTCP(s.tcp, tcpOptions)
	if err != nil {
		s.t.Fatal(err)
	}
	ended = make(chan struct{})
	for _, l := range []transport.Listener{quic, tcp} {
		go s.accept(ctx, l, ended)
	}
	return ended
}

func (s *sim) accept(ctx context.Context, l transport.Listener, ended chan<- struct{}) {
	var wg sync.WaitGroup
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			break
		}
		wg.Go(func() { s.serve(ctx, conn) })
	}
	wg.Wait()
	l.Close()
	ended <- struct{}{}
}

// serve answers what comes on a connection, one request after the other.
func (s *sim) serve(ctx context.Context, conn transport.Conn) {
	defer conn.Close(uint64(wire.CloseDone), "")
	for {
		st, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		if st.First() && !s.opensWith(st) {
			<-ctx.Done()
			return
		}
		req, err := wire.ReadRequest(st)
		if err != nil {
			continue
		}
		s.mu.Lock()
		s.asked = append(s.asked, req)
		s.mu.Unlock()
		s.answer(st, req)
		st.CloseWrite()
		st.Release()
	}
}

// opensWith answers the open; false: without a word.
func (s *sim) opensWith(st transport.Stream) bool {
	o, err := wire.ReadOpen(st)
	if err != nil {
		s.t.Errorf("the first stream begins with %v", err)
		return false
	}
	s.mu.Lock()
	s.opens = append(s.opens, o)
	s.mu.Unlock()
	reply := s.open(st.TLS(), o)
	st.Write(reply)
	return reply != nil
}

// source returns the server as a source of a run.
func (s *sim) source(trust Trust) source.Source {
	s.t.Helper()
	sources, err := Sources(s.t.Context(), Config{Trust: trust, Network: s, Transport: s.only}, []source.Target{simPlace}, false)
	if err != nil {
		s.t.Fatal(err)
	}
	return sources[0]
}

// connect connects to the server; the test closes the connection.
func (s *sim) connect(trust Trust) source.Conn {
	s.t.Helper()
	c, err := s.source(trust).Connect(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}
