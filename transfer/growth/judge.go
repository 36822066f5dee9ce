package growth

import (
	"math"
	"time"
)

const (
	// A step that raises the rate by less than gain is undone, once it had
	// gainWaits times the time of a measurement.
	gain      = 0.15
	gainWaits = 3
	// A step is undone if the loss rate has risen to more than ownLoss
	// times what it was, by ownSigma standard deviations, and at least
	// fewLosses were seen before: losses that grow with our rate are our
	// congestion.
	ownLoss   = 1.6
	ownSigma  = 3
	fewLosses = 4
	// After an undone step no other is made for restTime. That doubles each
	// time, up to restMost.
	restTime = 5 * time.Second
	restMost = 30 * time.Second
)

// A trial is a change of the number that is not judged yet.
type trial struct {
	from int     // the number before it; 0: there is no trial
	rate float64 // what that carried, bytes a second
	loss loss    // with that
}

func (t trial) under() bool { return t.from > 0 }

// A rest is when nothing is tried.
type rest struct {
	grow  time.Time     // no step before
	pause time.Duration // the last one after an undone step; 0: the last step was right
	give  time.Time     // nothing is given back before
}

// begin changes the number, on trial. Slow start carries a lossy path for
// seconds far beyond what it can hold, so the rate before is by the model if
// that says less.
func (s *server) begin(number int, now time.Time) {
	l := s.recentLoss(now)
	s.trial = trial{s.number, min(s.rate(), float64(s.number)*s.one(l)), l}
	s.change(number, now)
}

// judge ends a trial if it is clear what came of it.
func (s *server) judge(now time.Time) {
	took := now.Sub(s.times.lacked) - s.settleTime()
	if took < s.rateTime() {
		return
	}
	h := s.history.since(now.Add(-took))
	if s.number < s.trial.from {
		s.judgeGift(h, took, now)
		return
	}
	full := s.queueStands()
	switch {
	case !full && s.lossRose(h.loss(0)):
		s.undo(now)
	case s.rate() >= (1+s.leastGain())*s.trial.rate:
		s.trial, s.rest.pause = trial{}, 0
	case full || took >= gainWaits*s.rateTime():
		s.undo(now)
	}
}

// lossRose reports whether the loss rate has risen with the step.
func (s *server) lossRose(after loss) bool {
	before := s.trial.loss
	noise := math.Sqrt(before.variance() + after.variance()/(ownLoss*ownLoss))
	return before.lost >= fewLosses && after.rate()/ownLoss-before.rate() > ownSigma*noise
}

// undo ends a step that was wrong.
func (s *server) undo(now time.Time) {
	s.rest.pause = min(max(2*s.rest.pause, restTime), restMost)
	s.rest.grow = now.Add(s.rest.pause)
	s.change(s.trial.from, now)
	s.trial = trial{}
}
