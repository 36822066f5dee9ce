package schedule_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// One server that is slow from the start, or becomes so, does not set the pace
// of a window. The whole takes hardly longer than with the others alone, or
// than all together could.
func TestSlowServerInAWindow(t *testing.T) {
	const rate, rtt = 20 * mb, 20 * time.Millisecond
	cfg := layout(1000*mb, mb)
	alone := 50 * time.Second
	for _, ratio := range []float64{1, 0.5, 0.2, 0.1, 0.05, 0.01} {
		for _, window := range []int{4, 8, 32, 128} {
			slow := simServer{rate: ratio * rate, rtt: rtt}
			turns := simServer{rate: rate, rtt: rtt, changes: []change{{10 * time.Second, ratio * rate}}}
			for name, other := range map[string]simServer{"slow": slow, "becomes slow": turns} {
				servers := []simServer{{rate: rate, rtt: rtt}, other}
				m, best := runWindow(t, cfg, servers, window), bound(cfg, servers)
				// With few chunks a slow server has no work
				// that it could do in time.
				want := min(alone, max(best*11/10, best+(alone-best)*8/time.Duration(window))) + 2*time.Second
				if m.now > want {
					t.Errorf("%s, %v of the other's rate, %d chunks: took %v, want %v (bound %v)", name, ratio, window, m.now, want, best)
				}
				if got := float64(m.s.Duplicates()); got > 0.03*float64(cfg.Content.Size()) {
					t.Errorf("%s, %v of the other's rate, %d chunks: %v bytes fetched twice", name, ratio, window, got)
				}
			}
		}
	}
}

// Over all kinds of servers, a smaller window costs more, but not much. Nothing
// outside of it is ever asked for.
func TestWindowSimulation(t *testing.T) {
	for window, want := range map[int]float64{8: 1.6, 32: 1.2, 128: 1.08} {
		var sum, worst float64
		for seed := range uint64(simSeeds / 5) {
			rng := rand.New(rand.NewPCG(seed, 4))
			cfg, servers := smallWorld.draw(rng)
			cfg = layout(cfg.Content.Size(), cfg.Content.Size()/512)
			ratio := runWindow(t, cfg, servers, window).now.Seconds() / bound(cfg, servers).Seconds()
			sum += ratio
			worst = max(worst, ratio)
		}
		mean := sum / float64(simSeeds/5)
		t.Logf("a window of %d chunks: time / bound: mean %.3f, worst %.3f", window, mean, worst)
		if mean > want {
			t.Errorf("a window of %d chunks: mean %.3f times the bound, want %.2f", window, mean, want)
		}
	}
}

// Servers that stall, die and come back delay a window, and do not end it.
func TestWindowSimulationWithFaults(t *testing.T) {
	var met injury
	seeds := simSeeds / 5
	slow := 0
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 5))
		cfg, servers := smallWorld.draw(rng)
		addChanges(rng, cfg, servers)
		addRefusals(rng, cfg, servers)
		cfg = layout(cfg.Content.Size(), cfg.Content.Size()/256)
		m, best := runWindow(t, cfg, servers, 64), bound(cfg, servers)
		if m.now > 2*best+20*time.Second {
			slow++
			t.Logf("seed %d: took %v, bound %v, %+v", seed, m.now, best, m.met)
		}
		met.stalls += m.met.stalls
		met.deaths += m.met.deaths
		met.refusals += m.met.refusals
		met.copies += m.met.copies
	}
	if slow > 1+seeds/30 {
		t.Errorf("%d of %d took more than 2 × bound + 20 s", slow, seeds)
	}
	if met.stalls < seeds/2 || met.deaths < seeds/10 || met.refusals < seeds/2 || met.copies < seeds {
		t.Errorf("%+v: too few faults were met", met)
	}
}
