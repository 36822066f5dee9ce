package fetch

import (
	"slices"
	"time"

	"malcolm/transfer/presence"
	"malcolm/transfer/source"
)

// attend tells the presence the state of each server and does what it wants. It
// runs at each tick, after the bytes that came were counted.
func (s *Session) attend(now time.Time) {
	s.relieve(now)
	signs := make([]presence.Sign, len(s.roster.servers))
	for i, v := range s.roster.servers {
		signs[i], v.share.sign = v.share.sign, presence.Sign{}
	}
	a := s.presence.Tick(presence.Look{Now: now, Wanted: s.download.wanted(), Servers: signs})
	for _, i := range a.Tired {
		s.stopWaiting(s.roster.servers[i])
	}
	for _, i := range a.Missed {
		s.emitLost(s.roster.servers[i])
	}
	for _, i := range a.Quiet {
		s.emit(ServerSilent{Target: s.roster.servers[i].target, Lasted: presence.QuietTime})
	}
	switch a.Say {
	case presence.Absent:
		s.emit(Waiting{Left: a.Left})
	case presence.Silent:
		s.emit(Silent{Lasted: a.Lasted, Left: a.Left})
	}
	if a.GiveUp != presence.None {
		s.giveUp(a.GiveUp)
	}
}

// giveUp ends a run that makes no more progress.
func (s *Session) giveUp(why presence.Cause) {
	missing := s.download.missing()
	if why == presence.Silent {
		s.loop.fail(&SilentError{After: s.servers.Patience, Missing: missing, Servers: s.presence.Serving()})
		return
	}
	for _, v := range s.roster.servers {
		if v.state == StateServing { // it only seems to serve
			s.leave(v, StateLost, v.trouble.failed)
		}
	}
	s.loop.fail(&NoServerLeftError{Missing: missing, Servers: s.reports()})
}

// stopWaiting gives up a server that has said "later" until patience was over.
func (s *Session) stopWaiting(v *server) {
	v.hangUp()
	v.contact.stop()
	if v.state == StateFull {
		s.outOfVote(v, v.err)
	} else {
		s.outOfVote(v, lateIndexing(s.servers.Patience))
	}
}

// notice counts what ranges and requests for values have read since the last
// tick, and finds connections that owe bytes and bring none.
func (s *Session) notice(now time.Time) {
	d := s.download
	for id, f := range d.fetches {
		n := d.count(f)
		heard := s.means.begun.Add(time.Duration(f.heard.Load()))
		waits := f.waiting.Load()
		if !waits {
			heard = now
		}
		d.schedule.Arrived(id, n, heard)
		f.server.noteRequest(f.conn, waits)
	}
	if d.asking != nil {
		for _, r := range d.asking.requests {
			n := r.arrived.Load() - r.counted
			r.counted += n
			r.server.came(r.conn, n)
			r.server.noteRequest(r.conn, true)
		}
	}
	wanted := d.wanted()
	for _, v := range s.roster.servers {
		s.watchConns(v, wanted, now)
	}
}

// watchConns looks for a server's connections that are alive and useless.
func (s *Session) watchConns(v *server, wanted bool, now time.Time) {
	for _, c := range v.conns.list {
		stats := c.way.Stats()
		if stats.Unanswered >= udpDoubt || stats.Refused {
			s.tellUDP(v, stats)
		}
		another := c.silence.Look(now, presence.Seen{
			Sign: c.sign, Wanted: wanted, Packets: stats.Received, RTT: stats.SmoothedRTT,
		})
		c.sign = presence.Sign{}
		if another && v.state == StateServing && !v.trouble.judging {
			s.tryAnother(v, c)
			return // the connections may have changed
		}
	}
}

// udpDoubt is how long UDP must go without an answer before that is told during
// a run: chance may lose a few packets.
const udpDoubt = time.Second

// tellUDP tells, once a session, that TCP carries what UDP does not.
func (s *Session) tellUDP(v *server, stats source.Stats) {
	if !s.notices.udp {
		s.notices.udp = true
		s.emit(UDPBlocked{Target: v.target, Refused: stats.Refused})
	}
}

// lastWords tells, at the end of a session, what was still in doubt.
func (s *Session) lastWords() {
	for _, v := range s.roster.servers {
		for _, c := range v.conns.list {
			if stats := c.way.Stats(); stats.Unanswered > 0 || stats.Refused {
				s.tellUDP(v, stats)
			}
		}
	}
}

// tryAnother moves the work of a connection that brings nothing to another one
// to the same server: one that works, or a new one.
func (s *Session) tryAnother(v *server, c *connection) {
	instead := func(other *connection) bool { return other != c && !other.retired && !other.silence.Useless() }
	switch {
	case c.retired, slices.ContainsFunc(v.conns.list, instead):
		if !c.retired {
			s.emit(Decision{What: WayChanged, Target: v.target})
		}
		s.retire(v, c)
	case v.conns.opening == 0 && len(v.conns.list) < v.conns.active()+mostRetired:
		v.conns.opening++
		s.emit(Decision{What: WayTried, Target: v.target})
		s.open(v, c)
	}
}

// mostRetired bounds a server's replaced connections that stay open because
// values may still come on them.
const mostRetired = 2

// retire gives a connection no more ranges, and ends those that it has. Their
// partial chunks are kept and continued elsewhere.
func (s *Session) retire(v *server, c *connection) {
	c.retired = true
	for _, f := range s.download.fetches {
		if f.conn == c {
			f.cancel()
		}
	}
	v.conns.closeRetired(c)
	s.connsChanged(v)
}
