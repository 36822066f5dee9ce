package schedule_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// A connection of a simulated server sends what it was asked for at its own
// rate, at most two requests at a time.
type simConn struct {
	rate  float64 // bytes a second
	asked []*simPart
}

// A simPart is one request: bytes of a range.
type simPart struct {
	r      *partedRange
	begins time.Duration // when its first byte comes
	length float64
	left   float64
}

// A partedRange is a range as the loop of fetch has it.
type partedRange struct {
	schedule.Range
	schedule.Parts
	conn  *simConn
	parts []*simPart // asked for, in order
	asked int64      // bytes
	total int64
	came  float64 // bytes without a gap, from its start
	told  float64
}

// A connSim is one server with several connections, in virtual time.
type connSim struct {
	cfg    schedule.Config
	s      *schedule.Schedule
	rtt    time.Duration
	conns  []*simConn
	ranges []*partedRange
	parted bool // ranges are asked for in parts where the schedule says so
	now    time.Duration
	count  int // requests
}

func (c *simConn) ranges(all []*partedRange) (n int) {
	for _, r := range all {
		if r.conn == c {
			n++
		}
	}
	return n
}

// requests is what fetch counts: ranges and parts of others under way.
func (m *connSim) requests(c *simConn) int {
	n := c.ranges(m.ranges)
	for _, p := range c.asked {
		if p.r.conn != c {
			n++
		}
	}
	return n
}

func (m *connSim) pick() *simConn {
	return slices.MinFunc(m.conns, func(a, b *simConn) int { return m.requests(a) - m.requests(b) })
}

// ask asks for the next part of a range on a connection.
func (m *connSim) ask(r *partedRange, c *simConn) {
	n := r.total - r.asked
	if r.Len > 0 {
		n = min(n, r.Len)
	}
	p := &simPart{r: r, begins: m.now + m.rtt, length: float64(n), left: float64(n)}
	r.asked += n
	r.parts = append(r.parts, p)
	c.asked = append(c.asked, p)
	m.count++
}

func (m *connSim) plan() {
	idle := 0
	for _, c := range m.conns {
		if m.requests(c) == 0 {
			idle++
		}
	}
	m.s.Connections(1, len(m.conns), idle)
	for _, g := range m.s.Plan(simEpoch.Add(m.now)).Fetch {
		r := &partedRange{Range: g, conn: m.pick()}
		r.total = m.cfg.Content.Length(g.First, g.Count)
		if m.parted {
			r.Parts = m.s.Parts(g.ID)
		}
		m.ranges = append(m.ranges, r)
		m.ask(r, r.conn)
	}
	for _, c := range m.conns {
		if m.requests(c) > 0 {
			continue
		}
		if r := m.helped(); r != nil {
			m.ask(r, c)
		}
	}
}

// helped returns the range that lacks most parts.
func (m *connSim) helped() (best *partedRange) {
	for _, r := range m.ranges {
		if r.asked < r.total && (best == nil || r.total-r.asked > best.total-best.asked) {
			best = r
		}
	}
	return best
}

// step lets bytes come for a moment.
func (m *connSim) step(d time.Duration) {
	for _, c := range m.conns {
		var sending []*simPart
		for _, p := range c.asked {
			if p.begins <= m.now && len(sending) < 2 {
				sending = append(sending, p)
			}
		}
		budget := c.rate * d.Seconds()
		for i, p := range sending {
			n := min(p.left, budget/float64(len(sending)-i))
			budget -= n
			if p.left -= n; p.left < 0.5 {
				p.left = 0
			}
		}
		c.asked = slices.DeleteFunc(c.asked, func(p *simPart) bool { return p.left == 0 })
	}
	m.now += d
	for _, r := range slices.Clone(m.ranges) {
		m.follow(r)
	}
}

// follow does what the goroutine of a range does.
func (m *connSim) follow(r *partedRange) {
	before := r.came
	r.came = 0
	for _, p := range r.parts {
		r.came += p.length - p.left
		if p.left > 0 {
			break
		}
	}
	for r.asked < r.total && float64(r.asked)-r.came <= float64(r.Ahead) {
		m.ask(r, r.conn)
	}
	for c := r.First; c < r.First+r.Count; c++ {
		end := m.cfg.Content.Length(r.First, c+1-r.First)
		if before < float64(end)-0.5 && r.came >= float64(end)-0.5 {
			m.s.Good(c)
		}
	}
	if r.came >= float64(r.total)-0.5 {
		m.tell(r)
		m.ranges = slices.DeleteFunc(m.ranges, func(o *partedRange) bool { return o == r })
		m.s.End(r.ID)
		m.plan()
	}
}

func (m *connSim) tell(r *partedRange) int64 {
	n := math.Round(r.came) - r.told
	r.told += n
	m.s.Arrived(r.ID, int64(n), simEpoch.Add(m.now))
	return int64(n)
}

