package transfer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// vote contacts every server and waits until it is known which file most of
// them hold.
func (g *getting) vote(ctx context.Context, t *clocks) error {
	if err := g.cfg.Trust.ready(g.cfg.Targets); err != nil {
		return err
	}
	g.ballot = vote.New(voters(g.cfg), vote.Options{Checksum: g.cfg.Checksum, Quorum: g.cfg.Quorum})
	for _, p := range g.peers {
		p.ctx, p.stop = context.WithCancel(ctx)
		if p.tried {
			g.presence.Out(p.index)
			g.ballot.Fail(p.index, time.Now())
			continue
		}
		g.wg.Go(func() { g.contact(p) })
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
		return &UndecidedError{Targets: g.cfg.Targets, Result: r, Quorum: g.cfg.Quorum, Servers: g.reports()}
	}
	g.voted = &r.Groups[r.Winner]
	g.result.Name, g.result.Size, g.result.Checksum = r.Name, g.voted.Size, g.voted.Checksum
	g.layout.Size = g.voted.Size
	g.layout.ChunkSize = manifest.ChunkSize(g.voted.Size)
	g.layout.Chunks = manifest.Count(g.voted.Size)
	g.layout.Limit = g.cfg.Limit
	g.emit(Voted{Targets: g.cfg.Targets, Result: r, Chosen: g.cfg.Checksum != nil})
	if g.voted.Size > g.cfg.MaxSize {
		return &TooLargeError{Size: g.voted.Size, Max: g.cfg.MaxSize}
	}
	g.admitAll(r)
	return nil
}

// admitAll lets those take part that have answered, when the vote is decided. Of
// those that were lost since, it leaves out those that offered another file: there
// is nothing to wait for.
func (g *getting) admitAll(r vote.Result) {
	for _, p := range g.peers {
		switch {
		case p.state == PeerLost && !g.offersVoted(p):
			g.leaveOut(p)
		case p.state != PeerAnswered:
		case slices.Contains(r.Answered, p.index): // the vote says of it what it offers
			g.admit(p)
		default: // it answered when the vote was closed already
			g.admitLate(p)
		}
	}
}

// voters returns the servers of a run as the vote sees them.
func voters(cfg GetConfig) []vote.Server {
	servers := make([]vote.Server, len(cfg.Targets))
	for i, t := range cfg.Targets {
		servers[i].Host = t.typed()
		for _, id := range cfg.Trust.named(t) {
			servers[i].IDs = append(servers[i].IDs, vote.ID(id))
		}
	}
	return servers
}

// MostVotes returns how many votes the servers of a run can have at most: one for each host that the user typed, and one
// for each ID that the user named for servers of theirs. With AllAddresses it may be more than that.
func MostVotes(cfg GetConfig) int {
	servers := voters(cfg)
	if cfg.AllAddresses { // an ID may be named for an address that is not known yet
		for _, pin := range cfg.Trust.Pins {
			servers = append(servers, vote.Server{IDs: []vote.ID{vote.ID(pin.ID)}})
		}
	}
	return vote.Most(servers)
}

// connected runs in the loop, as do all that follow.
func (g *getting) connected(p *peer, id certs.ServerID) {
	if p.id == (certs.ServerID{}) {
		p.id = id
		g.emit(Connected{Target: p.target, ID: id})
	}
}

func (g *getting) indexing(p *peer, i wire.Indexing) {
	switch p.state {
	case PeerLost: // it was in the vote already; what it makes now is another version, or it was restarted
	default:
		g.waitFor(p, PeerIndexing)
	}
	p.indexed = 1
	if i.Total > 0 {
		p.indexed = float64(i.Done) / float64(i.Total)
	}
}

// waitFor waits for a server that says that it will serve later.
func (g *getting) waitFor(p *peer, state PeerState) {
	switch p.state {
	case PeerConnecting, PeerNotReached, PeerIndexing, PeerFull:
		if p.ctx.Err() != nil {
			return // it was waited for long enough
		}
		p.state = state
		g.presence.Waits(p.index)
	}
	p.failures = 0
	if g.ballot != nil {
		g.ballot.Indexing(p.index, time.Now())
	}
}

// full says that a server has no room just now. It is told of once.
func (g *getting) full(p *peer, err error) {
	g.waitFor(p, PeerFull)
	if p.err = err; !p.full {
		p.full = true
		g.emit(Full{Target: p.target, Err: err, Left: g.cfg.Patience})
	}
}

// notReached says that a try to reach a server failed, and whether it is the last
// one. A failure that another try may change counts when the second one has failed
// too, and is told of once; whether a later try works decides when it does.
func (g *getting) notReached(p *peer, err error, final bool) {
	p.failures++
	waited := p.state == PeerConnecting || p.state == PeerIndexing || p.state == PeerFull
	switch {
	case IsFull(err) && (waited || p.state == PeerNotReached):
		g.full(p, err)
	case waited:
		if p.failures > 1 || !isQuick(err) {
			g.outOfVote(p, err)
		}
	case p.state == PeerLost && final:
		g.cameBackAs(p, err)
	}
}

// outOfVote takes a server for one that does not answer, unless it does later.
func (g *getting) outOfVote(p *peer, err error) {
	p.state, p.err = PeerNotReached, err
	g.presence.Out(p.index)
	if IsRefused(err) {
		p.state = PeerRefused
	}
	g.emit(NotReached{Target: p.target, Err: err})
	if g.ballot != nil {
		g.ballot.Fail(p.index, time.Now())
	}
}

