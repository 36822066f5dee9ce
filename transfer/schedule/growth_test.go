package schedule_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/schedule"
)

// A growthDesk gives exact rates: one try at a time, without a path.
type growthDesk struct {
	*schedule.Growth
	t     *testing.T
	now   time.Time
	rates map[int]float64 // bytes a second, by server
	idle  map[int]bool
	rtt   time.Duration
	rtts  map[int]time.Duration // instead of rtt
	stuck bool                  // connections are neither opened nor closed
	noCPU bool
}

func newGrowthDesk(t *testing.T, cfg schedule.GrowthConfig, servers ...int) *growthDesk {
	d := &growthDesk{
		Growth: schedule.NewGrowth(cfg), t: t, now: simEpoch, rates: make(map[int]float64),
		idle: make(map[int]bool), rtt: 20 * time.Millisecond,
	}
	for _, s := range servers {
		d.rates[s] = 1e6
		d.Join(s, d.now)
	}
	return d
}

// pass lets time pass; the rates wobble by 10 %, so that they are not steady.
func (d *growthDesk) pass(t time.Duration) {
	for end := d.now.Add(t); d.now.Before(end); {
		d.now = d.now.Add(pathStep)
		wobble := 1.1
		if d.now.UnixMilli()/100%2 == 0 {
			wobble = 0.9
		}
		for s, rate := range d.rates {
			rtt, ok := d.rtts[s]
			if !ok {
				rtt = d.rtt
			}
			d.Sample(s, int64(rate*wobble*pathStep.Seconds()), rtt, !d.idle[s], d.now)
		}
		d.Step(d.now, !d.noCPU)
		if !d.stuck {
			for s := range d.rates {
				d.Opened(s, d.Want(s), d.now)
			}
		}
	}
}

func (d *growthDesk) want(server, want int) {
	d.t.Helper()
	if got := d.Want(server); got != want {
		d.t.Fatalf("after %v: got %d connections to server %d, want %d", d.now.Sub(simEpoch), got, server, want)
	}
}

// tries waits until the server is tried with n connections.
func (d *growthDesk) tries(server, n int) {
	d.t.Helper()
	for range 600 {
		if d.Want(server) == n {
			return
		}
		d.pass(pathStep)
	}
	d.want(server, n)
}

func TestGain(t *testing.T) {
	cases := []struct {
		name string
		rise float64
		want int // after the try with 2
	}{
		{"doubled", 2, 4},
		{"more than a quarter", 1.3, 4},
		{"less than a quarter", 1.2, 1},
		{"as before", 1, 1},
		{"less", 0.8, 1},
	}
	for _, c := range cases {
		d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
		d.tries(1, 2)
		d.rates[1] *= c.rise
		d.pass(1500 * time.Millisecond)
		t.Log(c.name)
		d.want(1, c.want)
	}
}

// What one server gains is no gain if another loses it. What another server
// gains is not its own.
func TestGainOfTheTotal(t *testing.T) {
	cases := []struct {
		name         string
		own, another float64
		want         int
	}{
		{"taken from the other", 1.6e6, 0.4e6, 1},
		{"more than taken", 2.4e6, 0.6e6, 2},
		{"the other one's rise", 1.0e6, 3.0e6, 1},
		{"the other varies as before", 1.3e6, 0.9e6, 2},
	}
	for _, c := range cases {
		d := newGrowthDesk(t, schedule.GrowthConfig{MaxTotal: 3}, 1, 2)
		d.tries(1, 2)
		d.rates[1], d.rates[2] = c.own, c.another
		d.pass(1500 * time.Millisecond)
		if got := d.Want(1); got != c.want { // MaxTotal leaves no room for the next try
			t.Errorf("%s: got %d connections, want %d", c.name, got, c.want)
		}
	}
}

// Two servers try together and rise by what a third loses. The one with the
// smaller rise for its rate is undone.
func TestWeakestIsUndone(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{MaxTotal: 5}, 1, 2, 3)
	d.rates[3] = 3e6
	d.tries(1, 2)
	d.want(2, 2)
	d.rates[1], d.rates[2], d.rates[3] = 2.2e6, 1.4e6, 2.0e6
	d.pass(1500 * time.Millisecond)
	if one, two := d.Want(1), d.Want(2); one < 2 || two != 1 {
		t.Errorf("got %d and %d connections, want 2 or more and 1", one, two)
	}
}

