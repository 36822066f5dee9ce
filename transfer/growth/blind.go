package growth

import "time"

const (
	// mostBlind is how many connections a server without reports may have.
	// Nobody knows whom they take their share from.
	mostBlind = 4
	// blindTime is the time between two tries there, and from the beginning
	// to the first: slow start carries a lossy path far beyond what it can
	// hold.
	blindTime = 4 * time.Second
	// blindGain is the gain from which a try is kept.
	blindGain = 0.25
)

// blind returns how many connections to try where nothing is reported; 0: no
// more.
func (s *server) blind(now time.Time) int {
	if now.Sub(s.times.lacked) < blindTime {
		return 0
	}
	return min(2*s.number, mostBlind)
}

// leastGain is the share by which a step has to raise the rate.
func (s *server) leastGain() float64 {
	if len(s.paths) == 0 {
		return blindGain
	}
	return gain
}
