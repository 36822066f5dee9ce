package admission

import "time"

// A bucket counts events against a rate. The zero bucket has counted none.
type bucket struct {
	level float64 // events that the rate has not paid for yet
	at    time.Time
}

// take counts an event unless that would be more than most above rate a second.
func (b *bucket) take(now time.Time, rate, most int) bool {
	b.drain(now, float64(rate))
	if b.level+1 > float64(most) {
		return false
	}
	b.level++
	return true
}

// drain takes off what rate events a second have paid for.
func (b *bucket) drain(now time.Time, rate float64) {
	if past := now.Sub(b.at); past > 0 {
		b.level = max(0, b.level-past.Seconds()*rate)
		b.at = now
	}
}

// A meter measures how long a connection has not moved a number of bytes.
type meter struct {
	moved int64         // since at
	at    time.Duration // when it last had moved enough
}

// add counts n bytes; goal bytes are enough.
func (m *meter) add(n, goal int64, now time.Duration) {
	if m.moved += n; m.moved >= goal {
		*m = meter{at: now}
	}
}

// A stopwatch is a connection's own time. It stands still while the connection
// waits for the server, so that this time is not held against it.
type stopwatch struct {
	began   time.Time
	waits   int           // for the server, now
	since   time.Time     // the first of them
	excused time.Duration // total of the waits that are over
}

// read returns the own time.
func (s *stopwatch) read(now time.Time) time.Duration {
	if s.waits > 0 {
		now = s.since
	}
	return now.Sub(s.began) - s.excused
}

// stop begins a wait.
func (s *stopwatch) stop(now time.Time) {
	if s.waits++; s.waits == 1 {
		s.since = now
	}
}

// run ends a wait.
func (s *stopwatch) run(now time.Time) {
	if s.waits--; s.waits == 0 {
		s.excused += now.Sub(s.since)
	}
}
