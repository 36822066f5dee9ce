package pace

import (
	"math"
	"time"
)

// A Meter is a moving average of a rate. Old bytes weigh less: exponentially,
// with a time constant. The time before the first byte does not count. The zero
// Meter measures nothing until Start.
type Meter struct {
	constant time.Duration
	at       time.Time
	carried  int64   // bytes that came when no time had passed
	sum      float64 // weighted rate, bytes a second
	weight   float64 // 0 to 1: how much of the average is measured
}

// Start forgets what was measured and begins to measure at now. constant is the
// time constant, greater than 0.
func (m *Meter) Start(constant time.Duration, now time.Time) {
	*m = Meter{constant: constant, at: now}
}

// Add counts bytes that came since the last call. If now is not later than in
// that call, the next later one counts them.
func (m *Meter) Add(bytes int64, now time.Time) {
	if m.constant <= 0 {
		return
	}
	m.carried += bytes
	dt := now.Sub(m.at)
	if dt <= 0 {
		return
	}
	m.at = now
	bytes, m.carried = m.carried, 0
	if m.weight == 0 && bytes == 0 {
		return
	}
	keep := math.Exp(-dt.Seconds() / m.constant.Seconds())
	m.sum = m.sum*keep + float64(bytes)/dt.Seconds()*(1-keep)
	m.weight = m.weight*keep + 1 - keep
}

// Skip leaves the time since the last call out of the average.
func (m *Meter) Skip(now time.Time) {
	if now.After(m.at) {
		m.at = now
	}
}

// Rate returns the average in bytes a second; 0 before the first byte.
func (m *Meter) Rate() float64 {
	if m.weight == 0 {
		return 0
	}
	return m.sum / m.weight
}