// A server whose try was undone may carry less for a while. That is not charged
// to those that still try.
func TestLossByAnUndoneTry(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{MaxTotal: 4}, 1, 2)
	d.rtts = map[int]time.Duration{2: 150 * time.Millisecond}
	d.pass(1300 * time.Millisecond)
	d.want(1, 2)
	d.tries(2, 2)
	d.rates[2] = 1.6e6
	d.tries(1, 1)
	d.want(2, 2)
	d.rates[1] = 0.2e6
	d.pass(2500 * time.Millisecond)
	if got := d.Want(2); got < 2 {
		t.Errorf("got %d connections to the server that gained, want 2 or more", got)
	}
}

// Connections to be closed count until they are closed.
func TestNoRoomBeforeClosing(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{MaxTotal: 3}, 1, 2)
	d.tries(1, 2)
	d.pass(pathStep)
	d.stuck = true
	d.tries(1, 1)
	d.pass(20 * time.Second)
	d.want(2, 1)
	d.stuck = false
	d.tries(2, 2)
}

func TestKeptTryWithoutProcessor(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
	d.tries(1, 2)
	d.noCPU = true
	d.rates[1] *= 2
	for range 100 {
		d.pass(pathStep)
		d.want(1, 2)
	}
}

func TestUndoneTryWaits(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
	d.tries(1, 2)
	d.tries(1, 1)
	undone := d.now
	d.tries(1, 2)
	if got := d.now.Sub(undone); got < 30*time.Second || got > 32*time.Second {
		t.Errorf("tried again after %v, want 30 to 32 s", got)
	}
}

