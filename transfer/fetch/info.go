package fetch

import (
	"errors"
	"time"

	"malcolm/transfer/vote"
	"malcolm/wire"
)

// An InfoResult is what [Session.Info] found out.
type InfoResult struct {
	Servers []InfoServer // in the order of the targets
	// Vote is how the vote would have ended; its numbers of servers are
	// indexes into Servers. Every answer that came in time is in it.
	Vote vote.Result
}

// An InfoServer is one server and what it offers.
type InfoServer struct {
	ServerReport
	Offered  bool // it has made an offer, which is in the fields below
	Name     string
	Tree     bool  // a directory: size and checksum are those of its listing
	Size     int64 // in bytes
	ModTime  time.Time
	Checksum [32]byte
}

// Info asks sources what they offer and how they would vote. It fetches and
// writes nothing. Without a majority it returns the result and the vote's
// error; with every other error the result is nil.
func (s *Session) Info(b Ballot) (*InfoResult, error) {
	s.anew()
	r := new(InfoResult)
	tell := s.watch.Events
	s.watch.Events = func(e Event) {
		if v, ok := e.(Voted); ok {
			r.Vote = v.Result
		}
		if tell != nil {
			tell(e)
		}
	}
	defer func() { s.watch.Events = tell }()
	err := s.agree(b)
	undecided, isUndecided := errors.AsType[*UndecidedError](err)
	_, isNobody := errors.AsType[*NobodyAnsweredError](err)
	switch {
	case isUndecided:
		r.Vote = undecided.Result
	case isNobody:
	case err != nil:
		return nil, err
	default:
		// The vote may close before all have answered.
		connecting := func(v *server) bool { return v.votes() && v.state == StateConnecting }
		if err := s.loop.until(func() bool { return !s.roster.any(connecting) }); err != nil {
			return nil, err
		}
	}
	for i, report := range s.reports() {
		v := s.roster.servers[i]
		report.RTT = v.rtt
		r.Servers = append(r.Servers, InfoServer{
			ServerReport: report, Offered: v.offer.Checksum != [32]byte{},
			Name: v.offer.Name, Tree: v.offer.Kind == wire.KindTree, Size: v.offer.Size, ModTime: v.offer.ModTime, Checksum: v.offer.Checksum,
		})
	}
	return r, err
}
