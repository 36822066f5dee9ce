package growth

import (
	"math"
	"time"
)

const (
	// A queue that stands for giveTime, and losses that long after a step,
	// are not what the slow starts of new connections have left behind.
	giveTime = 10 * time.Second
	// A queue that stands while losses rank below clearRank is most likely
	// filled by us and nobody else. So it may stand for ownTime. But
	// where many flows fill a queue it hardly varies, and ranks say little.
	ownTime   = 30 * time.Second
	clearRank = 0.6
	// Losses whose mean rank is at least fullRank + fullNoise /
	// sqrt(events) are those of a full queue.
	fullRank  = 0.7
	fullNoise = 0.3
	// Half of the connections are enough if they carry keepShare of the
	// rate.
	keepShare = 0.85
	// Others need a while until they have taken what was given back: they
	// add a packet a round trip each.
	takeTime = 2 * time.Second
	takeRTTs = 20
	// After a gift that nobody took, none is made for giftRest.
	giftRest = time.Minute
)

// gives reports whether half of the connections are to be given back.
func (s *server) gives(now time.Time) bool {
	if s.number == 1 || now.Before(s.rest.give) || now.Sub(s.times.grown) < giveTime || !s.history.last().known {
		return false
	}
	rank, events := s.lateRanks(now, s.times.changed)
	patience := giveTime
	if events >= fewRanks && rank < clearRank {
		patience = ownTime
	}
	stood := min(now.Sub(s.times.drained), now.Sub(s.times.changed))
	return isFull(rank, events) || stood >= patience
}

// isFull reports whether losses are those of a full queue.
func isFull(rank, events float64) bool {
	return events >= enoughRanks && rank > fullRank+fullNoise/math.Sqrt(events)
}

// judgeGift ends the trial of half of the connections. The half stays if it
// carries the same, or if others have taken the rest: the link is still full.
func (s *server) judgeGift(h history, took time.Duration, now time.Time) {
	rank, events := h.ranks()
	full := now.Sub(s.times.drained) >= s.rateTime() || isFull(rank, events)
	switch {
	case full || s.rate() >= keepShare*s.trial.rate:
		s.rest.grow = now.Add(restMost)
		s.trial = trial{}
	case took >= max(takeTime, takeRTTs*s.roundTrip()):
		s.rest.give = now.Add(giftRest)
		s.change(s.trial.from, now)
		s.trial = trial{}
	}
}
