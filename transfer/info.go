package transfer

import (
	"context"
	"errors"
	"slices"
	"time"

	"malcolm/transfer/vote"
)

// An InfoResult is what [Info] found out.
type InfoResult struct {
	Servers []InfoServer // in the order of the targets
	// Vote is how the vote would have ended; its numbers of servers are places in
	// Servers. Nobody's answer is left out that came in time.
	Vote vote.Result
}

// An InfoServer is one server and what it offers.
type InfoServer struct {
	ServerReport
	Offered  bool // it has made an offer; the rest is that
	Name     string
	Size     int64 // in bytes
	ModTime  time.Time
	Checksum [32]byte
}

// Info asks servers what they offer and how they would vote, and fetches and
// writes nothing, also not what is known of servers. cfg's fields that are about
// files mean nothing here. When there is no majority, the result comes with the
// error of the vote; with every other error it is nil.
func Info(ctx context.Context, cfg GetConfig) (*InfoResult, error) {
	cfg.Trust.ReadOnly = true
	r := new(InfoResult)
	tell := cfg.Events
	cfg.Events = func(e GetEvent) {
		if v, ok := e.(Voted); ok {
			r.Vote = v.Result
		}
		if tell != nil {
			tell(e)
		}
	}
	g := newGetting(ctx, cfg)
	ctx, t := g.begin(ctx)
	defer g.end(t)
	err := g.vote(ctx, t)
	var undecided *UndecidedError
	var nobody *NobodyAnsweredError
	switch {
	case errors.As(err, &undecided):
		r.Vote = undecided.Result
	case errors.As(err, &nobody):
	case err != nil:
		return nil, err
	default:
		// The vote may be over before all have answered.
		connecting := func(p *peer) bool { return p.state == PeerConnecting }
		if err := g.loop(ctx, t, func() bool { return !slices.ContainsFunc(g.peers, connecting) }); err != nil {
			return nil, err
		}
	}
	for i, report := range g.reports() {
		p := g.peers[i]
		report.RTT = p.rtt
		r.Servers = append(r.Servers, InfoServer{
			ServerReport: report, Offered: p.offer.Checksum != [32]byte{},
			Name: p.offer.Name, Size: p.offer.Size, ModTime: p.offer.ModTime, Checksum: p.offer.Checksum,
		})
	}
	return r, err
}
