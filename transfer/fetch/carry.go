package fetch

import (
	"context"
	"errors"
	"slices"
	"time"

	"malcolm/certs"
	"malcolm/transfer/carrier"
	"malcolm/transfer/source"
)

// A TransportChanged says that another transport carries a server's ranges from
// now on, and why.
type TransportChanged struct {
	Target    source.Target
	Transport source.Transport // from now on
	Why       TransportReason
	Rate      float64 // over it, bytes a second; 0: not measured
	Before    float64 // over the former one, likewise
}

func (TransportChanged) event() {}

// A TransportReason is why a server's transport was changed.
type TransportReason int

// The reasons.
const (
	TransportFaster     TransportReason = iota // it carried more, with this server or one like it
	TransportRemembered                        // an earlier run found it faster
	TransportFell                              // the other one carried much less than this one had
	TransportSilent                            // the other one brought nothing, or died
)

var transportReasons = map[carrier.Why]TransportReason{
	carrier.Faster: TransportFaster, carrier.Remembered: TransportRemembered, carrier.Fell: TransportFell,
}

// A try is one of another transport for a server. It belongs to the loop.
type try struct {
	left int   // connections that are still being made
	err  error // why one of them was not; nil: all were
}

// endTry forgets a try. The connections that remain are like all others.
func (c *conns) endTry() {
	c.try = nil
	for _, l := range c.list {
		l.parked, l.across = false, false
	}
}

// joinCarrier tells the state machine how a server is reached now.
func (s *Session) joinCarrier(v *server, now time.Time) {
	first := v.conns.first()
	if first == nil {
		return
	}
	way := first.way
	peer, traits := way.Peer(), way.Traits()
	how := carrier.Server{Now: int(peer.Transport), Other: int(traits.Across), BBR: traits.BBR, Network: network(peer)}
	if s.servers.Limit > 0 {
		how.Other = 0
	}
	v.conns.least = 0
	if p, ok := s.servers.Paths.Recall(peer.ID, peer.Local, now); ok {
		over := source.QUIC
		if p.TCP {
			over = source.TCP
		}
		if over == peer.Transport {
			s.growth.Begin(v.index, p.Conns/2)
		}
		if p.Other > 0 { // they were compared
			how.Known, how.Better, how.Former = true, int(over), float64(p.Other)
			if over == source.TCP && over == peer.Transport {
				v.conns.least = carrier.Conns
			}
		}
	}
	s.roster.carrier.Join(v.index, how)
}

// stayOver says that a server stays on its present transport, which has
// replaced a useless connection's.
func (s *Session) stayOver(v *server, now time.Time) {
	v.conns.endTry()
	if s.growth != nil {
		s.joinCarrier(v, now)
		s.roster.carrier.Stay(v.index)
	}
	v.conns.least = 0
}

// carry lets the pure state machine decide which transport carries the ranges
// of each server, and does what it wants. It runs in the loop, once a tick.
func (s *Session) carry(now time.Time) {
	d := s.download
	busy := s.servers.Limit == 0 && d.schedule.Queued() > 0
	for _, v := range s.roster.servers {
		var what carrier.Sample
		for _, c := range v.conns.list {
			if c.across {
				what.Trial += c.carried
			} else {
				what.Bytes += c.carried
			}
			c.carried = 0
		}
		if v.state == StateServing {
			what.RTT, what.Busy, what.Lacks = v.conns.minRTT(), busy, s.growth.Lacks(v.index)
			s.roster.carrier.Sample(v.index, what)
			s.learn(v, busy, now)
		}
	}
	var left time.Duration
	if rate := d.flow.meter.Rate(); rate > 0 {
		left = time.Duration(min(float64(d.schedule.Queued())/rate, float64(time.Hour/time.Second)) * float64(time.Second))
	}
	for _, a := range s.roster.carrier.Step(now, left) {
		switch v := s.roster.servers[a.Server]; a.What {
		case carrier.Try:
			s.tryAcross(v)
		case carrier.Change:
			s.changeTransport(v, a, now)
		case carrier.Keep:
			s.keepTransport(v, a, now)
		}
	}
}

// tryAcross opens connections to a server over the other transport.
func (s *Session) tryAcross(v *server) {
	t := &try{left: max(carrier.Conns, s.servers.Connections)}
	v.conns.endTry()
	v.conns.try = t
	s.emit(Decision{What: AcrossTried, Target: v.target})
	first := v.conns.first().way
	for range t.left {
		s.connect(v, func(ctx context.Context) (source.Conn, error) { return first.Again(ctx, source.Across) },
			func(way source.Conn, err error) { s.openedAcross(v, t, way, err) })
	}
}

