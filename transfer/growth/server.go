package growth

import "time"

const (
	// openTime is how long wanted connections may be missing. After that
	// the server should have those that it has.
	openTime = 5 * time.Second
	// settleRTTs is the time from the opening of connections until they
	// count: the request, its first bytes, and a round trip of slow start.
	settleRTTs = 3
	// A rate is measured over rateTime or rateRTTs, whichever is more.
	rateTime = 250 * time.Millisecond
	rateRTTs = 4
	// topTime is how long the greatest rate that was seen counts.
	topTime = 20 * time.Second
)

// A server is what is known of one server, and what is tried there.
type server struct {
	id     int
	number int  // connections that it should have, at least 1
	lacks  bool // see [Growth.Lacks]

	// what was said since the last step
	open     int
	rtt      time.Duration // by the client's own measure; 0: not known
	idle     bool
	overflow bool
	sums     sums
	paths    map[int]*path // by connection

	history history
	times   times
	top     peak // of all rates
	full    peak // of those while a queue stood
	trial   trial
	rest    rest
}

// times are when something last held.
type times struct {
	changed  time.Time // the number changed
	grown    time.Time // it grew; zero: never
	lacked   time.Time // fewer connections were open than the number says
	idle     time.Time // the server was not busy; zero: never
	overflow time.Time // a queue ran over; zero: never
	drained  time.Time // no queue stood
}

// A peak is the greatest rate of the last topTime.
type peak struct {
	rate float64 // bytes a second
	at   time.Time
}

func (p *peak) take(rate float64, now time.Time) {
	if rate > p.rate || now.Sub(p.at) >= topTime {
		*p = peak{rate, now}
	}
}

// look takes a sample at a step.
func (s *server) look(now time.Time) {
	t := &s.times
	if len(s.history) == 0 {
		t.changed, t.lacked, t.drained = now, now, now
	}
	if s.idle {
		t.idle, s.idle = now, false
	}
	if s.overflow {
		t.overflow, s.overflow = now, false
	}
	s.history.add(s.sample(now))
	s.top.take(s.rate(), now)
	if s.queueStands() {
		s.full.take(s.rate(), now)
	} else {
		t.drained = now
	}
	if s.open >= s.number {
		return
	}
	t.lacked = now
	if now.Sub(t.changed) > openTime {
		s.number, s.trial = max(s.open, 1), trial{}
	}
}

// decide goes on with a trial, or begins one. room is how many connections the
// server may have.
func (s *server) decide(now time.Time, cpuFree bool, room int) {
	s.lacks = room < s.leastStep() && !s.trial.under() && s.isQuiet(now) && s.wants(now) > room
	switch {
	case s.roundTrip() < LeastRTT:
		if s.rtt > 0 {
			s.change(1, now)
			s.trial = trial{}
		}
	case now.Sub(s.times.lacked) < s.settleTime(), now.Sub(s.times.idle) < s.rateTime():
	case s.trial.under():
		s.judge(now)
	case s.gives(now):
		s.begin((s.number+1)/2, now)
	case cpuFree && !now.Before(s.rest.grow):
		if want := min(s.wants(now), room); want >= s.leastStep() {
			s.begin(want, now)
		}
	}
}

// leastStep returns the number from which on a step is worth its trial.
func (s *server) leastStep() int { return s.number + max(1, s.number/4) }

// change sets the number of connections.
func (s *server) change(number int, now time.Time) {
	if number != s.number {
		if number > s.number {
			s.times.grown = now
		}
		s.number, s.times.changed, s.times.lacked = number, now, now
	}
}

func (s *server) settleTime() time.Duration { return settleRTTs * s.roundTrip() }

// rateTime is how long a rate is measured.
func (s *server) rateTime() time.Duration { return max(rateTime, rateRTTs*s.roundTrip()) }

// rate returns what came lately, in bytes a second.
func (s *server) rate() float64 {
	return s.history.since(s.history.last().at.Add(-s.rateTime())).rate()
}
