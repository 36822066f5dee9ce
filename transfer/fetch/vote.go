package fetch

import (
	"slices"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// A poll is the state while servers vote. It belongs to the loop.
type poll struct {
	ballot *vote.Ballot
	most   int64     // size of a file that is accepted
	early  *early    // nil: nothing is to be fetched ahead
	sizes  bool      // mirrors vote, on the size
	next   *download // that the vote will choose; nil: not certain yet
}

// voters returns the servers as the vote sees them. A source that never votes
// has no host and does not answer.
func (r *roster) voters() []vote.Server {
	servers := make([]vote.Server, len(r.servers))
	for i, s := range r.servers {
		if v, votes := s.source.Voter(); votes {
			servers[i] = voter(v)
		}
	}
	return servers
}

func voter(v source.Voter) (s vote.Server) {
	s.Host = v.Host
	for _, id := range v.IDs {
		s.IDs = append(s.IDs, vote.ID(id))
	}
	return s
}

// MostVotes returns the most votes that voters can have: one for each host that
// the user typed, and one for each ID that the user named for a server.
func MostVotes(voters []source.Voter) int {
	servers := make([]vote.Server, len(voters))
	for i, v := range voters {
		servers[i] = voter(v)
	}
	return vote.Most(servers)
}

// agree reaches every server and waits until most of them agree on a file. Then
// s.download is of that file.
func (s *Session) agree(b Ballot) error { return s.agreeEarly(b, nil) }

// agreeOnFile is agreeEarly for methods that take no directory.
func (s *Session) agreeOnFile(b Ballot, e *early) error {
	if err := s.agreeEarly(b, e); err != nil {
		return err
	}
	if d := s.download; d.offer.Kind == wire.KindTree {
		return &TreeOfferedError{Name: d.result.Name}
	}
	return nil
}

// agreeEarly is agree, and fetches ahead once the vote is certain.
func (s *Session) agreeEarly(b Ballot, e *early) error {
	s.values.Store(true)
	s.presence.Begin()
	ballot := vote.New(s.roster.voters(), vote.Options{Checksum: b.Checksum, Tree: b.Tree, Quorum: b.Quorum})
	s.poll = &poll{ballot: ballot, most: b.maxSize(), early: e}
	s.wanting.set(nil)
	s.whole = nil
	for _, v := range s.roster.servers {
		if !v.votes() || v.trouble.tried || v.left {
			s.poll.ballot.Fail(v.index, time.Now())
		}
		switch {
		case v.left:
			v.offer = source.Offer{}
			if v.state.isUsed() {
				v.state = StateLost
			}
		case !v.votes():
			s.hold(v)
		case !v.trouble.tried:
			s.ask(v)
		}
	}
	began := time.Now()
	err := s.loop.until(func() bool { return s.poll.ballot.Closed(time.Now()) })
	r, next := s.ofVoters(s.poll.ballot.Result()), s.poll.next
	s.poll = nil
	if err == nil && s.isUnproved(r) {
		if b.Whole != nil {
			return s.agreeOnSize(b)
		}
		err = &NoProofError{Mirrors: len(s.roster.servers)}
	}
	var parts Parts
	if err == nil && r.Winner < 0 && r.Reason == vote.NoMajority && b.Checksum == nil {
		parts, err = s.voteOnParts(ballot.Jury(), &r, b)
	}
	if err == nil && r.Winner < 0 {
		err = s.undecided(r, parts, b.Quorum)
	}
	s.votes.took(began, r, err)
	if err != nil {
		s.drop(next)
		return err
	}
	group := &r.Groups[r.Winner]
	s.choose(group, next)
	s.download.result.Name, s.download.all = r.Name, parts.Each
	s.download.tally.Duplicate, s.download.tally.Refetched = s.sizes.duplicate, s.sizes.refetched
	s.emit(Voted{Targets: s.targets(), Result: r, Chosen: b.Checksum != nil, Choice: parts.Votes, Each: parts.Each != nil})
	if most := b.maxSize(); group.Size > most && !group.Tree {
		return &TooLargeError{Size: group.Size, Max: most}
	}
	s.admitAll(r)
	s.publish()
	return nil
}

// undecided is the error of a vote without a winner.
func (s *Session) undecided(r vote.Result, p Parts, quorum int) error {
	if r.Reason == vote.NobodyAnswered {
		voters, mirrors := s.voterReports()
		if len(voters) == 0 {
			voters, mirrors = s.reports(), 0
		}
		return &NobodyAnsweredError{Servers: voters, Mirrors: mirrors}
	}
	return &UndecidedError{Targets: s.targets(), Result: r, Quorum: quorum, Servers: s.reports(), Parts: p}
}

func (s *Session) targets() []source.Target {
	targets := make([]source.Target, len(s.roster.servers))
	for i, v := range s.roster.servers {
		targets[i] = v.target
	}
	return targets
}

// ask has a server vote: on a connection that it has, or on a new one. A server
// that has sent wrong bytes has no vote any more.
func (s *Session) ask(v *server) {
	switch c := v.conns.pick(); {
	case v.state == StateWrong:
		s.poll.ballot.Fail(v.index, time.Now())
	case c != nil:
		s.tryAnew(v)
		s.askAgain(v, c.way)
	default:
		s.tryAnew(v)
		s.reach(v)
	}
}

// tryAnew treats a server as one that has not answered yet.
func (s *Session) tryAnew(v *server) {
	v.state, v.err, v.offer, v.rtt = StateConnecting, nil, source.Offer{}, 0
	v.trouble.failures, v.trouble.failed = 0, nil
	s.presence.Tries(v.index)
}

// askAgain asks a server what it offers now, on one of its connections.
func (s *Session) askAgain(v *server, way source.Conn) {
	l, ctx, indexing := s.loop, v.contact.ctx, v.contact.tell.indexing
	ask := s.askNow(v)
	ask.Values = true
	told := func(o source.Offer, err error) { l.post(func() { s.askedAgain(v, way, o, err) }) }
	l.beside(func() { told(way.Stat(ctx, ask, indexing)) })
}

// askedAgain takes what a server says on a connection that it already had.
// Silence may be the path's fault, and does not count.
func (s *Session) askedAgain(v *server, way source.Conn, o source.Offer, err error) {
	switch {
	case v.conns.of(way) == nil, !v.state.isAwaited():
	case err != nil:
		v.hangUp() // its contact asks on a new one
	default:
		s.answered(v, way, o)
	}
}

// admitAll, once the vote is decided, lets those take part that have answered.
// Lost servers that offered another file are left out: they need not come back.
func (s *Session) admitAll(r vote.Result) {
	for _, v := range s.roster.servers {
		switch {
		case v.left:
		case v.state == StateLost && !s.offersVoted(v):
			s.leaveOut(v)
		case v.state != StateAnswered:
		case slices.Contains(r.Answered, v.index): // the vote knows its offer
			s.admit(v)
		default: // it answered when the vote was closed
			s.admitLate(v)
		}
	}
}
