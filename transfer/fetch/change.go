package fetch

import (
	"time"

	"malcolm/transfer/source"
)

// errSpared says why a server is not used until a better one is gone.
var errSpared = &source.Fault{What: source.Lost, Words: "is not needed: a server of a better priority is there"}

// errGone says why a source is not used any more: its name was taken back.
var errGone = &source.Fault{What: source.Lost, Words: "is no longer named"}

// Change adds sources to those of the session, and takes away those that some
// targets name. It takes effect while a method of the session runs. Any
// goroutine may call it, which waits while the session has no room for it.
//
// A source that is added before the vote has closed votes as any other. After
// that it takes part if it has the voted file. One that is taken away is hung
// up and not tried again. Its vote is withdrawn while the vote is open, and
// what it was asked for is asked of others. If all were taken away, the session
// waits as if all were lost. A source that is there already is not added; one
// that was taken away may be added again.
func (s *Session) Change(add []source.Source, remove []source.Target) {
	s.loop.post(func() {
		now := time.Now()
		for _, v := range s.roster.servers {
			for _, t := range remove {
				if isNamed(v.target, t) {
					s.depart(v, errGone, now)
				}
			}
		}
		s.standby.drop(remove)
		for _, src := range add {
			if src.Target().Service == "" {
				s.enter(src, now)
			} else {
				s.standby.add(src)
			}
		}
		s.relieve(now)
		if s.download.schedule != nil {
			s.dispatch(now)
		}
		s.publish()
	})
}

// isNamed reports whether by, as the user typed it, stands for the target t,
// which may be one address of a host.
func isNamed(t, by source.Target) bool {
	spread := by // one of the addresses of by's host
	spread.Host, spread.Name = t.Host, by.Host
	return t == by || !by.IsMirror() && t == spread
}

// enter begins to use a source.
func (s *Session) enter(src source.Source, now time.Time) {
	v := s.roster.at(src.Target())
	switch {
	case v == nil:
		v = s.roster.add(src)
		s.presence.Join()
		if s.poll != nil {
			is, _ := src.Voter()
			s.poll.ballot.Join(voter(is), now)
		}
	case !v.left:
		return
	case v.trouble.judging: // it will be out
		v.left = false
		return
	default:
		v.left, v.source = false, src
		if s.counts(v) && v.state != StateWrong {
			s.poll.ballot.Indexing(v.index, now) // it is waited for
		}
	}
	if s.poll != nil && !s.counts(v) {
		s.poll.ballot.Fail(v.index, now)
	}
	switch {
	case v.state == StateWrong:
	case !v.votes():
		s.hold(v)
		if ask, _ := s.wanting.now(); ask != nil {
			s.presence.Tries(v.index)
		}
	default:
		s.tryAnew(v)
		s.reach(v)
	}
}

// depart ends the use of a server, until it enters again. A server that has
// sent wrong bytes, or is being judged for that, stays out.
func (s *Session) depart(v *server, why error, now time.Time) {
	if v.left {
		return
	}
	v.left = true
	if s.poll != nil {
		s.poll.ballot.Withdraw(v.index, now)
	}
	v.contact.stop()
	v.hangUp()
	switch {
	case v.state == StateServing && v.trouble.judging:
		return
	case v.state == StateServing:
		s.leaveSchedule(v)
	}
	switch {
	case v.state.isUsed():
		v.state, v.err = StateLost, why
		if s.presence.Lost(v.index, true) {
			s.emitLost(v)
		}
	case v.state.isAwaited(), v.state == StateNotReached:
		v.state, v.err = StateNotReached, why
		s.presence.Lost(v.index, false) // somebody may be named in its place
		s.emit(NotReached{Target: v.target, Err: why})
	}
	s.recall()
}

// recall asks those again that were left out as the same server as another one:
// that other one may be gone now.
func (s *Session) recall() {
	for _, v := range s.roster.servers {
		if v.state == StateDuplicate && !v.left {
			s.tryAnew(v)
			s.reach(v)
		}
	}
}
