package growth

import (
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// The simulated paths carry roughly what was measured on real ones: 6 Mbit/s
// with one connection, 48 with 8, 93 with 16, 134 with 32.
func TestPathIsLikeTheMeasuredOne(t *testing.T) {
	for _, c := range []struct{ conns, least, most int }{{1, 4, 9}, {8, 36, 66}, {16, 70, 125}, {32, 110, 200}} {
		got := typical(func(seed uint64) int {
			s := longLossy()
			m := newPathSim(seed, Config{Fixed: c.conns}, s)
			m.run(10 * time.Second)
			s.total = 0
			m.run(20 * time.Second)
			return int(s.total * 8 / 1e6 / 10)
		})
		if got < c.least || got > c.most {
			t.Errorf("%d connections: got %d Mbit/s, want %d to %d", c.conns, got, c.least, c.most)
		}
	}
}

// A lossy path has most of the connections that fill it within 3 s, typically,
// and is full soon after.
func TestLossyPaths(t *testing.T) {
	for _, c := range []struct {
		name        string
		mbits       float64
		rtt         time.Duration
		loss        float64
		soon, carry int // connections after 3 s; Mbit/s from 5 to 15 s
	}{
		{"100 ms, 0.1 %", 200, 100 * ms, 0.001, 24, 160},
		{"40 ms, 1 %", 100, 40 * ms, 0.01, 16, 80},
		{"10 ms, 1 %", 200, 10 * ms, 0.01, 8, 160},
		{"300 ms, 0.1 %", 50, 300 * ms, 0.001, 8, 30},
	} {
		var soon []int
		carried := typical(func(seed uint64) int {
			s := &pathServer{link: newPathLink(c.mbits, 50*ms), rtt: c.rtt, loss: c.loss}
			m := newPathSim(seed, Config{}, s)
			m.run(3*time.Second + pathTick)
			soon = append(soon, s.now())
			m.run(5 * time.Second)
			s.total = 0
			m.run(15 * time.Second)
			return int(s.total * 8 / 1e6 / 10)
		})
		if slices.Sort(soon); soon[len(soon)/2] < c.soon {
			t.Errorf("%s: %d connections after 3 s, want %d", c.name, soon, c.soon)
		}
		if carried < c.carry {
			t.Errorf("%s: %d Mbit/s, want %d", c.name, carried, c.carry)
		}
	}
}

// A path lacks connections if losses come without a queue and those that it may
// have do not fill it. Neither a path that is full lacks some, nor one beside
// others at a full queue.
func TestLacksConnectionsOnlyWithoutAQueue(t *testing.T) {
	for _, c := range []struct {
		name   string
		cfg    Config
		mbits  float64
		loss   float64
		others int
		want   bool
	}{
		{"far from full", Config{MaxPerServer: 8}, 200, 0.01, 0, true},
		{"full", Config{}, 100, 0.001, 0, false},
		{"no loss", Config{MaxPerServer: 1}, 100, 0, 0, false},
		{"beside others", Config{MaxPerServer: 1}, 100, 0, 4, false},
	} {
		l := newPathLink(c.mbits, 20*ms)
		servers := []*pathServer{{link: l, rtt: 40 * ms, loss: c.loss, join: 5 * time.Second}}
		if c.others > 0 {
			servers = append(servers, &pathServer{link: l, rtt: 40 * ms, others: c.others})
		}
		m := newPathSim(1, c.cfg, servers...)
		did := false
		for i := range 250 {
			m.run(time.Duration(i) * 100 * time.Millisecond)
			did = did || m.g.Lacks(0)
		}
		if did != c.want {
			t.Errorf("%s: lacks %t, want %t", c.name, did, c.want)
		}
	}
}

// A path that loses nothing but what its own queue cannot hold stays with one
// connection.
func TestCleanPaths(t *testing.T) {
	for _, c := range []struct {
		mbits      float64
		rtt, queue time.Duration
	}{{100, 40 * ms, 100 * ms}, {200, 10 * ms, 50 * ms}, {50, 80 * ms, 50 * ms}, {500, 100 * ms, 100 * ms}} {
		for seed := range uint64(pathSeeds) {
			s := &pathServer{link: newPathLink(c.mbits, c.queue), rtt: c.rtt}
			newPathSim(seed, Config{}, s).run(30 * time.Second)
			if n := s.most(0, 30*time.Second); n > 1 {
				t.Errorf("%+v, seed %d: %d connections, want one", c, seed, n)
			}
		}
	}
}

// Beside others at a full queue a server has at most two connections.
func TestBesideOthers(t *testing.T) {
	for _, queue := range []time.Duration{5 * ms, 20 * ms, 100 * ms} {
		for others := 1; others <= 4; others++ {
			for seed := range uint64(pathSeeds) {
				l := newPathLink(100, queue)
				s := &pathServer{link: l, rtt: 40 * ms, join: 8 * time.Second}
				newPathSim(seed, Config{}, s, &pathServer{link: l, rtt: 40 * ms, others: others}).run(40 * time.Second)
				if n := s.most(8*time.Second, 40*time.Second); n > 2 {
					t.Errorf("queue %v, %d others, seed %d: %d connections, want at most 2", queue, others, seed, n)
				}
			}
		}
	}
}

// When others come later and fill the link, connections are given back. When
// they are gone, they are opened again.
func TestGivesConnectionsBack(t *testing.T) {
	const come, leave = 10 * time.Second, 80 * time.Second
	for _, queue := range []time.Duration{20 * ms, 50 * ms} {
		before, with, after := 0, 0, 0
		with = typical(func(seed uint64) int {
			l := newPathLink(200, queue)
			s := &pathServer{link: l, rtt: 40 * ms, loss: 0.002}
			m := newPathSim(seed, Config{}, s, &pathServer{link: l, rtt: 40 * ms, others: 40, join: come, leave: leave})
			m.run(come)
			before = max(before, s.now())
			m.run(leave)
			with := s.now()
			m.run(leave + 40*time.Second)
			after = max(after, s.now())
			return with
		})
		if before < 20 || with > before/4 || after < 20 {
			t.Errorf("queue %v: %d connections, %d with the others, %d once they are gone", queue, before, with, after)
		}
	}
}

// Half of what a lossy path needs is tried at most once a minute, and given up
// when nobody takes the rest.
func TestGiftThatNobodyTakes(t *testing.T) {
	for seed := range uint64(3) {
		s := longLossy()
		newPathSim(seed, Config{}, s).run(70 * time.Second)
		gifts := 0
		for i := 51; i < len(s.counts); i++ {
			if was := s.counts[i-1]; s.counts[i] == (was+1)/2 {
				gifts++
			}
		}
		if gifts > 2 || s.now() < 24 {
			t.Errorf("seed %d: %d times half, %d connections in the end", seed, gifts, s.now())
		}
	}
}

// A server that reports nothing has at most mostBlind connections, if they
// bring something.
func TestWithoutReports(t *testing.T) {
	for seed := range uint64(pathSeeds) {
		lossy, clean := longLossy(), &pathServer{link: newPathLink(100, 50*ms), rtt: 40 * ms}
		lossy.silent, clean.silent = true, true
		newPathSim(seed, Config{}, lossy, clean).run(60 * time.Second)
		if n := lossy.now(); n != mostBlind || lossy.most(0, 60*time.Second) > mostBlind {
			t.Errorf("seed %d: %d connections on a lossy path, at most %d", seed, n, lossy.most(0, 60*time.Second))
		}
		if n := clean.most(0, 60*time.Second); n > 2 {
			t.Errorf("seed %d: %d connections on a clean path", seed, n)
		}
	}
}

// What forbids more connections: a short path, a busy processor, too little to
// do, a full client.
func TestWhatForbidsMoreConnections(t *testing.T) {
	never := func(time.Duration) bool { return false }
	short := longLossy()
	short.rtt, short.loss = 4*ms, 0.02
	idle := longLossy()
	idle.busy = never
	for name, s := range map[string]*pathServer{"short": short, "idle": idle} {
		newPathSim(1, Config{}, s).run(30 * time.Second)
		if n := s.most(0, 30*time.Second); n > 1 {
			t.Errorf("%s: %d connections, want one", name, n)
		}
	}
	s := longLossy()
	m := newPathSim(1, Config{}, s)
	m.cpuFree = false
	m.run(20 * time.Second)
	if n := s.most(0, 20*time.Second); n > 1 {
		t.Errorf("%d connections without a processor, want one", n)
	}
	m.cpuFree = true
	m.run(30 * time.Second)
	if n := s.now(); n < 8 {
		t.Errorf("%d connections once the processor is free", n)
	}
}

// The limits hold, whatever the paths need, and are used.
func TestLimits(t *testing.T) {
	servers := []*pathServer{longLossy(), longLossy(), longLossy(), longLossy()}
	m := newPathSim(1, Config{MaxPerServer: 10, MaxTotal: 24}, servers...)
	m.run(60 * time.Second)
	most := 0
	for i := range servers[0].counts {
		n := 0
		for _, s := range servers {
			n += s.counts[i]
			if s.counts[i] > 10 {
				t.Fatalf("%d connections to one server", s.counts[i])
			}
		}
		most = max(most, n)
	}
	if most > 24 || most < 20 {
		t.Errorf("%d connections at most, want 20 to 24", most)
	}
}

// A number that the user has set stays, within what all servers together may
// have.
func TestFixedNumberStays(t *testing.T) {
	for _, c := range []struct{ servers, want int }{{1, 64}, {2, 48}, {3, 32}, {200, 1}} {
		g := New(Config{Fixed: 64})
		for id := range c.servers {
			g.Join(id)
		}
		g.Step(pathEpoch, true)
		if got := g.Want(0); got != c.want {
			t.Errorf("%d servers: %d connections each, want %d", c.servers, got, c.want)
		}
	}
}

// A connection that does not come is no longer wanted: at once if somebody says
// so, else after openTime.
func TestConnectionsThatFail(t *testing.T) {
	for _, told := range []bool{true, false} {
		g := New(Config{})
		g.Join(0)
		s := g.servers[0]
		s.look(pathEpoch)
		s.begin(8, pathEpoch)
		g.Opened(0, 3)
		if told {
			for range 9 {
				g.Failed(0)
			}
		}
		g.Step(pathEpoch.Add(ms), true)
		if got := g.Want(0); told && got != 3 || !told && got != 8 {
			t.Errorf("told %t: %d connections", told, got)
		}
		g.Step(pathEpoch.Add(openTime+2*ms), true)
		if got := g.Want(0); got != 3 {
			t.Errorf("told %t: %d connections after a while, want those that are there", told, got)
		}
	}
}
