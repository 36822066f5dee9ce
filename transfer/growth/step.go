package growth

import (
	"math"
	"time"
)

const (
	// A NewReno connection with beta 0.7, which rests for a round trip
	// after each cut, carries renoFactor × payload / (round trip ×
	// sqrt(loss)). The model says 1.68; a little less makes a step add one
	// too many rather than one too few.
	renoFactor = 1.6
	// payload is the bytes of a file in a packet.
	payload = 1400
	// A step aims at goalFactor times the present rate, which the link may
	// have. If a queue stood lately, it aims at the rate that filled the
	// link then. From nearFull of that rate on, no step is made.
	goalFactor = 2
	nearFull   = 0.8
	// mostFactor is how many times more connections a step may bring. It
	// begins with few losses, and so with a rough loss rate.
	mostFactor = 8
	// After an overflow the loss rate is not looked at for overflowTime.
	overflowTime = 2 * time.Second
	// A window that has grown by less than steadyGrowth in clearTime or
	// steadyRTTs, whichever is more, without a loss and without a queue, is
	// the end of a slow start that noise has ended early.
	steadyRTTs   = 10
	steadyGrowth = 0.1
)

// wants returns how many connections the server could use; 0: no more, as far
// as is known.
func (s *server) wants(now time.Time) int {
	if len(s.paths) == 0 {
		return s.blind(now)
	}
	settled := now.Sub(s.times.lacked) >= s.settleTime()+s.rateTime()/2
	switch {
	case !settled, now.Sub(s.times.overflow) < overflowTime, s.rate() == 0:
		return 0
	case s.isQuiet(now):
		return s.model(now)
	case s.isSteady(now):
		return 2 * s.number
	}
	return 0
}

// model returns the number by the model of NewReno.
func (s *server) model(now time.Time) int {
	l := s.recentLoss(now)
	if l.lost < 1 {
		return 0
	}
	rate := s.rate()
	goal := max(goalFactor*rate, s.top.rate)
	if s.full.rate > 0 && now.Sub(s.full.at) < topTime {
		if goal = s.full.rate; rate > nearFull*goal {
			return 0
		}
	}
	return int(math.Ceil(min(goal/s.one(l), float64(mostFactor*s.number))))
}

// recentLoss returns the losses of late.
func (s *server) recentLoss(now time.Time) loss {
	return s.history.since(now.Add(-lossTime)).loss(s.roundTrip())
}

// one returns what one connection can carry with losses, in bytes a second.
func (s *server) one(l loss) float64 {
	if l.lost == 0 {
		return math.MaxFloat64
	}
	return renoFactor * payload / (s.roundTrip().Seconds() * math.Sqrt(l.rate()))
}

// isSteady reports whether the windows do not grow, although nothing is lost
// and there is no queue.
func (s *server) isSteady(now time.Time) bool {
	while := max(clearTime, steadyRTTs*s.roundTrip())
	h := s.history.since(now.Add(-while))
	first, last := h[0], h.last()
	lost := last.events - s.history.since(now.Add(-lossTime))[0].events
	return first.known && last.known && last.at.Sub(s.times.lacked) >= while && lost == 0 &&
		s.noQueue(now, while) && last.window < (1+steadyGrowth)*first.window
}
