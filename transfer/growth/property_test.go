package growth

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// counts are what a lying server may say, and honest numbers.
func counts(t *rapid.T, name string) uint64 {
	return rapid.OneOf(
		rapid.SampledFrom([]uint64{0, 1, 7, 9, 10_000, 1 << 32, math.MaxInt64, math.MaxUint64}),
		rapid.Uint64Range(0, 5000),
	).Draw(t, name)
}

func trips(t *rapid.T, name string) time.Duration {
	return rapid.OneOf(
		rapid.SampledFrom([]time.Duration{-1, 0, 1, time.Microsecond, 5 * ms, 100 * ms, time.Hour, math.MaxInt64, math.MinInt64}),
		rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(300*ms)).Draw(t, "trip"))
		}),
	).Draw(t, name)
}

// Whatever servers say, the numbers stay within the limits, and every figure is
// a number.
func TestLyingReportsKeepTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		servers := rapid.IntRange(1, 5).Draw(t, "servers")
		cfg := Config{MaxPerServer: rapid.IntRange(0, 20).Draw(t, "a server"), MaxTotal: rapid.IntRange(0, 40).Draw(t, "total")}
		g := New(cfg)
		now := pathEpoch
		honest := make(map[int]Report) // the counters rise, as wire demands
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			id := rapid.IntRange(0, servers-1).Draw(t, "server")
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				g.Join(id)
			case 1:
				g.Leave(id)
			case 2:
				g.Opened(id, rapid.IntRange(-1, 50).Draw(t, "open"))
			case 3:
				g.Failed(id)
			case 4:
				g.Closed(id, rapid.IntRange(0, 3).Draw(t, "conn"))
			case 5:
				g.Report(id, rapid.IntRange(0, 3).Draw(t, "conn"), Report{
					Sent: counts(t, "sent"), Lost: counts(t, "lost"), Events: counts(t, "events"), Ranks: counts(t, "ranks"),
					Window: counts(t, "window"), MinRTT: trips(t, "min"), LowRTT: trips(t, "low"), HighRTT: trips(t, "high"),
				})
			case 6, 7:
				r := honest[id]
				r.Sent += rapid.Uint64Range(0, 2000).Draw(t, "sent")
				lost := rapid.Uint64Range(0, 12).Draw(t, "lost")
				r.Lost, r.Events, r.Ranks = r.Lost+lost, r.Events+min(lost, 3), r.Ranks+min(lost, 3)*500
				r.MinRTT, r.LowRTT, r.HighRTT = 50*ms, 51*ms, 52*ms
				honest[id] = r
				g.Report(id, 9, r)
			case 8, 9:
				g.Sample(id, rapid.Int64Range(-1, 1<<40).Draw(t, "bytes"), trips(t, "own"), rapid.Float64Range(0, 1).Draw(t, "busy") < 0.9)
			default:
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "passed")))
				g.Step(now, rapid.Bool().Draw(t, "cpu"))
				for other := range g.servers {
					g.Opened(other, g.Want(other))
				}
			}
			checkLimits(t, g)
		}
	})
}

func checkLimits(t *rapid.T, g *Growth) {
	total := 0
	for id, s := range g.servers {
		n := g.Want(id)
		total += n
		if n < 1 || n > g.cfg.MaxPerServer {
			t.Fatalf("server %d should have %d connections of %d", id, n, g.cfg.MaxPerServer)
		}
		if len(s.history) > mostSamples {
			t.Fatalf("%d samples", len(s.history))
		}
		for _, v := range []float64{s.sums.came, s.sums.sent, s.sums.lost, s.sums.events, s.sums.ranks, s.top.rate, s.full.rate, s.trial.rate} {
			if math.IsNaN(v) || v < 0 {
				t.Fatalf("server %d: %+v, top %+v, full %+v, trial %+v", id, s.sums, s.top, s.full, s.trial)
			}
		}
	}
	if total > max(g.cfg.MaxTotal, 1)+len(g.servers)-1 { // who joins has one in any case
		t.Fatalf("%d connections in all, of %d", total, g.cfg.MaxTotal)
	}
}

// A server that lies as well as it can gets what the limits allow, and its
// neighbours what they need.
func TestLiarBesideHonest(t *testing.T) {
	g := New(Config{})
	honest := longLossy()
	m := newPathSim(1, Config{}, honest)
	m.g = g
	g.Join(7)
	for at := pathStep; at < 30*time.Second; at += pathStep {
		g.Sample(7, int64(at/ms)*1e6, 100*ms, true) // its rate rises and rises
		n := uint64(at / pathStep)
		g.Report(7, 1, Report{Sent: 1000 * n, Lost: 20 * n, Events: 20 * n, Ranks: 20 * n * 300, MinRTT: 100 * ms, LowRTT: 100 * ms, HighRTT: 100 * ms})
		m.run(at + pathTick)
		g.Opened(7, g.Want(7))
	}
	if n := g.Want(7); n > defaultPerServer {
		t.Errorf("the liar has %d connections", n)
	}
	if n := honest.now(); n < 24 {
		t.Errorf("its neighbour has %d connections", n)
	}
}

// Packets that a queue loses at once when it runs over say nothing of the path.
func TestOverflowSaysNothingOfThePath(t *testing.T) {
	g := New(Config{})
	g.Join(0)
	g.Report(0, 1, Report{Sent: 5, Lost: 0})
	g.Report(0, 1, Report{Sent: 105, Lost: 20, Events: 1, Ranks: 900})
	s := g.servers[0]
	if !s.overflow || s.sums.lost != 0 || s.sums.sent != 0 || s.sums.events != 1 {
		t.Errorf("after an overflow: %t, %+v", s.overflow, s.sums)
	}
	g.Step(pathEpoch, true)
	if s.overflow || s.times.overflow != pathEpoch {
		t.Errorf("overflow at %v, want at the step", s.times.overflow)
	}
	g.Report(0, 1, Report{Sent: 1105, Lost: 28, Events: 3, Ranks: 1900})
	if s.overflow || s.sums != (sums{sent: 1000, lost: 8, events: 3, ranks: 1.9}) {
		t.Errorf("after random losses: %t, %+v", s.overflow, s.sums)
	}
}

// A step after which more is lost is undone, and none is made for a while.
func TestLossThatGrowsWithUs(t *testing.T) {
	g := New(Config{})
	g.Join(0)
	var r Report
	r.MinRTT, r.LowRTT, r.HighRTT = 50*ms, 50*ms, 50*ms
	most := 0
	for at := pathStep; at < 8*time.Second; at += pathStep {
		n := uint64(g.Want(0))
		g.Opened(0, int(n))
		g.Sample(0, int64(n)*1e5, 50*ms, true) // twice the number carries twice as much
		r.Sent += 200 * n
		if n > 1 || at%(2*pathStep) == 0 {
			r.Lost, r.Events, r.Ranks = r.Lost+max(4*(n-1), 1), r.Events+1, r.Ranks+500
		}
		g.Report(0, 1, r)
		g.Step(pathEpoch.Add(at), at > 4*time.Second) // some losses are seen first
		most = max(most, g.Want(0))
	}
	if n := g.Want(0); most < 8 || n > 4 {
		t.Errorf("%d connections, at most %d: want few, after a step that was undone", n, most)
	}
}
