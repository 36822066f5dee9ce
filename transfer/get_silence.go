package transfer

import "time"

// A silence is time in which servers owed bytes, were all waited for, and sent
// none. It belongs to the loop.
type silence struct {
	lasted time.Duration
	looked time.Time // when it was last added to
	word   time.Time // when it is to be said next
}

// add is called at each tick. Time in which this process did not run (it was
// suspended, or the machine slept) is nobody's silence, so a tick adds no more
// than two.
func (s *silence) add(silent bool, now time.Time) {
	tick := min(now.Sub(s.looked), 2*tickTime)
	s.looked = now
	if silent {
		s.lasted += tick
	} else {
		s.lasted = 0
	}
}

// checkSilence ends the run when servers are there that have sent nothing for
// all of the patience, and says before that it waits.
func (g *getting) checkSilence(now time.Time) {
	if g.silence.lasted < waitingEvery {
		g.silence.word = time.Time{}
		return
	}
	left := g.cfg.Patience - g.silence.lasted
	if left <= 0 {
		g.fatal = &SilentError{After: g.cfg.Patience, Missing: g.layout.Size - g.good(), Servers: g.serving()}
		return
	}
	if !now.Before(g.silence.word) {
		g.silence.word = now.Add(waitingEvery)
		g.emit(Silent{Lasted: g.silence.lasted, Left: left})
	}
}
