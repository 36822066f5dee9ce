// Package carrier decides which transport carries the ranges of each server:
// QUIC, or TCP where that carries more. It is pure: no network, no goroutine,
// no clock. Its owner says what came, calls [Carrier.Step] about every 100 ms,
// and does what that returns.
//
// On a quick network both are limited by the processors, and TCP costs a third
// of what QUIC does: the kernel cuts and joins its packets. On a slow or a
// lossy one QUIC with enough connections is as good, and better than a TCP that
// halves its rate at each loss. So nothing is believed, and little is tried:
//
//   - A server is tried below 5 ms of round trip. On a longer path it is tried
//     if it says that it sends over TCP with BBR, and if losses come without a
//     queue and QUIC lacks connections to make up for them. Beside others in
//     a full queue BBR would take their share: up to 81 of 100 Mbit/s beside
//     four CUBIC flows, measured. A server is tried once it has sent for half
//     a second, if enough is left to gain by it.
//   - The trial gives its next ranges to two connections over the other
//     transport for half a second. What carries more stays: a tenth more,
//     since less is noise. One server is tried at a time: two would disturb
//     each other.
//   - Servers below 5 ms in the same network follow without a trial of their
//     own. What differs between the transports there is the work of the
//     machines for each packet, not the path.
//   - A server that has changed is watched. If it falls below half of what
//     the former transport carried, it goes back, and stays there.
//   - Where an earlier run has found the other transport better, it is used at
//     once.
package carrier

import (
	"cmp"
	"slices"
	"time"
)

const (
	// ShortRTT is the round trip below which the machines limit a transfer
	// and not the path.
	ShortRTT = 5 * time.Millisecond
	// Conns is how many connections the other transport is tried with.
	Conns = 2

	// settleTime is how long a server has sent before it is tried, or
	// settleRTTs round trips: what it does over the first transport must be
	// known.
	settleTime = 500 * time.Millisecond
	settleRTTs = 20
	// trialTime is how long the other transport is measured from its first
	// byte on, or trialRTTs round trips.
	trialTime = 500 * time.Millisecond
	trialRTTs = 10
	// clearTime is the part of it after which a clear result counts: one
	// above clearGain.
	clearTime = 200 * time.Millisecond
	clearGain = 1.5
	// leastGain is how much more the other transport must carry.
	leastGain = 1.1
	// silentTime is how long the other transport may bring nothing.
	silentTime = 500 * time.Millisecond
	silentRTTs = 6
	// leastLeft is how much of a run must be left for a trial to be worth
	// it, followLeft for a change without one.
	leastLeft  = time.Second
	followLeft = 500 * time.Millisecond
	// A changed server goes back if it has carried less than fallen times
	// its former rate for watchTime.
	watchTime = 3 * time.Second
	fallen    = 0.5
	// firstPause is the time after a trial that showed nothing. It doubles.
	firstPause = 10 * time.Second
)

// A Server says how a server is reached, when it joins.
type Server struct {
	Now   int // the transport that carries its ranges, a number of the caller's
	Other int // the other one; 0: no other, or the user forbids it
	// BBR: over Other the server sends with BBR.
	BBR bool
	// Network names the network of this machine through which it is
	// reached.
	Network string
	// Known says that an earlier run has compared them; Better is what it
	// found, and Former what the other one carried, in bytes a second.
	Known  bool
	Better int
	Former float64
}

// A Sample says what a server did since the last one.
type Sample struct {
	Bytes int64         // that came over Now
	Trial int64         // that came over Other
	RTT   time.Duration // least round trip; 0: not known
	Busy  bool          // it had work all the time
	Lacks bool          // over Now it could use more connections than it may have
}

// A Carrier decides for the servers of a session. It belongs to one goroutine.
// Servers are numbered by the caller.
type Carrier struct {
	servers map[int]*server
	last    time.Time // of Step
}

// New returns a Carrier without servers.
func New() *Carrier { return &Carrier{servers: make(map[int]*server)} }

// Join says that a server takes part, for the first time or again. What this
// session has found out about it still holds.
func (c *Carrier) Join(id int, how Server) {
	s := c.servers[id]
	if s == nil {
		s = &server{id: id}
		c.servers[id] = s
		if how.Known {
			s.better, s.former = how.Better, how.Former
		}
		for _, other := range c.servers {
			other.crowded = other.crowded || other.sent > 0
		}
	}
	if s.here && s.how.Now == how.Now {
		s.how = how
		return
	}
	s.how, s.here, s.state = how, true, resting
	s.now, s.sent, s.rtt = rates{}, 0, 0
}

