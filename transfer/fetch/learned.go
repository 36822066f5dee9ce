package fetch

import (
	"time"

	"malcolm/transfer/carrier"
	"malcolm/transfer/paths"
	"malcolm/transfer/source"
)

// A server must have been busy for learnTime before its rate is worth
// remembering.
const learnTime = 2 * time.Second

// learned is what a session finds out of the way to a server. It belongs to the
// loop.
type learned struct {
	path  paths.Path
	peer  source.Peer   // at the end of the path
	busy  time.Duration // in all
	last  time.Time     // when it was looked at
	loss  float64       // share of the packets, by its sender's last report
	other float64       // bytes a second over the other transport; 0: not compared
}

// lost takes the loss of a report. A server that lies in it harms its own path.
func (l *learned) lost(r source.PathReport) {
	if r.Sent > 0 {
		l.loss = float64(min(r.Lost, r.Sent)) / float64(r.Sent)
	}
}

// compared takes what a trial of the other transport has shown.
func (l *learned) compared(a carrier.Action) {
	switch {
	case a.What == carrier.Keep && a.Why == carrier.Slower:
		l.other = a.Rate
	case a.What == carrier.Change && a.Why == carrier.Fell:
		l.other = float64(l.path.Rate)
	case a.What == carrier.Change && a.Why == carrier.Faster:
		l.other = a.Before
	}
}

// learn looks at a server that takes part.
func (s *Session) learn(v *server, busy bool, now time.Time) {
	l := &v.conns.learned
	past := min(max(now.Sub(l.last), 0), 2*tickTime)
	l.last = now
	if !busy || s.servers.Paths == nil || s.servers.Connections > 0 || v.conns.try != nil || len(v.conns.list) == 0 {
		return
	}
	way := v.conns.first().way
	if way.Traits().Across == 0 { // the user or a proxy fixes the way
		return
	}
	if l.busy += past; l.busy < learnTime {
		return
	}
	l.peer = way.Peer()
	l.path = paths.Path{
		TCP: v.over == source.TCP, Conns: v.conns.active(), Rate: int64(s.download.schedule.Rate(v.index)),
		Other: int64(l.other), RTT: v.conns.minRTT(), Loss: l.loss, When: now,
	}
	// A path that was only believed keeps its age.
	if p, ok := s.servers.Paths.Recall(l.peer.ID, l.peer.Local, now); ok && p.Other > 0 && l.other == 0 && p.TCP == l.path.TCP {
		l.path.Other, l.path.When = p.Other, p.When
	}
}

// notePaths notes, at the end of a session, what it has found out.
func (s *Session) notePaths() {
	for _, v := range s.roster.servers {
		if l := v.conns.learned; !l.path.When.IsZero() {
			s.servers.Paths.Note(l.peer.ID, l.peer.Local, l.path)
		}
	}
}

// network names the network of this machine through which a source is reached.
func network(p source.Peer) string { return paths.Prefix(p.Local).String() }