func TestTriedAgainWhenTheRateFalls(t *testing.T) {
	cases := []struct {
		name string
		to   float64
		grow float64 // by step
		want bool
	}{
		{"by a quarter", 0.75, 1, false},
		{"by two fifths", 0.6, 1, true},
		{"and comes back", 0.4, 1.02, false},
	}
	for _, c := range cases {
		d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
		d.tries(1, 2)
		d.tries(1, 1)
		d.rates[1] *= c.to
		for range 60 {
			d.pass(pathStep)
			d.rates[1] = min(d.rates[1]*c.grow, 1e6)
			if d.Want(1) > 1 {
				break
			}
		}
		if got := d.Want(1) > 1; got != c.want {
			t.Errorf("%s: tried again: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestGrowthNotBusy(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
	d.idle[1] = true
	d.pass(20 * time.Second)
	d.want(1, 1)
	d.idle[1] = false
	d.tries(1, 2)
	d.idle[1] = true
	d.rates[1] /= 4
	d.pass(20 * time.Second)
	d.want(1, 2) // neither kept nor undone
	d.idle[1] = false
	d.rates[1] *= 8
	d.tries(1, 4)
}

func TestSilenceIsNotJudged(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
	d.tries(1, 2)
	d.pass(300 * time.Millisecond)
	d.rates[1] = 0
	d.pass(10 * time.Second)
	d.want(1, 2)
}

// A server that leaves in the middle of a try says nothing about the try of
// another: no pause.
func TestAnotherLeavesDuringATry(t *testing.T) {
	for _, silent := range []bool{false, true} {
		d := newGrowthDesk(t, schedule.GrowthConfig{MaxTotal: 3}, 1, 2)
		d.tries(1, 2)
		d.want(2, 1) // no room
		if silent {
			d.rates[2] = 0
		} else {
			d.Leave(2)
			delete(d.rates, 2)
		}
		d.tries(1, 1)
		undone := d.now
		d.tries(1, 2)
		if got := d.now.Sub(undone); got > 3*time.Second {
			t.Errorf("silent %v: tried again after %v, want less than 3 s", silent, got)
		}
	}
}

func TestLeaveDuringATry(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
	d.tries(1, 2)
	d.Leave(1)
	d.want(1, 1)
	d.pass(5 * time.Second)
	d.want(1, 1)
	d.Join(1, d.now)
	d.want(1, 1)
	d.tries(1, 2)
}

func TestConnectionsThatAreNotOpened(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
	d.stuck = true
	d.tries(1, 2)
	d.pass(4 * time.Second)
	d.want(1, 2)
	d.pass(2 * time.Second)
	d.want(1, 1)
	d.pass(28 * time.Second)
	d.want(1, 1)
}

func TestGrowthWhenTheRoundTripFalls(t *testing.T) {
	d := newGrowthDesk(t, schedule.GrowthConfig{}, 1)
	d.tries(1, 2)
	d.rates[1] *= 2
	d.tries(1, 4)
	d.rtt = 4 * time.Millisecond
	d.pass(pathStep)
	d.want(1, 1)
	d.pass(time.Minute)
	d.want(1, 1)
}

func TestFixed(t *testing.T) {
	cases := []struct {
		cfg     schedule.GrowthConfig
		servers int
		want    int
	}{
		{schedule.GrowthConfig{Fixed: 1}, 1, 1},
		{schedule.GrowthConfig{Fixed: 16}, 3, 16},
		{schedule.GrowthConfig{Fixed: 32}, 3, 21},
		{schedule.GrowthConfig{Fixed: 64}, 1, 64},
		{schedule.GrowthConfig{Fixed: 8}, 100, 1},
		{schedule.GrowthConfig{Fixed: 8, MaxTotal: 10}, 2, 5},
	}
	for _, c := range cases {
		g := schedule.NewGrowth(c.cfg)
		for s := range c.servers {
			g.Join(s, simEpoch)
		}
		for i := range 100 {
			now := simEpoch.Add(time.Duration(i) * pathStep)
			for s := range c.servers {
				g.Sample(s, int64(1000*i), 50*time.Millisecond, true, now)
			}
			g.Step(now, true)
		}
		for s := range c.servers {
			if got := g.Want(s); got != c.want {
				t.Errorf("%+v, %d servers: got %d, want %d", c.cfg, c.servers, got, c.want)
			}
		}
	}
}

// Whatever the paths and the caller do, the limits hold and there is always one
// connection. A number is raised to at most its double, or goes back to what it
// was before.
func TestGrowthBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := schedule.GrowthConfig{
			MaxPerServer: rapid.IntRange(1, 40).Draw(t, "per server"),
			MaxTotal:     rapid.IntRange(1, 70).Draw(t, "total"),
		}
		g := schedule.NewGrowth(cfg)
		now := simEpoch
		open := make(map[int]int)
		earlier := make(map[int][]int) // numbers that led to the present one
		rtts := []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second}
		for range rapid.IntRange(1, 40).Draw(t, "phases") {
			id := rapid.IntRange(0, 4).Draw(t, "server")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				g.Leave(id)
				delete(open, id)
			case 1, 2, 3:
				g.Join(id, now)
				open[id], earlier[id] = 1, []int{1}
			}
			rate := rapid.Float64Range(0, 1e7).Draw(t, "rate")
			rtt := rapid.SampledFrom(rtts).Draw(t, "rtt")
			busy, cpu := rapid.IntRange(0, 4).Draw(t, "busy") > 0, rapid.IntRange(0, 4).Draw(t, "cpu") > 0
			opens := rapid.IntRange(0, 4).Draw(t, "opens") > 0
			for range rapid.IntRange(1, 40).Draw(t, "steps") {
				now = now.Add(pathStep)
				sum := 0
				for s, n := range open {
					sum += max(n, g.Want(s))
					g.Sample(s, int64(rate*float64(n)*float64(s+1)*0.1), rtt, busy || s != id, now)
				}
				g.Step(now, cpu)
				after := 0
				for s, n := range open {
					after += max(n, g.Want(s))
					earlier[s] = checkNumber(t, earlier[s], g.Want(s), cfg.MaxPerServer, rtt == time.Millisecond)
					if rtt == time.Millisecond && g.Want(s) != 1 {
						t.Fatalf("%d connections at %v", g.Want(s), rtt)
					}
				}
				if after > max(sum, cfg.MaxTotal) {
					t.Fatalf("%d connections, before %d, limit %d", after, sum, cfg.MaxTotal)
				}
				for s := range open {
					if opens {
						open[s] = g.Want(s)
						g.Opened(s, open[s], now)
					}
				}
			}
		}
	})
}

// checkNumber checks a step to n connections and returns the numbers that lead
// to n. way are those that led to the number before.
func checkNumber(t *rapid.T, way []int, n, most int, near bool) []int {
	was := way[len(way)-1]
	switch {
	case n < 1 || n > most:
		t.Fatalf("%d connections, want 1 to %d", n, most)
	case n > 2*was:
		t.Fatalf("from %d to %d connections", was, n)
	case n > was:
		return append(way, n)
	case n == 1 && near:
		return []int{1}
	case n < was:
		if before := way[len(way)-2]; n != before {
			t.Fatalf("undone from %d to %d connections, want %d", was, n, before)
		}
		return way[:len(way)-1]
	}
	return way
}
