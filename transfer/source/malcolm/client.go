// Package malcolm is a malcolm server as a source of files. It finds and dials
// the server, proves who it is, and asks for offers, values and ranges.
package malcolm

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transport"
)

// DefaultConnectTimeout is [Config].ConnectTimeout when that is zero.
const DefaultConnectTimeout = 5 * time.Second

// A Config says how servers are reached. The zero Config is ready to use.
type Config struct {
	Trust   Trust   // which servers are accepted by their IDs
	Network Network // the way to them; nil: the system's
	// ConnectTimeout is the time for a server to answer; 0 or less:
	// [DefaultConnectTimeout].
	ConnectTimeout time.Duration
	// Limit is the rate, in bytes of files a second, that all servers
	// together are to send. It bounds what they send ahead. 0: no limit.
	Limit int64
	QLog  *transport.QLog // gets the packets of all connections; nil: nobody
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
		cfg.Network = SystemNetwork{}
	}
	if all {
		targets = spread(ctx, cfg.Network, targets, cfg.ConnectTimeout)
	}
	if err := cfg.Trust.ready(targets); err != nil {
		return nil, err
	}
	c := &client{Config: cfg, servers: len(targets), windows: transport.NewWindowBudget(transport.DefaultWindows)}
	rand.Read(c.run[:]) // never fails
	sources := make([]source.Source, len(targets))
	for i, t := range targets {
		sources[i] = &server{c: c, target: t}
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
	run     [16]byte // tells its connections from those of other runs
	servers int
	windows *transport.WindowBudget

	checkBuffers sync.Once
	smallBuffers []source.SmallBuffer // set by checkBuffers
}

// A server is one [source.Source].
type server struct {
	c      *client
	target source.Target
}

func (s *server) Target() source.Target { return s.target }

func (s *server) Voter() (source.Voter, bool) {
	return source.Voter{Host: s.target.Typed(), IDs: s.c.Trust.named(s.target)}, true
}

// A conn is a connection to a server whose identity is accepted.
type conn struct {
	s      *server
	way    transport.Conn
	remote netip.AddrPort
	id     certs.ServerID
	room   room

	// opening is the time by which the first offer must have begun to come.
	// The first Stat takes it, and has the identity accepted for good; nil:
	// done.
	mu      sync.Mutex
	opening *time.Time
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
	addr := netip.AddrPortFrom(c.remote.Addr().Unmap(), c.remote.Port())
	return source.Peer{ID: c.id, Addr: addr, Transport: c.way.Protocol()}
}

func (c *conn) Traits() source.Traits {
	return source.Traits{MoreConns: true, SmallBuffers: c.s.c.smallBuffers}
}

func (c *conn) Stats() source.Stats {
	s := c.way.Stats()
	return source.Stats{MinRTT: s.MinRTT, SmoothedRTT: s.SmoothedRTT, Received: s.PacketsReceived}
}

func (c *conn) Done() <-chan struct{} { return c.way.Done() }

func (c *conn) Err() error {
	if err := c.way.Err(); err != nil {
		return fault(err)
	}
	return nil
}

func (c *conn) Close() { hangUp(c.way) }
