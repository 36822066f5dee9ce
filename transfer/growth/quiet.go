package growth

import (
	"math"
	"time"
)

const (
	// A queue of less than leastQueue, or of less than one part in
	// queuePart of the round trip, cannot be told from noise: processors
	// and schedulers delay packets by 2 to 4 ms.
	leastQueue = 4 * time.Millisecond
	queuePart  = 20
	// lossTime is the time over which losses are counted. It has some of
	// them on a path that one connection cannot fill.
	lossTime = 8 * time.Second
	// fewRanks loss events are needed to tell whether losses come with a
	// queue. One is enough if there was no queue at all for clearTime or
	// clearRTTs, whichever is more. Ranks count over rankTime, or longer
	// until there are enoughRanks of them.
	fewRanks    = 6
	enoughRanks = 8
	rankTime    = 3 * time.Second
	clearTime   = 2 * time.Second
	clearRTTs   = 20
	// randomRank is the mean rank of losses that come at any time. A
	// measured mean may be above it by rankNoise / sqrt(events), but by
	// rankSlack at most. The standard deviation of a few of them is 0.29 /
	// sqrt(events). Losses of full queues ranked 0.83 to 0.99.
	randomRank = 0.5
	rankNoise  = 0.5
	rankSlack  = 0.2
)

// leastQueue is the queue, in time, from which on one stands.
func (s *server) leastQueue() time.Duration { return max(leastQueue, s.roundTrip()/queuePart) }

// queueStands reports whether the sender's shortest round trips of late had a
// queue.
func (s *server) queueStands() bool {
	last := s.history.last()
	return last.known && last.low > s.leastQueue()
}

// noQueue reports whether even the longest round trips had none for a while.
func (s *server) noQueue(now time.Time, while time.Duration) bool {
	return s.history.since(now.Add(-while)).highest() <= s.leastQueue()
}

// lateRanks returns the mean rank of the losses of late, none from before a
// time, and their number.
func (s *server) lateRanks(now, from time.Time) (mean, events float64) {
	if t := now.Add(-lossTime); from.Before(t) {
		from = t
	}
	h := s.history.since(from)
	for i := len(h) - 1; i >= 0; i-- {
		if now.Sub(h[i].at) > rankTime && h.last().events-h[i].events >= enoughRanks {
			h = h[i:]
			break
		}
	}
	return h.ranks()
}

// isQuiet reports whether losses come without a queue. Then they are not ours,
// and there is room.
func (s *server) isQuiet(now time.Time) bool {
	few := float64(fewRanks)
	rank, events := s.lateRanks(now, time.Time{})
	if while := max(clearTime, clearRTTs*s.roundTrip()); s.noQueue(now, while) {
		few = 1
		rank, events = s.lateRanks(now, now.Add(-while))
	}
	return s.history.last().known && !s.queueStands() && events >= few &&
		rank < randomRank+min(rankSlack, rankNoise/math.Sqrt(events))
}
