package pace

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// Each time is in the slot of the least bound that it does not exceed, and in
// the sum.
func TestTimes(t *testing.T) {
	if !slices.IsSorted(Bounds[:]) {
		t.Fatal("the bounds are not in order")
	}
	var times Times
	for i, b := range Bounds {
		times.Took(b)
		times.Took(b + 1)
		s := times.Spread()
		if s.Slots[i] == 0 || s.Slots[i+1] != 1 {
			t.Errorf("%v and a nanosecond more: slots %v, want them in %d and %d", b, s.Slots, i, i+1)
		}
	}
	s := times.Spread()
	var want time.Duration
	for _, b := range Bounds {
		want += 2*b + 1
	}
	if s.Count() != int64(2*len(Bounds)) || s.Sum != want {
		t.Errorf("%d times of %v in all, want %d of %v", s.Count(), s.Sum, 2*len(Bounds), want)
	}
}

func TestTimesOfManyGoroutines(t *testing.T) {
	var times Times
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				times.Took(time.Millisecond)
			}
		})
	}
	wg.Wait()
	if s := times.Spread(); s.Count() != 8000 || s.Sum != 8*time.Second {
		t.Errorf("%d times of %v in all, want 8000 of 8s", s.Count(), s.Sum)
	}
}

func BenchmarkTook(b *testing.B) {
	var times Times
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			times.Took(time.Millisecond)
		}
	})
}
