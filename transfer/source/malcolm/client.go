// Package malcolm is a malcolm server as a source of files. It finds and dials
// the server, proves who it is, and asks for offers, values and ranges.
package malcolm

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/paths"
	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// DefaultConnectTimeout is [Config].ConnectTimeout when that is zero.
const DefaultConnectTimeout = 5 * time.Second

// A Config says how servers are reached. The zero Config is ready to use.
type Config struct {
	Trust   Trust   // which servers are accepted by their IDs
	Network Network // the way to them; nil: the system's
	// Transport is the only one to use; 0: QUIC, and TCP where that does
	// not answer.
	Transport transport.Protocol
	// Proxy returns the HTTP proxy through which TCP reaches a server; nil:
	// it goes without. Proxy itself may be nil.
	Proxy func(source.Target) *url.URL
	// ConnectTimeout is the time for a server to answer; 0 or less:
	// [DefaultConnectTimeout].
	ConnectTimeout time.Duration
	// Limit is the rate, in bytes of files a second, that all servers
	// together are to send. It bounds what they send ahead. 0: no limit.
	Limit int64
	QLog  *transport.QLog // gets the packets of all connections; nil: nobody
	// Paths says over which transport servers were reached best; nil:
	// nothing is known.
	Paths *paths.Memory
	// Run is what these sources share with others of one command; nil:
	// there are no others.
	Run *Run
}

// A Run is what all servers of one command share. Any goroutine may use it.
type Run struct {
	number  [16]byte // tells its connections from those of other runs
	windows *transport.WindowBudget
	purses  sync.Map // of *purse, by certs.ServerID
}

// NewRun returns a run that has done nothing yet.
func NewRun() *Run {
	r := &Run{windows: transport.NewWindowBudget(transport.DefaultWindows)}
	rand.Read(r.number[:]) // never fails
	return r
}

// Sources returns the servers of one command as sources, in the order of
// targets. With all, each address of a host becomes a source of its own; the
// network is asked for them. The error says why servers cannot be trusted as
// cfg says: a [*PinError], or an error of the records of known servers.
func Sources(ctx context.Context, cfg Config, targets []source.Target, all bool) ([]source.Source, error) {
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = DefaultConnectTimeout
	}
	if cfg.Network == nil {
		cfg.Network = source.SystemNetwork{}
	}
	if all {
		targets = spread(ctx, cfg.Network, targets, cfg.ConnectTimeout)
	}
	if err := cfg.Trust.ready(targets); err != nil {
		return nil, err
	}
	if cfg.Run == nil {
		cfg.Run = NewRun()
	}
	c := &client{Config: cfg, servers: len(targets)}
	sources := make([]source.Source, len(targets))
	for i, t := range targets {
		s := &server{c: c, target: t}
		if cfg.Proxy != nil {
			s.proxy = cfg.Proxy(t)
		}
		sources[i] = s
	}
	return sources, nil
}

// Voters says who targets vote as if they are trusted as t says, before
// anything of them is known. With all, an ID may be named for an address that
// is not known yet; then there are more voters than targets.
func Voters(t Trust, targets []source.Target, all bool) []source.Voter {
	var voters []source.Voter
	for _, target := range targets {
		voters = append(voters, source.Voter{Host: target.Typed(), IDs: t.named(target)})
	}
	if all {
		for _, pin := range t.Pins {
			voters = append(voters, source.Voter{IDs: []certs.ServerID{pin.ID}})
		}
	}
	return voters
}

// A client is what the servers of one command share. Any goroutine may use it.
type client struct {
	Config
	servers int

	checkBuffers sync.Once
	smallBuffers atomic.Pointer[[]source.SmallBuffer] // nil before checkBuffers
}

// purse returns what the run may waste at the servers of one identity.
func (c *client) purse(id certs.ServerID) *purse {
	p, _ := c.Run.purses.LoadOrStore(id, &purse{})
	return p.(*purse)
}

// A server is one [source.Source].
type server struct {
	c      *client
	target source.Target
	proxy  *url.URL // nil: none

	rtt atomic.Int64                   // last known round trip in ns; 0: not known
	id  atomic.Pointer[certs.ServerID] // with which it was accepted in this run; nil: not yet

	forgotten atomic.Bool // what is remembered of it was wrong
}

