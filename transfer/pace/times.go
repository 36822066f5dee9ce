package pace

import (
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of the slots of a [Times], in order. One more
// slot is for longer times.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// A Times counts how long something took. Any goroutine may call its methods,
// which never wait. The zero value is ready to use.
type Times struct {
	slots [len(Bounds) + 1]atomic.Int64
	sum   atomic.Int64 // in nanoseconds
}

// Took adds one time.
func (t *Times) Took(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	t.sum.Add(int64(d))
	t.slots[i].Add(1)
}

// Spread returns the times added so far. Of a time being added just now it may
// have only a part.
func (t *Times) Spread() (s Spread) {
	for i := range t.slots {
		s.Slots[i] = t.slots[i].Load()
	}
	s.Sum = time.Duration(t.sum.Load())
	return s
}

// A Spread says how many times lasted how long.
type Spread struct {
	Slots [len(Bounds) + 1]int64 // times above the bound before and up to their own
	Sum   time.Duration
}

// Count returns how many times there are.
func (s *Spread) Count() (n int64) {
	for _, slot := range s.Slots {
		n += slot
	}
	return n
}
