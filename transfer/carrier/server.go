package carrier

import "time"

// A state is how far a server is with the other transport.
type state int

const (
	resting   state = iota
	opening         // connections are made, to be measured
	measuring       // they carry its ranges
	following       // connections are made, to stay
	followed        // they are there
	failed          // they are not, or have died
)

// A server is one of a session.
type server struct {
	id     int
	how    Server
	here   bool // it takes part
	sample Sample
	rtt    time.Duration // 0: not known
	sent   time.Duration // for which it was busy over Now
	now    rates         // over Now
	state  state
	trial  trial
	pause  pause

	better        int     // the transport that was found better; 0: not known
	former        float64 // what the transport before Now carried; 0: not known
	followsOthers bool    // better comes from a server like it
	fixed         bool    // it changes no more
	crowded       bool    // servers have joined since former was measured
}

// A trial is what the other transport carries.
type trial struct {
	opened time.Time
	first  time.Time // byte; zero: nothing came yet
	bytes  int64     // since then
	idle   bool      // it had not always work
	before float64   // what Now carried, bytes a second
}

// A pause is the time without trials after one that showed nothing.
type pause struct {
	until time.Time
	last  time.Duration
}

func (p *pause) begin(now time.Time) {
	p.last = max(2*p.last, firstPause)
	p.until = now.Add(p.last)
}

// span is a time, but at least some round trips.
func (s *server) span(least time.Duration, rtts int) time.Duration {
	return max(least, time.Duration(rtts)*min(s.rtt, time.Second))
}

// short reports whether the path is short.
func (s *server) short() bool { return s.rtt > 0 && s.rtt < ShortRTT }

// look takes the last sample.
func (s *server) look(now time.Time, past time.Duration) {
	what := s.sample
	s.sample = Sample{Lacks: what.Lacks}
	switch s.state {
	case resting, opening, following:
		if !what.Busy {
			s.now = rates{}
		} else if s.now.add(now, past, what.Bytes); what.Bytes > 0 {
			s.sent += past
		}
	case measuring:
		t := &s.trial
		t.idle = t.idle || !what.Busy
		switch {
		case !t.first.IsZero():
			t.bytes += what.Trial
		case what.Trial > 0: // how long these have taken is not known
			t.first = now
		}
	}
}

// decide returns what to do with the server, if anything. trying: another one
// is being tried.
func (s *server) decide(now time.Time, left time.Duration, trying bool) (a Action, ok bool) {
	a.Server = s.id
	switch s.state {
	case resting:
		return s.rest(a, now, left, trying)
	case measuring:
		return s.measure(a, now)
	case followed:
		a.What, a.Why, a.Before = Change, s.whyFollow(), s.former
		s.change(a)
		return a, true
	case failed:
		a.What, a.Why = Keep, Dead
		s.fixed, s.state = true, resting
		return a, true
	}
	return a, false
}

// rest begins a trial, or a change without one.
func (s *server) rest(a Action, now time.Time, left time.Duration, trying bool) (Action, bool) {
	if s.fixed || s.how.Other == 0 || left < followLeft {
		return a, false
	}
	if s.better == s.how.Other || s.hasFallen() {
		s.state = following
		a.Why = s.whyFollow()
		return a, true
	}
	switch {
	case s.better != 0, trying, left < leastLeft, now.Before(s.pause.until):
	case s.sent < s.span(settleTime, settleRTTs), !s.short() && !(s.how.BBR && s.sample.Lacks):
	case s.rtt == 0, s.now.rate(s.span(trialTime, trialRTTs)) == 0:
	default:
		s.state = opening
		return a, true
	}
	return a, false
}

// hasFallen reports whether the server carries much less than before it
// changed. Servers that have joined since may have taken the difference.
func (s *server) hasFallen() bool {
	if s.better != s.how.Now || s.former == 0 || s.crowded || s.now.lasted < watchTime {
		return false
	}
	return s.now.rate(watchTime) < fallen*s.former
}

func (s *server) whyFollow() Why {
	switch {
	case s.better == s.how.Now:
		return Fell
	case s.how.Known && !s.followsOthers:
		return Remembered
	}
	return Faster
}

// measure ends a trial when it has shown enough.
func (s *server) measure(a Action, now time.Time) (Action, bool) {
	t := &s.trial
	a.Before = t.before
	if t.first.IsZero() {
		if now.Sub(t.opened) < s.span(silentTime, silentRTTs) {
			return a, false
		}
		a.What, a.Why = Keep, Dead
		s.fixed, s.state = true, resting
		return a, true
	}
	lasted := now.Sub(t.first)
	if lasted <= 0 {
		return a, false
	}
	a.Rate = float64(t.bytes) / lasted.Seconds()
	clear := lasted >= s.span(clearTime, settleRTTs) && a.Rate >= clearGain*t.before
	if !clear && lasted < s.span(trialTime, trialRTTs) {
		return a, false
	}
	switch {
	case t.idle:
		a.What, a.Why = Keep, Void
		s.state = resting
		s.pause.begin(now)
	case a.Rate > leastGain*t.before:
		a.What, a.Why = Change, Faster
		s.change(a)
	default:
		a.What, a.Why = Keep, Slower
		s.fixed, s.state = true, resting
	}
	return a, true
}

// change makes the other transport the present one.
func (s *server) change(a Action) {
	s.fixed = a.Why == Fell
	s.how.Now, s.how.Other = s.how.Other, s.how.Now
	s.better, s.state, s.crowded = s.how.Now, resting, false
	if a.Before > 0 {
		s.former = a.Before
	}
	s.now = rates{}
}

// rates are the bytes of a few seconds in which a server was always busy.
type rates struct {
	looks  []looked
	lasted time.Duration // of all looks so far
}

type looked struct {
	at    time.Time
	past  time.Duration // since the one before
	bytes int64
}

// mostLooks bounds the looks that are kept.
const mostLooks = 256

func (r *rates) add(at time.Time, past time.Duration, bytes int64) {
	if len(r.looks) >= mostLooks {
		r.looks = r.looks[1:]
	}
	r.looks = append(r.looks, looked{at, past, bytes})
	r.lasted += past
}

// rate returns the bytes a second over the last span; 0: that is not known.
func (r *rates) rate(span time.Duration) float64 {
	var bytes int64
	var past time.Duration
	for i := len(r.looks) - 1; i >= 0 && past < span; i-- {
		past += r.looks[i].past
		bytes += r.looks[i].bytes
	}
	if past <= 0 {
		return 0
	}
	return float64(bytes) / past.Seconds()
}