// runConns returns how long a file takes, and how long it would if every
// connection sent to the end.
func runConns(t *testing.T, cfg schedule.Config, rates []float64, rtt time.Duration, parted bool) (took, best time.Duration, requests int) {
	m := &connSim{cfg: cfg, s: schedule.New(cfg), rtt: rtt, parted: parted}
	total := 0.0
	for _, rate := range rates {
		m.conns = append(m.conns, &simConn{rate: rate})
		total += rate
	}
	for c := range cfg.Content.Chunks() {
		m.s.Add(c)
	}
	m.s.Join(1, rtt, simEpoch)
	m.plan()
	const step = 2 * time.Millisecond
	var last float64
	for tick := step; !m.s.Done(); tick += step {
		m.step(step)
		if tick%(100*time.Millisecond) == 0 {
			sum := 0.0
			for _, r := range m.ranges {
				m.tell(r)
			}
			for _, r := range m.ranges {
				sum += r.came
			}
			// What came of ranges that have ended is in the chunks.
			sum += float64(m.goodBytes())
			m.s.Sample(1, int64(max(0, sum-last)), rtt, simEpoch.Add(m.now))
			last = max(last, sum)
			m.plan()
		}
		if m.now > simLongest {
			t.Fatal("takes for ever")
		}
	}
	return m.now, rtt + time.Duration(float64(cfg.Content.Size())/total*float64(time.Second)), m.count
}

// goodBytes returns the bytes of chunks of which no range is under way.
func (m *connSim) goodBytes() int64 {
	var open int64
	for _, r := range m.ranges {
		open += r.total
	}
	return m.cfg.Content.Size() - open - m.s.Queued()
}

// TestSlowConnections measures what the end costs where a server has many slow
// connections.
func TestSlowConnections(t *testing.T) {
	for _, test := range []struct {
		name  string
		conns int
		rate  float64 // of each, bytes a second
		rtt   time.Duration
		size  int64
	}{
		{"40 of 5 Mbit/s", 40, 625e3, 100 * time.Millisecond, 300e6},
		{"96 of 0.5 Mbit/s", 96, 57e3, 300 * time.Millisecond, 150e6},
		{"8 of 2 Mbit/s", 8, 250e3, 100 * time.Millisecond, 40e6},
		{"4 of 100 Mbit/s", 4, 12.5e6, 20 * time.Millisecond, 300e6},
	} {
		t.Run(test.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 1))
			rates := make([]float64, test.conns)
			for i := range rates {
				rates[i] = test.rate * (0.6 + 0.8*rng.Float64())
			}
			cfg := layout(test.size, 256<<10)
			whole, best, n := runConns(t, cfg, rates, test.rtt, false)
			parted, _, more := runConns(t, cfg, rates, test.rtt, true)
			t.Logf("bound %v; at once: %v, %d requests; in parts: %v, %d requests", best, whole, n, parted, more)
			if parted > whole+10*time.Millisecond {
				t.Errorf("in parts it takes %v, at once %v", parted, whole)
			}
		})
	}
}

// Only the last chunks of a server with several connections come in parts.
func TestParts(t *testing.T) {
	const chunk = 256 << 10
	for _, test := range []struct {
		name   string
		chunks int64
		conns  int
		rate   int64 // of all connections, bytes a second
		parted bool
	}{
		{"one connection", 4, 1, chunk, false},
		{"far from the end", 100, 4, chunk, false},
		{"quick connections", 9, 4, 100 * chunk, false},
		{"a rate that is not known", 9, 4, 0, false},
		{"the last chunks", 9, 4, chunk, true},
		{"one chunk", 1, 4, chunk, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := layout(test.chunks*chunk, chunk)
			d := newDesk(t, cfg)
			d.join(1, test.rate, 100*time.Millisecond)
			d.Connections(1, test.conns, test.conns)
			r := d.fetch()[0]
			got := d.Parts(r.ID)
			want := schedule.Parts{}
			if test.parted {
				want = schedule.Parts{Len: 32 << 10, Ahead: int64(2 * float64(chunk) / float64(test.conns) / 10)}
			}
			if got != want {
				t.Errorf("parts = %+v, want %+v", got, want)
			}
		})
	}
}

// A range that was asked for before the schedule began is like any other.
func TestRangeFromBeforeTheSchedule(t *testing.T) {
	d := newDesk(t, layout(10*mb, mb))
	d.join(1, mb, 0)
	d.join(2, mb, 0)
	d.Good(9)
	for _, test := range []struct {
		r    schedule.Range
		want bool
	}{
		{schedule.Range{ID: 1, Server: 1, First: 0, Count: 2}, true},
		{schedule.Range{ID: 2, Server: 3, First: 2, Count: 1}, false}, // no such server
		{schedule.Range{ID: 3, Server: 2, First: 1, Count: 2}, false}, // one chunk is given already
		{schedule.Range{ID: 4, Server: 2, First: 8, Count: 2}, false}, // one is good
		{schedule.Range{ID: 5, Server: 2, First: 4, Count: 1}, true},
	} {
		if got := d.Give(test.r, d.now); got != test.want {
			t.Errorf("%+v: got %t, want %t", test.r, got, test.want)
		}
	}
	if got, want := d.Queued(), int64(6*mb); got != want {
		t.Errorf("%d bytes queued, want %d", got, want)
	}
	first, last := schedule.Range{ID: 1, Server: 1, First: 0, Count: 2}, schedule.Range{ID: 5, Server: 2, First: 4, Count: 1}
	d.sent(first, 1)
	d.sent(last, 1)
	given := map[int]bool{0: true, 1: true, 4: true, 9: true}
	for round := 0; len(given) < 10 && round < 10; round++ {
		for _, r := range d.fetch() {
			if r.ID <= 5 {
				t.Errorf("range %+v has an old ID", r)
			}
			for c := r.First; c < r.First+r.Count; c++ {
				if given[c] {
					t.Errorf("chunk %d was given twice", c)
				}
				given[c] = true
			}
			d.finish(r)
		}
	}
	d.finish(first)
	d.finish(last)
	if !d.Done() {
		t.Errorf("given %v, want all chunks", given)
	}
}