// openedAcross runs in the loop when one of these connections is there, or
// failed. After the last one, the next ranges go over them.
func (s *Session) openedAcross(v *server, t *try, way source.Conn, err error) {
	if v.conns.try != t || v.state != StateServing || v.trouble.judging {
		if way != nil {
			way.Close()
		}
		return
	}
	now := time.Now()
	t.left--
	if err != nil {
		t.err = err
	} else {
		v.use(&connection{way: way, opened: now, unproved: true, across: true, parked: true})
	}
	if t.left > 0 {
		return
	}
	if !v.conns.hasAcross() {
		s.roster.carrier.Failed(v.index)
		return
	}
	measured := s.roster.carrier.Opened(v.index, now)
	for _, c := range v.conns.list {
		c.parked = !c.across
	}
	if measured { // what runs would disturb
		for _, f := range s.download.fetches {
			if f.server == v && f.conn.parked {
				f.cancel()
			}
		}
	}
	s.connsChanged(v)
	s.dispatch(now)
}

// hasAcross reports whether connections over another transport are tried.
func (c *conns) hasAcross() bool {
	return slices.ContainsFunc(c.list, func(l *connection) bool { return l.across && !l.retired })
}

// acrossDown is called when a connection has ended that was not a server's
// last.
func (s *Session) acrossDown(v *server, gone *connection) {
	c := &v.conns
	if gone.across && !c.hasAcross() {
		s.roster.carrier.Failed(v.index)
	}
	if c.active() == 0 {
		for _, l := range c.list {
			l.parked = false
		}
	}
}

// changeTransport keeps the connections over the other transport. The former
// ones go when they have nothing to do.
func (s *Session) changeTransport(v *server, a carrier.Action, now time.Time) {
	if !v.conns.hasAcross() { // they died in this moment
		s.keepTransport(v, a, now)
		return
	}
	for _, c := range slices.Clone(v.conns.list) {
		if !c.across {
			c.retired = true
			v.conns.closeRetired(c)
		} else {
			v.over = c.way.Peer().Transport
		}
	}
	v.conns.endTry()
	v.conns.mute, v.conns.least = false, 0
	if a.Why != carrier.Fell {
		v.conns.least = carrier.Conns
	}
	v.conns.learned.compared(a)
	s.growth.Join(v.index)
	s.connsChanged(v)
	s.learn(v, true, now)
	s.emit(TransportChanged{Target: v.target, Transport: v.over, Why: transportReasons[a.Why], Rate: a.Rate, Before: a.Before})
	s.dispatch(now)
}

// keepTransport ends a try: the former connections carry again.
func (s *Session) keepTransport(v *server, a carrier.Action, now time.Time) {
	var err error
	if t := v.conns.try; t != nil {
		err = t.err
	}
	if a.Why == carrier.Dead && err == nil {
		err = errAcrossDead
	}
	former := func(c *connection) bool { return !c.across && !c.retired }
	if slices.ContainsFunc(v.conns.list, former) {
		for _, c := range slices.Clone(v.conns.list) {
			if c.across {
				s.retire(v, c)
			}
		}
	}
	v.conns.endTry()
	s.overWhatIsLeft(v, now)
	v.conns.learned.compared(a)
	if f, ok := errors.AsType[*source.Fault](err); ok && f.Other != (certs.ServerID{}) {
		s.otherWay(v, source.Peer{Transport: v.over, Other: f.Other})
	}
	s.learn(v, true, now)
	s.emit(Decision{What: AcrossKept, Target: v.target, Err: err})
	s.connsChanged(v)
	s.dispatch(now)
}

// overWhatIsLeft notes that a server's remaining connections are over another
// transport, after the others have died.
func (s *Session) overWhatIsLeft(v *server, now time.Time) {
	left := v.conns.first()
	if left == nil || left.way.Peer().Transport == v.over {
		return
	}
	v.over = left.way.Peer().Transport
	s.stayOver(v, now)
	s.emit(TransportChanged{Target: v.target, Transport: v.over, Why: TransportSilent})
}

// errAcrossDead says that a transport connects and then carries nothing.
var errAcrossDead = &source.Fault{What: source.Lost, Words: "nothing came over it"}