// proved returns the ID with which the server was accepted in this run; zero:
// it was not yet.
func (s *server) proved() (id certs.ServerID) {
	if p := s.id.Load(); p != nil {
		id = *p
	}
	return id
}

// only returns the only transport that leads to the server; 0: any may.
func (s *server) only() transport.Protocol {
	if s.c.Transport != 0 {
		return s.c.Transport
	}
	return s.target.Over()
}

// isProxied reports whether a proxy leads to the server over TCP.
func (s *server) isProxied() bool { return s.proxy != nil && s.only() != transport.QUIC }

func (s *server) Target() source.Target { return s.target }

func (s *server) Voter() (source.Voter, bool) {
	return source.Voter{Host: s.target.Typed(), IDs: s.c.Trust.named(s.target)}, true
}

// A conn is a connection to a server whose identity is accepted.
type conn struct {
	s        *server
	way      transport.Conn
	protocol transport.Protocol // of way
	remote   netip.AddrPort     // zero: the proxy knows
	id       certs.ServerID
	room     room
	ledger   ledger

	remotes []netip.AddrPort // of the server
	udp     *udpTry          // nil: UDP was not tried beside TCP
	other   certs.ServerID   // that was proved over another way; zero: none

	wrong atomic.Pointer[source.Fault] // for which we have hung up; nil: not for one

	bbr atomic.Bool // the server says that it sends over TCP with BBR

	// opening is the time by which the first offer must have begun to come.
	// The first Stat takes it, and has the identity accepted for good; nil:
	// done.
	mu      sync.Mutex
	opening *time.Time
	local   netip.Addr // from which the server is reached; zero: a proxy leads there
}

// takeOpening returns the time by which the first offer must have begun to
// come; false: this is not the first.
func (c *conn) takeOpening() (deadline time.Time, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening == nil {
		return time.Now().Add(c.s.c.ConnectTimeout), false
	}
	deadline, c.opening = *c.opening, nil
	return deadline, true
}

func (c *conn) Peer() source.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	addr := netip.AddrPortFrom(c.remote.Addr().Unmap(), c.remote.Port())
	return source.Peer{ID: c.id, Addr: addr, Local: c.local, Transport: c.protocol, Other: c.other}
}

// cameFrom notes the local address of the first socket to the server itself.
func (c *conn) cameFrom(a net.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if local := hostOf(a); !c.local.IsValid() && c.remote.IsValid() && !local.IsUnspecified() {
		c.local = local
	}
}

// hostOf returns the IP address of a socket; zero: it has none.
func hostOf(a net.Addr) (host netip.Addr) {
	switch a := a.(type) {
	case *net.UDPAddr:
		host = a.AddrPort().Addr()
	case *net.TCPAddr:
		host = a.AddrPort().Addr()
	}
	return host.Unmap()
}

func (c *conn) Traits() source.Traits {
	t := source.Traits{MoreConns: true, Across: c.across(), BBR: c.bbr.Load()}
	if small := c.s.c.smallBuffers.Load(); small != nil {
		t.SmallBuffers = *small
	}
	return t
}

func (c *conn) Stats() source.Stats {
	s := c.way.Stats()
	return source.Stats{
		MinRTT: s.MinRTT, SmoothedRTT: s.SmoothedRTT, Received: s.PacketsReceived,
		Unanswered: c.udp.unanswered(), Refused: c.udp.isRefused(),
	}
}

func (c *conn) Done() <-chan struct{} { return c.way.Done() }

// hangUp ends the connection to a server that broke the protocol.
func (c *conn) hangUp(f *source.Fault) {
	c.wrong.CompareAndSwap(nil, f)
	c.udp.halt()
	c.way.Close(uint64(wire.CloseProtocol), "")
}

func (c *conn) Err() error {
	if f := c.wrong.Load(); f != nil && c.way.Err() != nil {
		return f
	}
	if err := c.way.Err(); err != nil {
		return fault(err)
	}
	return nil
}

func (c *conn) Close() {
	if rtt := c.way.Stats().SmoothedRTT; rtt > 0 {
		c.s.rtt.Store(int64(rtt))
	}
	c.udp.halt()
	c.way.Close(uint64(wire.CloseDone), "")
}