// answered takes a server's offer: into the vote, or, when that is over,
// straight to the servers that take part or are left out. A server that was
// lost and is back must be what it was.
func (g *getting) answered(p *peer, l *connection, id certs.ServerID, offer wire.Offer, m wire.Manifest) {
	select {
	case <-p.down: // of an earlier connection
	default:
	}
	if p.state == PeerLost {
		g.returned(p, l, id, offer)
		return
	}
	p.id = id
	p.conns, p.rtt = []*connection{l}, l.conn.Stats().SmoothedRTT
	p.state, p.err, p.offer, p.inline, p.failures = PeerAnswered, nil, offer, m, 0
	p.rank = g.answers
	g.answers++
	if g.ballot != nil {
		g.ballot.Answer(p.index, vote.Offer{ID: p.id, Size: offer.Size, Checksum: offer.Checksum, Name: offer.Name}, time.Now())
	}
	if g.isDuplicate(p) {
		return
	}
	if g.voted != nil {
		g.admitLate(p)
	}
}

// isDuplicate tells of servers that were given under several names. All of them
// vote, for what a name leads to is not the doing of whoever has the other one; one
// of them is used.
func (g *getting) isDuplicate(p *peer) bool {
	at := *p.remote.Load()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if len(g.cfg.Trust.named(p.target)) == 0 { // else the ID is its host
		if other := g.met.other(p.target, at.Addr()); other != "" {
			g.emit(OneAddress{Hosts: [2]string{other, p.target.typed()}, Addr: at.Addr()})
		}
	}
	other := g.met.used(p, at)
	if other == nil {
		return false
	}
	p.state = PeerDuplicate
	g.presence.Out(p.index)
	g.hangUp(p)
	p.stop()
	g.emit(Duplicate{Target: p.target, Of: other.target})
	return true
}

var (
	errOtherID    = errors.New("came back with another server ID")
	errOtherOffer = errors.New("came back with another file")
	// errFileChanged is why a server is out whose chunk was wrong, and that now offers another file.
	errFileChanged = errors.New("its file changed")
)

// returned takes back a server that was lost.
func (g *getting) returned(p *peer, l *connection, id certs.ServerID, offer wire.Offer) {
	var err error
	switch {
	case id != p.id:
		err = errOtherID
	case offer.Checksum != p.offer.Checksum || offer.Size != p.offer.Size:
		err = errOtherOffer
	}
	if err != nil {
		g.cameBackAs(p, err)
		return
	}
	p.conns, p.state, p.err = []*connection{l}, PeerAnswered, nil
	if g.voted != nil {
		g.admit(p)
	}
}

// cameBackAs gives up a server that was lost and is not what it was any more, or
// not worth another try.
func (g *getting) cameBackAs(p *peer, err error) {
	switch {
	case blame(err) != PeerLost:
		p.state = blame(err)
	case IsRefused(err), errors.Is(err, errOtherID), errors.Is(err, errOtherOffer):
		p.state = PeerChanged
	}
	p.err = err
	p.stop()
	g.presence.Out(p.index)
	g.emitLost(p)
}

func (g *getting) emitLost(p *peer) {
	left := -1
	if g.voted != nil {
		left = g.presence.Serving()
	}
	g.emit(Lost{Target: p.target, State: p.state, Err: p.err, Left: left})
}

// admit lets a server take part if it offers what was voted for.
func (g *getting) admit(p *peer) {
	if !g.offersVoted(p) {
		g.leaveOut(p)
		return
	}
	p.state = PeerServing
	g.presence.Serves(p.index)
	if g.schedule != nil {
		g.join(p, time.Now())
		g.dispatch(time.Now())
	}
}

func (g *getting) offersVoted(p *peer) bool {
	return p.offer.Checksum == g.voted.Checksum && p.offer.Size == g.voted.Size
}

func (g *getting) leaveOut(p *peer) {
	p.state = PeerLeftOut
	g.presence.Out(p.index)
	g.hangUp(p)
	p.stop()
}

// admitLate is admit for a server that has no part in the vote, and tells of it.
func (g *getting) admitLate(p *peer) {
	g.admit(p)
	if p.state == PeerServing {
		g.emit(Joined{Target: p.target})
	} else {
		g.emit(LeftOut{Target: p.target, Checksum: p.offer.Checksum, Size: p.offer.Size})
	}
}

// join lets the schedule have a server.
func (g *getting) join(p *peer, now time.Time) {
	g.schedule.Join(p.index, p.minRTT(), now)
	g.growth.Join(p.index, now)
	g.connsChanged(p)
}

// leave takes a server out of the run: it was lost, and may come back, or it
// changed, or it lied.
func (g *getting) leave(p *peer, state PeerState, err error) {
	switch {
	case p.state == PeerAnswered: // before the vote is over: its answer stands
		p.state, p.err = state, err
		g.hangUp(p)
		if g.presence.Lost(p.index, true) {
			g.emitLost(p)
		}
		return
	case p.state != PeerServing:
		return
	case p.judging && state == PeerLost: // what it sent is judged without it
		return
	}
	p.state, p.err = state, err
	if g.schedule != nil {
		g.schedule.Leave(p.index)
		g.growth.Leave(p.index)
	}
	for _, f := range g.fetches {
		if f.peer == p {
			f.cancel()
		}
	}
	g.hangUp(p)
	tell := true
	if state == PeerLost {
		p.failed = err
		tell = g.presence.Lost(p.index, false)
	} else {
		g.presence.Out(p.index)
		p.stop()
	}
	if tell {
		g.emitLost(p)
	}
}
