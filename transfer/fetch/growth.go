package fetch

import (
	"context"
	"time"

	"malcolm/transfer/growth"
	"malcolm/transfer/source"
)

// cpuBusy is the share of all processors above which malcolm opens no more
// connections: they would only take turns.
const cpuBusy = 0.85

// grow asks the pure state machine how many connections each server should
// have, and opens or retires some. It runs in the loop, once a tick.
func (s *Session) grow(now time.Time) {
	busy := s.servers.Limit == 0 && s.download.schedule.Queued() > 0
	for _, v := range s.roster.servers {
		if v.state != StateServing {
			continue
		}
		rtt := v.conns.minRTT()
		s.growth.Sample(v.index, v.share.arrived-v.share.sampled, rtt, busy)
		if busy && s.servers.Connections == 0 && rtt >= growth.LeastRTT && v.moreConns() {
			s.askPaths(v)
		}
	}
	s.growth.Step(now, s.isCPUFree(now))
	for _, v := range s.roster.servers {
		if v.state == StateServing && v.moreConns() && v.conns.try == nil {
			s.adjust(v, max(s.growth.Want(v.index), v.conns.least, s.inTurn(v)), now)
		}
	}
}

// inTurn returns the least number of connections to a server. It is two if a
// connection takes one range at a time: one brings bytes while the other waits
// for those of its next range.
func (s *Session) inTurn(v *server) int {
	if c := v.conns.first(); s.servers.Connections == 0 && c != nil && c.way.Traits().Ranges == 1 {
		return 2
	}
	return 0
}

// isCPUFree reports whether the processors have time for more connections.
func (s *Session) isCPUFree(now time.Time) bool {
	if s.servers.CPUFree != nil {
		return s.servers.CPUFree()
	}
	return s.cpu.free(now)
}

// askPaths asks a server to report what its sender sees of each connection, as
// long as the connection lives. A server without reports is asked once.
func (s *Session) askPaths(v *server) {
	for _, c := range v.conns.list {
		if c.path > 0 || c.retired || c.across || v.conns.mute {
			continue
		}
		s.roster.paths++
		c.path = s.roster.paths
		l, ctx, way, path := s.loop, v.contact.ctx, c.way, c.path
		report := func(r source.PathReport) {
			l.post(func() {
				s.growth.Report(v.index, path, growth.Report(r))
				v.conns.learned.lost(r)
			})
		}
		ended := func(err error) {
			l.post(func() {
				v.conns.mute = v.conns.mute || source.WhatOf(err) == source.Unsupported
				s.growth.Closed(v.index, path)
			})
		}
		l.beside(func() { ended(way.Path(ctx, report)) })
	}
}

// adjust opens connections to a server, or retires them.
func (s *Session) adjust(v *server, want int, now time.Time) {
	c := &v.conns
	have := c.active()
	// A server accepts a connection with its first request.
	works := s.download.schedule.Queued() > 0
	for ; works && have+c.opening < want && !now.Before(c.after); c.opening++ {
		s.open(v, nil)
	}
	for i := len(c.list) - 1; i >= 0 && have > want; i-- {
		if l := c.list[i]; !l.retired {
			l.retired = true
			have--
			c.closeRetired(l)
			s.connsChanged(v)
			s.explainConns(Shrunk, v)
		}
	}
}

// connsChanged tells the state machine how many connections a server has.
func (s *Session) connsChanged(v *server) {
	if s.growth != nil {
		s.growth.Opened(v.index, v.conns.active())
	}
}

// open makes, beside the loop, one more connection to a server that takes part,
// which must prove the same identity. Its first range proves that the same file
// is there. If instead is not nil, the new connection replaces it once the
// server has offered the same file over the new one.
func (s *Session) open(v *server, instead *connection) {
	first, why, offer, ask := v.conns.first().way, source.More, v.offer, s.askNow(v)
	if instead != nil {
		first, why = instead.way, source.Instead
	}
	s.connect(v, func(ctx context.Context) (source.Conn, error) { return again(ctx, first, why, ask, offer) },
		func(way source.Conn, err error) { s.opened(v, way, instead, err) })
}

