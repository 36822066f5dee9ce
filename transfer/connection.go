package transfer

import (
	"slices"
	"time"

	"malcolm/transfer/presence"
	"malcolm/transport"
	"malcolm/wire"
)

// A connection is one of those to a server. It belongs to the loop, but for conn,
// whose methods anybody may call.
type connection struct {
	conn    *transport.Conn
	opened  time.Time
	fetches int  // requests for ranges and for the manifest that are under way on it
	retired bool // gets no more of them, and is closed when it has none
	sign    presence.Sign
	way     presence.Way
}

// pick returns the connection for a peer's next range: the one with the fewest
// under way; nil when there is none.
func (p *peer) pick() (best *connection) {
	for _, l := range p.conns {
		if !l.retired && (best == nil || l.fetches < best.fetches) {
			best = l
		}
	}
	return best
}

// minRTT returns the least round trip of a peer's connections; 0 when it is
// not known.
func (p *peer) minRTT() (rtt time.Duration) {
	for _, l := range p.conns {
		if r := l.conn.Stats().MinRTT; r > 0 && (rtt == 0 || r < rtt) {
			rtt = r
		}
	}
	return rtt
}

// hangUp ends all connections to a server that is not needed, or of no use,
// for now.
func (g *getting) hangUp(p *peer) {
	for _, l := range p.conns {
		l.conn.Close(uint64(wire.CloseDone), "")
	}
	p.conns = nil
	select {
	case p.down <- struct{}{}:
	default:
	}
}

// forget takes a connection out of a peer's list; it is false when it was not
// in it.
func (p *peer) forget(c *connection) bool {
	i := slices.Index(p.conns, c)
	if i < 0 {
		return false
	}
	p.conns = slices.Delete(p.conns, i, i+1)
	return true
}

// connDown runs in the loop when a connection has ended by itself. With the
// last one the server is lost.
func (g *getting) connDown(p *peer, c *connection, err error) {
	now := time.Now()
	switch {
	case !p.forget(c):
	case len(p.conns) == 0:
		p.conns = append(p.conns, c) // leave hangs up
		g.leave(p, PeerLost, err)
	case p.state == PeerServing:
		if now.Sub(c.opened) < openPause {
			p.pauseOpening(now)
		} else {
			p.openPause = 0
		}
		if p.active() == 0 {
			p.conns[0].retired = false // it is needed after all
		}
		g.connsChanged(p)
	}
}
