package transfer

import (
	"context"
	"errors"
	"time"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transfer/vote"
	"malcolm/transport"
	"malcolm/wire"
)

// vote contacts every server and waits until it is known which file most of
// them hold.
func (g *getting) vote(ctx context.Context, t *clocks) error {
	g.ballot = vote.New(len(g.peers), vote.Options{Checksum: g.cfg.Checksum, Quorum: g.cfg.Quorum})
	for _, p := range g.peers {
		g.wg.Go(func() { g.contact(ctx, p) })
	}
	if err := g.loop(ctx, t, func() bool { return g.ballot.Closed(time.Now()) }); err != nil {
		return err
	}
	r := g.ballot.Result()
	g.ballot = nil
	if r.Winner < 0 {
		if r.Reason == vote.NobodyAnswered {
			return &NobodyAnsweredError{Servers: g.reports()}
		}
		return &UndecidedError{Targets: g.cfg.Targets, Result: r, Quorum: g.cfg.Quorum}
	}
	g.voted = &r.Groups[r.Winner]
	g.result.Name, g.result.Size, g.result.Checksum = r.Name, g.voted.Size, g.voted.Checksum
	g.layout.Size = g.voted.Size
	g.layout.ChunkSize = manifest.ChunkSize(g.voted.Size)
	g.layout.Chunks = manifest.Count(g.voted.Size)
	g.layout.Limit = g.cfg.Limit
	g.emit(Voted{Targets: g.cfg.Targets, Result: r, Chosen: g.cfg.Checksum != nil})
	for _, p := range g.peers {
		if p.state == PeerAnswered {
			g.admit(p)
		}
	}
	return nil
}

// connected runs in the loop, as do all that follow.
func (g *getting) connected(p *peer, conn *transport.Conn, id certs.ServerID) {
	p.conn, p.id = conn, id
	g.emit(Connected{Target: p.target, ID: id})
}

func (g *getting) indexing(p *peer, i wire.Indexing) {
	p.state = PeerIndexing
	p.indexed = 1
	if i.Total > 0 {
		p.indexed = float64(i.Done) / float64(i.Total)
	}
}

func (g *getting) notReached(p *peer, err error) {
	p.state, p.err = PeerNotReached, err
	if errors.Is(err, errDuplicate) {
		p.state = PeerDuplicate
		g.emit(Duplicate{Target: p.target})
	} else {
		g.emit(NotReached{Target: p.target, Err: err})
	}
	if g.ballot != nil {
		g.ballot.Fail(p.index, time.Now())
	}
	g.noteLeft()
}

// answered takes a server's offer: into the vote, or, when that is over,
// straight to the servers that take part or are left out.
func (g *getting) answered(p *peer, offer wire.Offer, m wire.Manifest) {
	p.state, p.offer, p.inline = PeerAnswered, offer, m
	p.rank = g.answers
	g.answers++
	if g.ballot != nil {
		g.ballot.Answer(p.index, vote.Offer{ID: p.id, Size: offer.Size, Checksum: offer.Checksum, Name: offer.Name}, time.Now())
	}
	if g.voted != nil {
		g.admit(p)
		if p.state == PeerServing {
			g.emit(Joined{Target: p.target})
		} else {
			g.emit(LeftOut{Target: p.target, Checksum: offer.Checksum, Size: offer.Size})
		}
		g.noteLeft()
	}
}

// admit lets a server take part if it offers what was voted for.
func (g *getting) admit(p *peer) {
	if p.offer.Checksum != g.voted.Checksum || p.offer.Size != g.voted.Size {
		p.state = PeerLeftOut
		g.hangUp(p)
		return
	}
	p.state = PeerServing
	if g.schedule != nil {
		g.schedule.Join(p.index, p.conn.Stats().MinRTT, time.Now())
		g.dispatch(time.Now())
	}
}

// hangUp ends the connection to a server that is not needed any more.
func (g *getting) hangUp(p *peer) {
	if p.conn != nil {
		p.conn.Close(uint64(wire.CloseDone), "")
	}
}

// leave takes a server out of the run: it was lost, changed, or lied.
func (g *getting) leave(p *peer, state PeerState, err error) {
	switch p.state {
	case PeerAnswered: // before the vote is over: its answer stands
		p.state, p.err = state, err
		g.emit(Lost{Target: p.target, State: state, Err: err, Left: -1})
		return
	case PeerServing:
	default:
		return
	}
	p.state, p.err = state, err
	if g.schedule != nil {
		g.schedule.Leave(p.index)
	}
	for _, f := range g.fetches {
		if f.peer == p {
			f.cancel()
		}
	}
	g.hangUp(p)
	g.emit(Lost{Target: p.target, State: state, Err: err, Left: g.serving()})
	g.noteLeft()
}

// serving returns how many servers take part.
func (g *getting) serving() (n int) {
	for _, p := range g.peers {
		if p.state == PeerServing {
			n++
		}
	}
	return n
}

// checkLeft returns an error when nobody is left who could send the file.
func (g *getting) checkLeft() error {
	for _, p := range g.peers {
		switch p.state {
		case PeerServing, PeerConnecting, PeerIndexing:
			return nil
		}
	}
	return &NoServerLeftError{Missing: g.layout.Size - g.good(), Servers: g.reports()}
}

// noteLeft ends the run when nobody is left and something is still missing.
func (g *getting) noteLeft() {
	if g.needed && g.fatal == nil && !g.complete() {
		g.fatal = g.checkLeft()
	}
}
