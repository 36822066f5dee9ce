package pace

import (
	"math"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	type step struct {
		after time.Duration
		bytes int64
		skip  bool
	}
	steady := func(n int, s step) (all []step) {
		for range n {
			all = append(all, s)
		}
		return all
	}
	half := 1_386_294_361 * time.Nanosecond // the time in which half is forgotten
	tests := []struct {
		name  string
		steps []step
		want  float64
	}{
		{"nothing", nil, 0},
		{"no byte", []step{{after: time.Second}}, 0},
		{"first bytes", []step{{after: time.Second, bytes: 500}}, 500},
		{"first bytes in half a second", []step{{after: time.Second / 2, bytes: 500}}, 1000},
		{"the time before the first byte", []step{{after: time.Hour}, {after: time.Second, bytes: 500}}, 500},
		{"steady", steady(50, step{after: 100 * time.Millisecond, bytes: 50}), 500},
		{"half forgotten", append(steady(1000, step{after: 100 * time.Millisecond, bytes: 50}), step{after: half}), 250},
		{"skipped time", []step{{after: time.Second, bytes: 500}, {after: time.Hour, skip: true}}, 500},
		{"after skipped time", []step{{after: time.Second, bytes: 500}, {after: time.Hour, skip: true}, {after: time.Second, bytes: 500}}, 500},
		{"bytes in no time", []step{{bytes: 300}, {after: time.Second, bytes: 200}}, 500},
		{"time that went back", []step{{after: 2 * time.Second, bytes: 1000}, {after: -time.Second, bytes: 500}, {after: 2 * time.Second}}, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1_000_000_000, 0)
			var m Meter
			m.Start(2*time.Second, now)
			for _, s := range tt.steps {
				now = now.Add(s.after)
				if s.skip {
					m.Skip(now)
				} else {
					m.Add(s.bytes, now)
				}
			}
			if got := m.Rate(); math.Abs(got-tt.want) > 1e-6*tt.want {
				t.Errorf("rate = %v, want %v", got, tt.want)
			}
		})
	}
	var zero Meter
	zero.Add(1000, time.Unix(1_000_000_000, 0))
	if got := zero.Rate(); got != 0 {
		t.Errorf("rate of a meter that was not started = %v", got)
	}
}
