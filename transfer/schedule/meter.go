package schedule

import (
	"math"
	"time"
)

// A Meter is a moving average of a rate. It weighs what happened by its age:
// exponentially, with a time constant, and without counting the time before
// the first byte. The zero Meter has nothing to say until Start.
type Meter struct {
	constant time.Duration
	at       time.Time
	sum      float64 // weighted rate, bytes a second
	weight   float64 // 0 to 1: how much of the average is measured
}

// Start begins to measure at now with the given time constant.
func (m *Meter) Start(constant time.Duration, now time.Time) {
	*m = Meter{constant: constant, at: now}
}

// Add counts bytes that came since the last call. A call that is not later
// than the last one counts nothing.
func (m *Meter) Add(bytes int64, now time.Time) {
	dt := now.Sub(m.at)
	if dt <= 0 {
		return
	}
	m.at = now
	if m.weight == 0 && bytes == 0 {
		return
	}
	keep := math.Exp(-dt.Seconds() / m.constant.Seconds())
	m.sum = m.sum*keep + float64(bytes)/dt.Seconds()*(1-keep)
	m.weight = m.weight*keep + 1 - keep
}

// Rate returns the average in bytes a second; 0 before the first byte.
func (m *Meter) Rate() float64 {
	if m.weight == 0 {
		return 0
	}
	return m.sum / m.weight
}
