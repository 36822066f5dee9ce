package fetch

import (
	"crypto/sha256"
	"fmt"
	"time"

	"malcolm/certs"
	"malcolm/transfer/source"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// votes reports whether a server's offer counts. If not, it is a mirror.
func (v *server) votes() bool {
	_, votes := v.source.Voter()
	return votes && !v.mute
}

// connected runs in the loop, as all functions below do: a connection is there.
func (s *Session) connected(v *server, p source.Peer, t source.Traits) {
	if len(t.SmallBuffers) > 0 && !s.notices.buffers {
		s.notices.buffers = true
		s.emit(SmallBuffers{t.SmallBuffers})
	}
	v.over = p.Transport
	if v.id == (certs.ServerID{}) && p.ID != (certs.ServerID{}) {
		v.id = p.ID
		s.emit(Connected{Target: v.target, ID: p.ID, Transport: p.Transport})
	}
	s.otherWay(v, p)
}

// otherWay tells, once a server, that another transport leads to another
// server.
func (s *Session) otherWay(v *server, p source.Peer) {
	if p.Other != (certs.ServerID{}) && !v.trouble.toldOther {
		v.trouble.toldOther = true
		s.emit(WayRefused{Target: v.target, Used: p.Transport, ID: p.Other})
	}
}

func (s *Session) indexing(v *server, done, total int64) {
	if v.state != StateLost { // else it has answered already: this is another version, or a restart
		s.waitFor(v, StateIndexing)
	}
	v.trouble.indexed = 1
	if total > 0 {
		v.trouble.indexed = float64(done) / float64(total)
	}
}

// waitFor keeps waiting for a server that says it will serve later.
func (s *Session) waitFor(v *server, state State) {
	if v.state.isAwaited() || v.state == StateNotReached {
		if v.contact.ctx.Err() != nil {
			return // patience is over
		}
		v.state = state
		s.presence.Waits(v.index)
	}
	v.trouble.failures = 0
	if s.counts(v) {
		s.poll.ballot.Indexing(v.index, time.Now())
	}
}

// full says that a server has no room just now. The user is told once.
func (s *Session) full(v *server, err error) {
	s.waitFor(v, StateFull)
	if v.err = err; !v.trouble.toldFull {
		v.trouble.toldFull = true
		s.emit(Full{Target: v.target, Err: err, Left: s.servers.Patience})
	}
}

// notReached says that a try to reach a server failed. final says that it was
// the last try. A failure that another try may mend counts from the second try
// on. The user is told once. If a later try works, the server is in the vote
// again.
func (s *Session) notReached(v *server, err error, final bool) {
	v.trouble.failures++
	awaited := v.state.isAwaited()
	switch {
	case source.WhatOf(err) == source.Here:
		s.loop.fail(unwrapFault(err))
	case source.IsFull(err) && (awaited || v.state == StateNotReached):
		s.full(v, err)
	case awaited:
		if v.trouble.failures > 1 || !source.IsQuick(err) {
			s.outOfVote(v, err)
		}
	case v.state == StateLost && final:
		s.cameBackAs(v, err)
	}
}

// outOfVote stops waiting for a server in the vote. It may still answer later.
func (s *Session) outOfVote(v *server, err error) {
	v.state, v.err = StateNotReached, err
	s.presence.Out(v.index)
	if source.IsRefused(err) {
		v.state = StateRefused
	}
	s.emit(NotReached{Target: v.target, Err: err})
	s.relieve(time.Now()) // before the vote may close
	if s.counts(v) {
		s.poll.ballot.Fail(v.index, time.Now())
	}
}

// answered takes a server's offer to the vote. After the vote it decides at
// once whether the server takes part. A server that comes back must offer the
// same file under the same ID.
func (s *Session) answered(v *server, way source.Conn, o source.Offer) {
	s.accepted(v, way.Peer(), o.Accepted)
	if s.whole != nil && !v.votes() {
		o.Checksum = s.whole.Sum // it cannot say
	}
	switch {
	case v.state == StateLost:
		s.returned(v, &connection{way: way, opened: time.Now()}, o)
		return
	case v.proved && way.Peer().ID != v.id: // for an earlier file
		v.contact.stop()
		s.outOfVote(v, errOtherID)
		return
	case v.conns.of(way) == nil:
		v.conns.list = nil
		v.use(&connection{way: way, opened: time.Now()})
	}
	if !v.votes() && !s.wanting.is(o) { // it was asked for an earlier file
		if ask, _ := s.wanting.now(); ask != v.asked { // else that is its answer
			if v.asked = ask; ask != nil {
				s.askAgain(v, way)
			}
			return
		}
	}
	v.id, v.proved, v.rtt = way.Peer().ID, true, way.Stats().SmoothedRTT
	v.state, v.err, v.offer, v.trouble.failures = StateAnswered, nil, o, 0
	v.rank = s.roster.answers
	s.roster.answers++
	if s.counts(v) {
		s.poll.ballot.Answer(v.index, offerOf(v, o), time.Now())
		defer func() { s.goAhead(time.Now()) }()
	}
	if s.isDuplicate(v, way.Peer()) {
		return
	}
	if s.download.isAgreed() && s.poll == nil {
		s.admitLate(v)
	}
}

// offerOf returns a server's offer as the vote sees it. A server that proves no
// ID gets one that only its host has.
func offerOf(v *server, o source.Offer) vote.Offer {
	id := vote.ID(v.id)
	if voter, _ := v.source.Voter(); v.id == (certs.ServerID{}) {
		id = sha256.Sum256([]byte("host " + voter.Host))
	}
	return vote.Offer{ID: id, Tree: o.Kind == wire.KindTree, Size: o.Size, Checksum: o.Checksum, Name: o.Name}
}

// accepted tells, once a server, what accepting its identity meant.
func (s *Session) accepted(v *server, p source.Peer, a source.Accepted) {
	if a.NotRecorded != nil && !s.notices.notRecorded {
		s.notices.notRecorded = true
		s.emit(NotRemembered{Err: a.NotRecorded})
	}
	if v.trouble.toldAccepted || a == (source.Accepted{}) {
		return
	}
	v.trouble.toldAccepted = true
	if a.First {
		s.emit(FirstContact{Target: v.target, ID: p.ID, Recorded: a.Recorded})
	}
	if a.Contradicts != nil {
		s.emit(Contradicted{Target: v.target, ID: p.ID, Record: *a.Contradicts, Updated: a.Recorded})
	}
}

// isDuplicate tells of servers that were given under several names. All of them
// vote, since the owner of one name does not decide where another leads. Only
// one of them is used. Mirrors are never duplicates: one address has many
// objects.
func (s *Session) isDuplicate(v *server, p source.Peer) bool {
	if !p.Addr.IsValid() {
		return false
	}
	if voter, _ := v.source.Voter(); v.votes() && len(voter.IDs) == 0 { // else the ID is its host
		if other := s.roster.met.other(voter.Host, p.Addr.Addr()); other != "" {
			s.emit(OneAddress{Hosts: [2]string{other, voter.Host}, Addr: p.Addr.Addr()})
		}
	}
	if v.target.IsMirror() { // an address has many objects
		return false
	}
	other := s.roster.met.used(v, p.Addr)
	if other == nil {
		return false
	}
	v.state = StateDuplicate
	s.dismiss(v)
	s.emit(Duplicate{Target: v.target, Of: other.target})
	return true
}

// dismiss ends all contact with a server that is of no use.
func (s *Session) dismiss(v *server) {
	s.presence.Out(v.index)
	v.hangUp()
	v.contact.stop()
}

// errOtherFile: a lost server is out because it came back with another file.
var errOtherFile = &source.Fault{What: source.Changed, Words: "came back with another file"}

// errOtherID: a lost server is out because it came back with another ID.
var errOtherID = &source.Fault{What: source.Changed, Words: "came back with another server ID"}

// returned takes back a server that was lost.
func (s *Session) returned(v *server, l *connection, o source.Offer) {
	switch {
	case l.way.Peer().ID != v.id:
		s.cameBackAs(v, errOtherID)
		return
	case !o.SameFile(v.offer) && !(s.mayHelp(v) && o.Kind == wire.KindTree):
		s.cameBackAs(v, errOtherFile)
		return
	}
	v.offer = o
	v.conns.list, v.state, v.err = nil, StateAnswered, nil
	v.use(l)
	if s.download.isAgreed() {
		s.admit(v)
	}
}

// cameBackAs gives up a server that came back different, or is not worth
// another try.
func (s *Session) cameBackAs(v *server, err error) {
	switch state := blame(err); {
	case state != StateLost:
		v.state = state
	case source.IsRefused(err):
		v.state = StateChanged
	}
	v.err = err
	v.contact.stop()
	s.presence.Out(v.index)
	s.emitLost(v)
}

// blame returns the state of a server whose request ended with err.
func blame(err error) State {
	switch source.WhatOf(err) {
	case source.Wrong:
		return StateWrong
	case source.Changed:
		return StateChanged
	}
	return StateLost
}

func (s *Session) emitLost(v *server) {
	left := -1
	if s.download.isAgreed() {
		left = s.presence.Serving()
	}
	v.share.totals.Losses++
	s.emit(Lost{Target: v.target, State: v.state, Err: v.err, Left: left})
}

// admit lets a server take part if it offers what was voted for, or another
// version of the tree that is copied.
func (s *Session) admit(v *server) {
	if !s.offersVoted(v) && !s.mayHelp(v) {
		s.leaveOut(v)
		return
	}
	v.state = StateServing
	s.presence.Serves(v.index)
	if s.download.schedule != nil {
		s.joinSchedule(v, time.Now())
		s.dispatch(time.Now())
	}
}

// offersVoted reports whether a server offers the file that was voted for.
func (s *Session) offersVoted(v *server) bool {
	return v.offer.SameFile(s.download.offer)
}

// leaveOut ends all contact with a server that offers something else. Another
// version of a tree may still be of use.
func (s *Session) leaveOut(v *server) {
	v.state = StateLeftOut
	if s.download.offer.Kind == wire.KindTree && v.offer.Kind == wire.KindTree {
		s.presence.Out(v.index)
		return
	}
	s.dismiss(v)
}

// admitLate is admit for a server that answered after the vote, and tells of
// it.
func (s *Session) admitLate(v *server) {
	s.admit(v)
	if v.state == StateServing {
		s.emit(Joined{Target: v.target, Other: !s.offersVoted(v), Mirror: !v.votes()})
	} else {
		s.emit(LeftOut{Target: v.target, Tree: v.offer.Kind == wire.KindTree, Checksum: v.offer.Checksum, Size: v.offer.Size})
	}
}

// leave takes a server out of the run: it is lost (and may come back), its file
// changed, or it lied.
func (s *Session) leave(v *server, state State, err error) {
	switch {
	case v.state == StateAnswered: // the vote is not over: its answer stands
		v.state, v.err = state, err
		v.hangUp()
		if s.presence.Lost(v.index, true) {
			s.emitLost(v)
		}
		return
	case v.state != StateServing:
		return
	case v.trouble.judging && state == StateLost: // what it sent is judged without it
		return
	}
	v.state, v.err = state, err
	s.leaveSchedule(v)
	v.hangUp()
	tell := true
	if state == StateLost && !source.IsFinal(err) {
		v.trouble.failed = err
		tell = s.presence.Lost(v.index, false)
	} else {
		s.presence.Out(v.index)
		v.contact.stop()
	}
	if tell {
		s.emitLost(v)
	}
}

// lateIndexing says that a server is still indexing when patience is over.
func lateIndexing(after time.Duration) *source.Fault {
	return &source.Fault{What: source.Indexing, Words: fmt.Sprintf("is still indexing after %v", after)}
}

// unwrapFault returns the cause of a fault, or err itself.
func unwrapFault(err error) error {
	if f, ok := err.(*source.Fault); ok && f.Err != nil {
		return f.Err
	}
	return err
}
