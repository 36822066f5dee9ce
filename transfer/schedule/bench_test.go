package schedule_test

import (
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// A busy transfer: 1,024 servers, 2^20 chunks, of one file or one of each small
// file. Each step ends one range, good or (every eighth) not, and runs Plan
// after it.
func BenchmarkPlan(b *testing.B) {
	for _, bb := range []struct {
		name    string
		servers int
		limit   int64
		dribble bool // half of the servers hardly send
		small   bool // files of 4 KiB
	}{
		{"4 servers", 4, 0, false, false},
		{"1024 servers", 1024, 0, false, false},
		{"1024 servers, limited", 1024, 1 << 30, false, false},
		{"1024 servers, half of them too slow", 1024, 0, true, false},
		{"4 servers, small files", 4, 0, false, true},
		{"1024 servers, small files", 1024, 0, false, true},
		{"1024 servers, half of them too slow, small files", 1024, 0, true, true},
	} {
		b.Run(bb.name, func(b *testing.B) {
			cfg := layout(1<<40, 1<<20)
			if bb.small {
				cfg = tree(slices.Repeat([]int64{4 << 10}, 1<<20))
			}
			cfg.Limit = bb.limit
			now := time.Unix(1_000_000_000, 0)
			var s *schedule.Schedule
			var open []schedule.Range
			begin := func() {
				s = schedule.New(cfg)
				for c := range cfg.Content.Chunks() {
					s.Add(c)
				}
				for i := range bb.servers {
					s.Join(i, 50*time.Millisecond, now)
					rate := int64(10 << 20)
					if bb.dribble && i%2 == 0 {
						rate = 10
					}
					s.Sample(i, rate, 0, now.Add(time.Second))
				}
				open = s.Plan(now).Fetch
			}
			begin()
			for i := 0; b.Loop(); i++ {
				if len(open) == 0 {
					b.StopTimer()
					begin()
					b.StartTimer()
				}
				at := i % len(open)
				r := open[at]
				open[at] = open[len(open)-1]
				open = open[:len(open)-1]
				n := cfg.Content.Length(r.First, r.Count)
				s.Arrived(r.ID, n, now)
				if i%8 != 0 {
					for c := r.First; c < r.First+r.Count; c++ {
						s.Good(c)
					}
				}
				s.End(r.ID)
				open = append(open, s.Plan(now).Fetch...)
			}
		})
	}
}

// The front of the queue is found again and again behind a million chunks that
// are not missing.
func BenchmarkFront(b *testing.B) {
	cfg := layout(1<<40, 1<<20)
	s := schedule.New(cfg)
	for c := range cfg.Content.Chunks() {
		if c == 0 || c == cfg.Content.Chunks()-1 {
			s.Add(c)
		} else {
			s.Good(c)
		}
	}
	now := time.Unix(1_000_000_000, 0)
	s.Join(0, 0, now)
	s.Join(1, 0, now)
	for b.Loop() {
		for _, r := range s.Plan(now).Fetch {
			s.End(r.ID)
		}
	}
}

// A whole download of 2^20 files of 4 KiB from four servers: nanoseconds a
// file.
func BenchmarkSmallFiles(b *testing.B) {
	cfg := tree(slices.Repeat([]int64{4 << 10}, 1<<20))
	now := time.Unix(1_000_000_000, 0)
	for b.Loop() {
		s := schedule.New(cfg)
		for c := range cfg.Content.Chunks() {
			s.Add(c)
		}
		for i := range 4 {
			s.Join(i, 50*time.Millisecond, now)
			s.Sample(i, 10<<20, 0, now.Add(time.Second))
		}
		for open := s.Plan(now).Fetch; len(open) > 0; {
			r := open[0]
			s.Arrived(r.ID, cfg.Content.Length(r.First, r.Count), now)
			for c := r.First; c < r.First+r.Count; c++ {
				s.Good(c)
			}
			s.End(r.ID)
			open = append(open[1:], s.Plan(now).Fetch...)
		}
		if !s.Done() {
			b.Fatal("not done")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<20), "ns/file")
}