// connect makes, beside the loop, one more connection to a server with dial.
// opened runs in the loop when it is there, or failed, and connDown when it has
// ended.
func (s *Session) connect(v *server, dial func(context.Context) (source.Conn, error), opened func(source.Conn, error)) {
	l, ctx := s.loop, v.contact.ctx
	dialled := func(way source.Conn, err error) { l.post(func() { opened(way, err) }) }
	ended := func(way source.Conn) { l.post(func() { s.connDown(v, way, way.Err()) }) }
	l.beside(func() {
		way, err := dial(ctx)
		dialled(way, err)
		if err != nil {
			return
		}
		select {
		case <-way.Done():
			ended(way)
		case <-ctx.Done():
			way.Close()
		}
	})
}

// again makes one more way to the place of first. With Instead it checks that
// the same file is offered there.
func again(ctx context.Context, first source.Conn, which source.Another, ask source.Ask, offer source.Offer) (source.Conn, error) {
	way, err := first.Again(ctx, which)
	if err != nil || which != source.Instead {
		return way, err
	}
	o, err := way.Stat(ctx, ask, nil)
	if err == nil && !o.SameFile(offer) {
		err = errOtherFile
	}
	if err != nil {
		way.Close()
		return nil, err
	}
	return way, nil
}

// opened runs in the loop when a further connection is there, or failed. After
// a failure the server keeps what it has.
func (s *Session) opened(v *server, way source.Conn, instead *connection, err error) {
	v.conns.opening--
	if err == nil {
		s.otherWay(v, way.Peer())
	}
	now := time.Now()
	switch {
	case err != nil && instead == nil:
		s.notGrown(v, err, now)
	case v.state != StateServing || v.trouble.judging, err != nil, instead != nil && !instead.silence.Useless():
		if way != nil {
			way.Close()
		}
		if instead != nil && v.state == StateServing {
			s.emit(Decision{What: WayKept, Target: v.target, Err: err})
		}
	case instead != nil:
		s.replace(v, instead, &connection{way: way, opened: now})
	default:
		v.use(&connection{way: way, opened: now, unproved: true})
		s.connsChanged(v)
		s.explainConns(Grown, v)
		s.dispatch(now)
	}
}

// notGrown tells that a further connection to a server failed. None is tried
// for a while.
func (s *Session) notGrown(v *server, err error, now time.Time) {
	v.conns.pauseOpening(now)
	if v.state == StateServing && s.growth != nil {
		s.growth.Failed(v.index)
		s.emit(Decision{What: NotGrown, Target: v.target, Pause: v.conns.pause, Err: err})
	}
}

// furtherRefused ends the use of a further connection over which the server
// refused the first range. The server keeps its others.
func (s *Session) furtherRefused(v *server, c *connection, err error, now time.Time) {
	if c.across {
		s.roster.carrier.Failed(v.index)
		return
	}
	s.retire(v, c)
	s.notGrown(v, err, now)
}

// replace puts a connection in the place of one that brings nothing. The
// silence may have been the path's, so the server is no longer blamed for it.
func (s *Session) replace(v *server, old, c *connection) {
	now := time.Now()
	over := c.way.Peer().Transport
	if over != v.over {
		s.emit(TransportChanged{Target: v.target, Transport: over, Why: TransportSilent})
	}
	c.silence, v.over = old.silence.Next(), over
	v.use(c)
	if s.growth != nil {
		s.growth.Join(v.index) // what is known of the path is of the old one
	}
	s.retire(v, old)
	s.stayOver(v, now)
	if d := s.download; d.schedule != nil {
		d.schedule.Revive(v.index, now)
	}
	s.emit(Decision{What: WayChanged, Target: v.target})
	s.dispatch(now)
}

// connDown runs in the loop when a connection has ended by itself. With its
// last one the server is lost.
func (s *Session) connDown(v *server, way source.Conn, err error) {
	now := time.Now()
	c := &v.conns
	l := c.of(way)
	switch {
	case l == nil:
	case v.state.isAwaited(): // it was asked for another file
		v.hangUp()
	case len(c.list) == 1: // leave hangs up
		s.leave(v, StateLost, err)
	default:
		c.forget(l)
		if v.state != StateServing {
			return
		}
		s.acrossDown(v, l)
		if c.active() == 0 {
			c.list[0].retired = false // it is needed after all
			s.overWhatIsLeft(v, now)
		}
		s.connsChanged(v)
		if now.Sub(l.opened) < openPause {
			s.notGrown(v, err, now)
		} else {
			c.pause = 0
		}
	}
}
