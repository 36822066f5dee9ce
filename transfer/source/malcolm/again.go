package malcolm

import (
	"context"
	"net/netip"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transport"
)

// both are the transports, in the order in which to try them.
var both = []transport.Protocol{transport.QUIC, transport.TCP}

// order returns the transports in the order in which to try them: QUIC first,
// or TCP where an earlier run has found that better.
func (s *server) order(remotes []netip.AddrPort) []transport.Protocol {
	switch {
	case s.only() != 0:
		return []transport.Protocol{s.only()}
	case s.likesTCP(remotes):
		return []transport.Protocol{transport.TCP, transport.QUIC}
	}
	return both
}

// likesTCP reports whether an earlier run has reached the server over TCP
// better. The server that answers must still prove who it is.
func (s *server) likesTCP(remotes []netip.AddrPort) bool {
	m := s.c.Paths
	if m.IsEmpty() || len(remotes) == 0 || s.isProxied() || s.forgotten.Load() {
		return false
	}
	ids := s.expected()
	if len(ids) == 0 {
		return false
	}
	pc, err := s.c.Network.Open(remotes[0]) // sends nothing
	if err != nil {
		return false
	}
	local := hostOf(pc.LocalAddr())
	pc.Close()
	for _, id := range ids {
		if p, ok := m.Recall(id, local, time.Now()); ok {
			return p.TCP
		}
	}
	return false
}

// expected returns the IDs that the server may prove, as far as is known before
// it has answered: none, if it may have any.
func (s *server) expected() (ids []certs.ServerID) {
	if id := s.proved(); id != (certs.ServerID{}) {
		return []certs.ServerID{id}
	}
	if ids = s.c.Trust.named(s.target); len(ids) > 0 {
		return ids
	}
	c, err := s.c.Trust.contact(s.target, certs.ServerID{})
	if err != nil {
		return nil
	}
	for _, known := range []*certs.KnownServer{c.OfAddress, c.OfName} {
		if known != nil {
			ids = append(ids, known.ID)
		}
	}
	return ids
}

// across returns the transport that the connection does not use and may try; 0:
// none.
func (c *conn) across() transport.Protocol {
	if c.s.only() != 0 || c.s.isProxied() || !c.remote.IsValid() {
		return 0
	}
	return both[0] + both[1] - c.protocol
}

// errNoOther says that a connection has no other transport.
var errNoOther = &source.Fault{What: source.Unsupported, Words: "there is no other transport to use"}

// Again dials the address of the connection. More of the same goes over the
// same transport, one across over the other. A replacement for a useless
// connection is tried over both transports, the other one first.
func (c *conn) Again(ctx context.Context, which source.Another) (source.Conn, error) {
	order := []transport.Protocol{c.protocol}
	switch other := c.across(); {
	case which == source.Across && other == 0:
		return nil, errNoOther
	case which == source.Across:
		order[0] = other
	case which == source.Instead && c.s.only() == 0:
		order = []transport.Protocol{both[0] + both[1] - c.protocol, c.protocol}
	}
	remotes := c.remotes
	if c.remote.IsValid() {
		remotes = []netip.AddrPort{c.remote}
	}
	again, err := c.s.race(ctx, race{
		lanes: c.s.lanes(order, remotes), timeout: c.s.c.ConnectTimeout, want: c.id,
		doubts:  which == source.Instead && c.protocol == transport.QUIC,
		further: which == source.More,
	})
	if err != nil {
		return nil, err
	}
	if again.id != c.id {
		again.Close()
		return nil, &source.Fault{What: source.Changed, Words: "came back with another server ID", Other: again.id}
	}
	if c.protocol == transport.TCP && again.protocol == transport.QUIC {
		c.s.forgotten.Store(true) // TCP was no good
	}
	return again, nil
}