// Leave says that a server no longer takes part, and that connections of a
// trial are gone with it.
func (c *Carrier) Leave(id int) {
	if s := c.servers[id]; s != nil {
		s.here, s.state = false, resting
	}
}

// Stay says that a server stays with the transport that it has, such as when
// the other one has brought nothing.
func (c *Carrier) Stay(id int) {
	if s := c.servers[id]; s != nil {
		s.fixed = true
	}
}

// Sample says what a server did since the last call.
func (c *Carrier) Sample(id int, what Sample) {
	if s := c.servers[id]; s != nil {
		s.sample = what
		if what.RTT > 0 {
			s.rtt = what.RTT
		}
	}
}

// Opened says that the connections that [Try] asked for are there. From now on
// the next ranges go over them. measured says that they are compared: what runs
// over the former ones then disturbs.
func (c *Carrier) Opened(id int, now time.Time) (measured bool) {
	s := c.servers[id]
	if s == nil || s.state != opening && s.state != following {
		return false
	}
	before := s.now.rate(s.span(trialTime, trialRTTs))
	switch {
	case s.state == opening:
		s.state, s.trial = measuring, trial{opened: now, before: before}
		return true
	case s.followsOthers:
		s.former = before
	}
	s.state = followed
	return false
}

// Failed says that those connections do not come, or have died.
func (c *Carrier) Failed(id int) {
	if s := c.servers[id]; s != nil && s.state != resting {
		s.state = failed
	}
}

// IsTrying reports whether a server's [Try] has not ended yet.
func (c *Carrier) IsTrying(id int) bool {
	s := c.servers[id]
	return s != nil && s.state != resting
}

// A What is what to do with a server's connections.
type What int

// What Step may want.
const (
	// Try: open Conns connections over the other transport, and call Opened
	// or Failed.
	Try What = iota
	// Change: those connections stay, and the former ones go when they have
	// nothing under way.
	Change
	// Keep: those connections go, and the former ones carry again.
	Keep
)

// A Why is why a transport was chosen.
type Why int

// Why a server changed its transport, or kept it.
const (
	Faster     Why = iota // the other one carried more, of this server or of one like it
	Remembered            // an earlier run found that
	Fell                  // the other one carried much less than this one had
	Slower                // the other one carried less
	Dead                  // the other one could not be had, or brought nothing
	Void                  // nothing could be seen: there was too little to fetch
)

// An Action is one thing to do.
type Action struct {
	Server int
	What   What
	Why    Why
	Rate   float64 // over the other transport, bytes a second; 0: not measured
	Before float64 // over the former one, likewise
}

// Step decides by what was said up to now. left is the time to the end of the
// run at the present rate; 0: not known.
func (c *Carrier) Step(now time.Time, left time.Duration) (todo []Action) {
	past := min(max(now.Sub(c.last), 0), time.Second)
	if c.last.IsZero() {
		past = 0
	}
	c.last = now
	order := make([]*server, 0, len(c.servers))
	for _, s := range c.servers {
		if s.here {
			order = append(order, s)
		}
	}
	slices.SortFunc(order, func(a, b *server) int { return cmp.Compare(a.id, b.id) })
	trying := slices.ContainsFunc(order, func(s *server) bool { return s.state == opening || s.state == measuring })
	for _, s := range order {
		s.look(now, past)
		a, ok := s.decide(now, left, trying)
		if !ok {
			continue
		}
		trying = trying || s.state == opening
		todo = append(todo, a)
		if a.What != Try {
			c.spread(s, a)
		}
	}
	return todo
}

// spread tells servers like s how its trial has ended.
func (c *Carrier) spread(s *server, a Action) {
	if !s.short() || s.followsOthers || a.Why != Faster && a.Why != Slower {
		return
	}
	tried := s.how.Other
	if a.What == Change {
		tried = s.how.Now
	}
	for _, other := range c.servers {
		like := other.here && other.short() && other.how.Network == s.how.Network && other.how.Other == tried
		switch {
		case !like, other.fixed, other.state != resting:
		case a.What == Change:
			other.better, other.followsOthers = tried, true
		default:
			other.fixed = true
		}
	}
}
