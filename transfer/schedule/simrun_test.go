package schedule_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// All times here are virtual.

func TestSimulation(t *testing.T) {
	for _, r := range simulate(t, simSeeds, false) {
		if r.over() > 3 {
			t.Errorf("%+v: more than 1.5 × bound + 3 s", r)
		}
		if r.wasted > 1e-6 {
			t.Errorf("%+v: bytes were fetched twice", r)
		}
	}
}

func TestSimulationWithFaults(t *testing.T) {
	var met injury
	for _, r := range simulate(t, simSeeds, true) {
		if r.over() > 10 {
			t.Errorf("%+v: more than 1.5 × bound + 10 s", r)
		}
		met.stalls += r.met.stalls
		met.deaths += r.met.deaths
		met.refusals += r.met.refusals
	}
	if met.stalls < simSeeds || met.deaths < simSeeds/10 || met.refusals < simSeeds {
		t.Errorf("%+v: too few faults were met", met)
	}
}

// With a limit, the time is the file's size over the limit: two streams a
// server and a second ahead suffice.
func TestSimulationWithLimit(t *testing.T) {
	for seed := range uint64(simSeeds / 5) {
		rng := rand.New(rand.NewPCG(seed, 2))
		cfg, servers := drawServers(rng)
		var total float64
		for _, v := range servers {
			total += v.rate
		}
		cfg.Limit = int64(total / (2 + 3*rng.Float64()))
		got, best := run(t, cfg, servers).now, bound(cfg, servers)
		if got > best*3/2+3*time.Second || got < best {
			t.Errorf("seed %d: took %v at a limit, bound %v", seed, got, best)
		}
	}
}

func TestSimulationIsDeterministic(t *testing.T) {
	for seed := range uint64(simSeeds / 10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		cfg, servers := drawServers(rng)
		addFaults(rng, cfg, servers)
		first, second := run(t, cfg, servers), run(t, cfg, servers)
		if first.now != second.now || !slices.Equal(first.log, second.log) {
			t.Errorf("seed %d: two runs differ: %v with %d ranges, %v with %d", seed, first.now, len(first.log), second.now, len(second.log))
		}
	}
}

func TestScenarios(t *testing.T) {
	const s = time.Second
	gaps := func(kind faultKind, first, length, every, until time.Duration) (all []fault) {
		for at := first; at < until; at += every {
			all = append(all, fault{kind, at, at + length})
		}
		return all
	}
	ever := func(kind faultKind, from time.Duration) []fault { return []fault{{kind, from, simLongest}} }
	tests := []struct {
		name    string
		chunks  int64
		servers []simServer
		within  time.Duration
	}{
		{"the quicker one falls silent for ever", 100, []simServer{
			{rate: 9 * mb, faults: ever(stall, 4*s)}, {rate: mb},
		}, 75 * s},
		{"silent for ever with the last chunk", 10, []simServer{
			{rate: mb / 2, faults: ever(stall, 4*s)}, {rate: mb},
		}, 15 * s},
		{"the only one is silent for a minute", 10, []simServer{
			{rate: mb, faults: gaps(stall, 3*s, 60*s, time.Hour, 4*s)},
		}, 72 * s},
		{"silent for a minute, and the other for ever", 10, []simServer{
			{rate: mb, faults: gaps(stall, 2*s, 60*s, time.Hour, 3*s)}, {rate: mb, faults: ever(stall, 5*s)},
		}, 90 * s},
		{"two in turn", 40, []simServer{
			{rate: mb, faults: gaps(stall, 0, 10*s, 20*s, time.Hour)}, {rate: mb, faults: gaps(stall, 10*s, 10*s, 20*s, time.Hour)},
		}, 80 * s},
		{"gaps that are shorter than a chunk takes", 4, []simServer{
			{rate: mb / 60, faults: gaps(stall, 10*s, 3*s, 20*s, 10*time.Hour)},
			{rate: mb / 60, faults: gaps(stall, 0, 3*s, 20*s, 10*time.Hour)},
		}, 10 * time.Minute},
		{"one that fails for ever and one that was silent", 6, []simServer{
			{rate: mb, faults: gaps(stall, 2*s, 6*s, time.Hour, 3*s)}, {rate: mb, faults: ever(refuse, 0)},
		}, 40 * s},
		{"one that hardly sends and one that was silent", 20, []simServer{
			{rate: mb, faults: gaps(stall, 2*s, 6*s, time.Hour, 3*s)}, {rate: mb / 50},
		}, 110 * s}, // two chunks of the slow one
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := layout(tt.chunks*mb, mb)
			m := run(t, cfg, tt.servers)
			t.Logf("took %v, bound %v, %+v", m.now, bound(cfg, tt.servers), m.met)
			if m.now > tt.within {
				t.Errorf("took %v, want at most %v", m.now, tt.within)
			}
		})
	}
}
