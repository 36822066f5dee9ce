package transfer

import (
	"slices"
	"time"

	"malcolm/transfer/presence"
)

// wanted reports whether bytes are wanted that no server has sent yet.
func (g *getting) wanted() bool {
	switch {
	case g.asking != nil:
		return true
	case g.schedule == nil, g.schedule.Done():
		return false
	}
	// Chunks that are still being checked, or for which a stream has no room, are not wanted yet.
	return g.schedule.Queued() > 0 || len(g.fetches) > 0
}

// attend tells the presence what is so, and does what it wants. It runs at each
// tick, after the bytes that came were counted.
func (g *getting) attend(now time.Time) {
	signs := make([]presence.Sign, len(g.peers))
	for i, p := range g.peers {
		signs[i], p.sign = p.sign, presence.Sign{}
	}
	a := g.presence.Tick(presence.Look{Now: now, Wanted: g.wanted(), Servers: signs})
	for _, i := range a.Tired {
		g.tired(g.peers[i])
	}
	for _, i := range a.Missed {
		g.emitLost(g.peers[i])
	}
	for _, i := range a.Quiet {
		g.emit(ServerSilent{Target: g.peers[i].target, Lasted: presence.QuietTime})
	}
	switch a.Say {
	case presence.Absent:
		g.emit(Waiting{Left: a.Left})
	case presence.Silent:
		g.emit(Silent{Lasted: a.Lasted, Left: a.Left})
	}
	missing := g.layout.Size - g.good()
	switch a.GiveUp {
	case presence.Absent:
		for _, p := range g.peers {
			if p.state == PeerServing { // it only seems so
				g.leave(p, PeerLost, p.failed)
			}
		}
		g.fail(&NoServerLeftError{Missing: missing, Servers: g.reports()})
	case presence.Silent:
		g.fail(&SilentError{After: g.cfg.Patience, Missing: missing, Servers: g.presence.Serving()})
	}
}

// tired gives up a server that says that it will serve later, and has said so
// for all of the patience.
func (g *getting) tired(p *peer) {
	p.stop()
	if p.state == PeerFull {
		g.outOfVote(p, p.err)
	} else {
		g.outOfVote(p, &TimeoutError{After: g.cfg.Patience, Err: ErrStillIndexing})
	}
}

// notice takes up what the ranges and the requests for the manifest have read
// since the last tick, and finds connections that bring nothing of what they owe.
func (g *getting) notice(now time.Time) {
	for id, f := range g.fetches {
		n := g.count(f)
		heard := g.begun.Add(time.Duration(f.heard.Load()))
		waits := f.waiting.Load()
		if !waits {
			heard = now
		}
		g.schedule.Arrived(id, n, heard)
		g.see(f.peer, f.conn, waits)
	}
	if g.asking != nil {
		for _, r := range g.asking.requests {
			n := r.arrived.Load() - r.counted
			r.counted += n
			r.peer.came(r.conn, n)
			g.see(r.peer, r.conn, true)
		}
	}
	wanted := g.wanted()
	for _, p := range g.peers {
		g.watch(p, wanted, now)
	}
}

// came notes bytes that came on one of a peer's connections.
func (p *peer) came(c *connection, bytes int64) {
	p.sign.Came += bytes
	c.sign.Came += bytes
}

// see notes that a request is under way on a connection: it waits for the server,
// or for this machine.
func (g *getting) see(p *peer, c *connection, waits bool) {
	for _, s := range []*presence.Sign{&p.sign, &c.sign} {
		s.Owes = s.Owes || waits
		s.Busy = s.Busy || !waits
	}
}

// watch looks for connections of a server that are alive and useless.
func (g *getting) watch(p *peer, wanted bool, now time.Time) {
	for _, c := range p.conns {
		var packets uint64
		if c.sign.Owes {
			packets = c.conn.Stats().PacketsReceived
		}
		another := c.way.Look(now, presence.Seen{Sign: c.sign, Wanted: wanted, Packets: packets})
		c.sign = presence.Sign{}
		if another && p.state == PeerServing && !p.judging {
			g.tryAnother(p, c)
			return // the connections may be others now
		}
	}
}

// tryAnother has the work of a connection that brings nothing done on another
// one to the same server: one that is there and of use, or a new one.
func (g *getting) tryAnother(p *peer, c *connection) {
	instead := func(other *connection) bool { return other != c && !other.retired && !other.way.Useless() }
	switch {
	case c.retired, slices.ContainsFunc(p.conns, instead):
		if !c.retired {
			g.emit(Decision{What: WayChanged, Target: p.target})
		}
		g.retire(p, c)
	case p.opening == 0 && len(p.conns) < p.active()+mostRetired:
		p.opening++
		g.open(p, c)
		g.emit(Decision{What: WayTried, Target: p.target})
	}
}

// mostRetired is how many connections that another one has replaced a server may
// have: those on which the manifest may still come.
const mostRetired = 2

// retire gives a connection no more ranges, and ends those that it has. What they
// have of a chunk is kept, and goes on elsewhere.
func (g *getting) retire(p *peer, c *connection) {
	c.retired = true
	for _, f := range g.fetches {
		if f.conn == c {
			f.cancel()
		}
	}
	g.closeRetired(p, c)
	g.connsChanged(p)
}
