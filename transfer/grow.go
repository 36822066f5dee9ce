package transfer

import (
	"context"
	"time"

	"malcolm/certs"
	"malcolm/wire"
)

// cpuBusy is the share of all processors that malcolm itself may use before it
// opens no more connections: they would only take turns.
const cpuBusy = 0.85

// openPause is how long no further connection to a server is tried after one
// that failed, or died within this time; it doubles with each further one, up to
// openPauseMost.
const (
	openPause     = 5 * time.Second
	openPauseMost = 5 * time.Minute
)

// grow lets the pure state machine decide how many connections each server
// should have, and brings them about. It runs in the loop, once a tick.
func (g *getting) grow(now time.Time) {
	busy := g.cfg.Limit == 0 && g.schedule.Queued() > 0
	for _, p := range g.peers {
		if p.state != PeerServing {
			continue
		}
		g.growth.Sample(p.index, p.arrived-p.sampled, p.minRTT(), busy, now)
	}
	g.growth.Step(now, g.cpu.free(now))
	for _, p := range g.peers {
		if p.state == PeerServing {
			g.adjust(p, g.growth.Want(p.index), now)
		}
	}
}

// adjust opens connections to a server, or retires them.
func (g *getting) adjust(p *peer, want int, now time.Time) {
	have := p.active()
	for ; have+p.opening < want && !now.Before(p.openAfter); p.opening++ {
		g.open(p, nil)
	}
	for i := len(p.conns) - 1; i >= 0 && have > want; i-- {
		if c := p.conns[i]; !c.retired {
			c.retired = true
			have--
			g.closeRetired(p, c)
			g.connsChanged(p)
			g.explainConns(Shrunk, p)
		}
	}
}

// active returns how many connections of a peer are in use.
func (p *peer) active() (n int) {
	for _, c := range p.conns {
		if !c.retired {
			n++
		}
	}
	return n
}

// idle returns how many of those have no range under way.
func (p *peer) idle() (n int) {
	for _, c := range p.conns {
		if !c.retired && c.fetches == 0 {
			n++
		}
	}
	return n
}

// closeRetired closes a connection that is not wanted any more and has nothing
// to do.
func (g *getting) closeRetired(p *peer, c *connection) {
	if !c.retired || c.fetches > 0 {
		return
	}
	p.forget(c)
	c.conn.Close(uint64(wire.CloseDone), "")
}

// connsChanged tells the one who decides how many connections a peer should
// have how many it has.
func (g *getting) connsChanged(p *peer) {
	if g.growth != nil {
		g.growth.Opened(p.index, p.active(), time.Now())
	}
}

// open makes, beside the loop, one more connection to a server that takes part:
// one more than it has, or, when instead is not nil, one to take the place of that.
// It must prove the same identity and offer the same file.
func (g *getting) open(p *peer, instead *connection) {
	id, offer := p.id, p.offer
	g.wg.Go(func() {
		c, err := g.another(p.ctx, p, id, offer)
		g.post(func() { g.opened(p, c, instead, err) })
		if c == nil {
			return
		}
		select {
		case <-c.conn.Done():
			g.post(func() { g.connDown(p, c, c.conn.Err()) })
		case <-p.ctx.Done():
			c.conn.Close(uint64(wire.CloseDone), "")
		}
	})
}

func (g *getting) another(ctx context.Context, p *peer, id certs.ServerID, offer wire.Offer) (*connection, error) {
	deadline := time.Now().Add(g.cfg.ConnectTimeout)
	dialing, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := g.dial(dialing, p.target, *p.remote.Load())
	if err != nil {
		return nil, g.timedOut(dialing, err, ErrNoAnswer)
	}
	proved, err := certs.PeerID(conn.TLS())
	if err == nil && proved != id {
		err = errOtherID
	}
	if err == nil {
		var again wire.Offer
		again, _, err = g.hello(ctx, conn, offerOnly, deadline, noIndexing)
		if err == nil && (again.Checksum != offer.Checksum || again.Size != offer.Size) {
			err = errOtherOffer
		}
	}
	if err != nil {
		conn.Close(uint64(wire.CloseDone), "")
		return nil, err
	}
	return &connection{conn: conn, opened: time.Now()}, nil
}

// opened runs in the loop when a further connection is there, or is not: then
// the server has as many as it had, and nothing is said.
func (g *getting) opened(p *peer, c, instead *connection, err error) {
	p.opening--
	switch {
	case err != nil && instead == nil:
		p.pauseOpening(time.Now())
	case p.state != PeerServing || p.judging, err != nil, instead != nil && !instead.way.Useless():
		if c != nil {
			c.conn.Close(uint64(wire.CloseDone), "")
		}
		if instead != nil && p.state == PeerServing {
			g.emit(Decision{What: WayKept, Target: p.target, Err: err})
		}
	case instead != nil:
		g.replace(p, instead, c)
	default:
		p.conns = append(p.conns, c)
		g.connsChanged(p)
		g.explainConns(Grown, p)
		g.dispatch(time.Now())
	}
}

// pauseOpening opens no further connection to a server for a while.
func (p *peer) pauseOpening(now time.Time) {
	p.openPause = min(max(2*p.openPause, openPause), openPauseMost)
	p.openAfter = now.Add(p.openPause)
}

// replace gives a connection the place of one that brings nothing. What that
// silence says of the server is forgotten: it may have been the path's.
func (g *getting) replace(p *peer, old, c *connection) {
	now := time.Now()
	c.way = old.way.Next()
	p.conns = append(p.conns, c)
	g.retire(p, old)
	g.emit(Decision{What: WayChanged, Target: p.target})
	if g.schedule != nil {
		g.schedule.Revive(p.index, now)
	}
	g.dispatch(now)
}
