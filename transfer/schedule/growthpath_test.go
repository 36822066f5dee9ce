package schedule_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// The paths of these tests carry connections as quic-go's NewReno drives them.
// The window begins with 32 packets and doubles each round trip until the first
// loss or until the queue delays. Then it grows by one packet a round trip and
// falls to 70 % at a loss. Loss is random, or that of a full queue.

const (
	pathTick  = 5 * time.Millisecond
	pathStep  = 100 * time.Millisecond // between two samples
	pathMSS   = 1250.0                 // bytes
	pathFirst = 32.0                   // packets
)

// A pathConn is one connection.
type pathConn struct {
	opened time.Duration // handshake done
	window float64       // packets
	slow   bool          // slow start
	until  time.Duration // no further cut before
}

// A bottleneck is a link with a queue that drops what it cannot hold.
type bottleneck struct {
	rate  float64 // packets a second
	queue float64 // packets
	room  float64 // packets
}

func newBottleneck(mbits float64, queue time.Duration) *bottleneck {
	rate := mbits * 1e6 / 8 / pathMSS
	return &bottleneck{rate: rate, room: rate * queue.Seconds()}
}

// A pathServer is what lies between one server and the client.
type pathServer struct {
	link  *bottleneck
	rtt   time.Duration
	loss  float64
	join  time.Duration
	leave time.Duration // 0: never
	busy  func(t time.Duration) bool

	conns   []*pathConn
	opening []time.Duration // when wanted connections will be open
	came    float64
	total   float64 // bytes
	counts  []int   // wanted, by step
	joined  bool
}

type pathSim struct {
	rng     *rand.Rand
	g       *schedule.Growth
	servers []*pathServer
	now     time.Duration
	cpuFree bool
}

func newPathSim(seed uint64, cfg schedule.GrowthConfig, servers ...*pathServer) *pathSim {
	return &pathSim{
		rng: rand.New(rand.NewPCG(seed, 4)), g: schedule.NewGrowth(cfg), servers: servers, cpuFree: true,
	}
}

func (m *pathSim) clock() time.Time { return simEpoch.Add(m.now) }

// poisson draws how many of many unlikely events happen.
func (m *pathSim) poisson(mean float64) (n int) {
	for p := m.rng.ExpFloat64(); p < mean; p += m.rng.ExpFloat64() {
		n++
	}
	return n
}

// run goes on until t.
func (m *pathSim) run(t time.Duration) {
	for ; m.now < t; m.now += pathTick {
		if m.now%pathStep == 0 {
			m.step()
		}
		links := make(map[*bottleneck][]*pathServer)
		for _, s := range m.servers {
			links[s.link] = append(links[s.link], s)
		}
		for _, s := range m.servers {
			if of := links[s.link]; len(of) > 0 && of[0] == s {
				m.carry(s.link, of)
			}
		}
	}
}

func (m *pathSim) step() {
	for id, s := range m.servers {
		in := m.now >= s.join && (s.leave == 0 || m.now < s.leave)
		switch {
		case in && !s.joined:
			s.joined = true
			s.conns = append(s.conns, &pathConn{opened: m.now, window: pathFirst, slow: true})
			m.g.Join(id, m.clock())
		case !in && s.joined:
			s.joined, s.conns, s.opening = false, nil, nil
			m.g.Leave(id)
		}
		if s.joined {
			m.g.Sample(id, int64(s.came), s.rtt, s.isBusy(m.now), m.clock())
		}
		s.came = 0
	}
	m.g.Step(m.clock(), m.cpuFree)
	for id, s := range m.servers {
		if s.joined {
			m.obey(id, s)
		}
	}
}

// obey opens and closes connections as the client would.
func (m *pathSim) obey(id int, s *pathServer) {
	want := m.g.Want(id)
	s.counts = append(s.counts, want)
	for len(s.opening) > 0 && s.opening[0] <= m.now {
		s.conns = append(s.conns, &pathConn{opened: m.now, window: pathFirst, slow: true})
		s.opening = s.opening[1:]
	}
	if n := len(s.conns); n > want {
		s.conns, s.opening = s.conns[:want], nil
	}
	s.opening = s.opening[:min(len(s.opening), max(want-len(s.conns), 0))]
	for n := len(s.conns) + len(s.opening); n < want; n++ {
		s.opening = append(s.opening, m.now+2*s.rtt)
	}
	m.g.Opened(id, len(s.conns), m.clock())
}

func (s *pathServer) isBusy(t time.Duration) bool { return s.busy == nil || s.busy(t) }

// carry moves what one link carries in a tick.
func (m *pathSim) carry(l *bottleneck, servers []*pathServer) {
	dt := pathTick.Seconds()
	wait := time.Duration(l.queue / l.rate * float64(time.Second))
	var offered float64
	for _, s := range servers {
		for _, c := range s.conns {
			if s.isBusy(m.now) && m.now >= c.opened+s.rtt {
				offered += c.window / (s.rtt + wait).Seconds() * dt
			}
		}
	}
	goes := min(l.queue+offered, l.rate*dt)
	l.queue += offered - goes
	dropped := max(l.queue-l.room, 0)
	l.queue -= dropped
	for _, s := range servers {
		rtt := s.rtt + wait
		for _, c := range s.conns {
			if !s.isBusy(m.now) || m.now < c.opened+s.rtt {
				continue
			}
			share := c.window / rtt.Seconds() * dt / offered
			bytes := share * goes * pathMSS * (1 - s.loss)
			s.came += bytes
			s.total += bytes
			lost := m.poisson(share*goes*s.loss + share*dropped)
			c.grow(m.now, rtt, wait, lost > 0)
		}
	}
}

func (c *pathConn) grow(now, rtt, wait time.Duration, lost bool) {
	turns := pathTick.Seconds() / rtt.Seconds()
	late := wait > min(max((rtt-wait)/8, 4*time.Millisecond), 16*time.Millisecond)
	switch {
	case lost && now >= c.until:
		c.window = max(c.window*0.7, 2)
		c.slow = false
		c.until = now + rtt
	case now < c.until:
	case c.slow && late && c.window >= 16:
		c.slow = false
	case c.slow:
		c.window *= math.Pow(2, turns)
	default:
		c.window += turns
	}
}

// reaches returns when the server first had n connections; false if it never
// had.
func (s *pathServer) reaches(n int) (time.Duration, bool) {
	for i, c := range s.counts {
		if c >= n {
			return s.join + time.Duration(i)*pathStep, true
		}
	}
	return 0, false
}

// above returns the share of the time with more than n connections.
func (s *pathServer) above(n int) float64 {
	k := 0
	for _, c := range s.counts {
		if c > n {
			k++
		}
	}
	return float64(k) / float64(max(len(s.counts), 1))
}

// longLossy is the path of the motivating measurement: 200 Mbit/s, 100 ms,
// 0.1 % loss.
func longLossy() *pathServer {
	return &pathServer{link: newBottleneck(200, 50*time.Millisecond), rtt: 100 * time.Millisecond, loss: 0.001}
}

// mixed are three servers of 200, 100 and 50 Mbit/s at 10, 40 and 80 ms.
func mixed(loss float64) []*pathServer {
	const queue = 50 * time.Millisecond
	return []*pathServer{
		{link: newBottleneck(200, queue), rtt: 10 * time.Millisecond, loss: loss},
		{link: newBottleneck(100, queue), rtt: 40 * time.Millisecond, loss: loss},
		{link: newBottleneck(50, queue), rtt: 80 * time.Millisecond, loss: loss},
	}
}

const pathSeeds = 11

// typical returns the median of what f returns for each seed.
func typical(f func(seed uint64) int) int {
	var v []int
	for seed := range uint64(pathSeeds) {
		v = append(v, f(seed))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// The simulated paths carry roughly what was measured on real ones: 6 Mbit/s
// with one connection, 48 with 8, 93 with 16, 134 with 32.
func TestPathIsLikeTheMeasuredOne(t *testing.T) {
	for _, c := range []struct{ conns, least, most int }{{1, 4, 8}, {8, 36, 60}, {16, 70, 110}, {32, 110, 180}} {
		got := typical(func(seed uint64) int {
			s := longLossy()
			m := newPathSim(seed, schedule.GrowthConfig{Fixed: c.conns}, s)
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

func TestGrowthOnLossyPaths(t *testing.T) {
	const ms = time.Millisecond
	cases := []struct {
		name    string
		servers func() []*pathServer
		at      time.Duration
		want    []int // by server: least count at that time, typically
	}{
		{"one, 100 ms, 0.1 %", func() []*pathServer { return []*pathServer{longLossy()} }, 10 * time.Second, []int{16}},
		{"one, 100 ms, 0.1 %, later", func() []*pathServer { return []*pathServer{longLossy()} }, 25 * time.Second, []int{32}},
		{"one, 40 ms, 1 %", func() []*pathServer {
			return []*pathServer{{link: newBottleneck(100, 50*ms), rtt: 40 * ms, loss: 0.01}}
		}, 8 * time.Second, []int{32}},
		{"one, 10 ms, 1 %", func() []*pathServer {
			return []*pathServer{{link: newBottleneck(200, 50*ms), rtt: 10 * ms, loss: 0.01}}
		}, 5 * time.Second, []int{16}},
		{"two, 100 ms, 0.1 %", func() []*pathServer { return []*pathServer{longLossy(), longLossy()} }, 12 * time.Second, []int{16, 16}},
		{"three, 1 %", func() []*pathServer { return mixed(0.01) }, 10 * time.Second, []int{16, 16, 8}},
	}
	for _, c := range cases {
		for i, want := range c.want {
			got := typical(func(seed uint64) int {
				servers := c.servers()
				newPathSim(seed, schedule.GrowthConfig{}, servers...).run(c.at + pathTick)
				return servers[i].counts[len(servers[i].counts)-1]
			})
			if got < want {
				t.Errorf("%s: got %d connections to server %d after %v, want %d or more", c.name, got, i, c.at, want)
			}
		}
	}
}

// There is one try in 30 s, and only after the first 10 s, in which most
// transfers end.
func TestGrowthOnCleanPaths(t *testing.T) {
	for seed := range uint64(pathSeeds) {
		servers := mixed(0)
		newPathSim(seed, schedule.GrowthConfig{}, servers...).run(70 * time.Second)
		for i, s := range servers {
			if got, ok := s.reaches(2); !ok || got < 10*time.Second {
				t.Errorf("seed %d: server %d has 2 connections after %v, want one try after 10 s", seed, i, got)
			}
			if _, ok := s.reaches(4); ok {
				t.Errorf("seed %d: server %d has 4 connections, want no more than 2", seed, i)
			}
			if got := s.above(1); got > 0.08 {
				t.Errorf("seed %d: server %d has more than one connection for %.0f %% of the time", seed, i, 100*got)
			}
		}
	}
}

func TestNoGrowthWhenNear(t *testing.T) {
	s := &pathServer{link: newBottleneck(200, 50*time.Millisecond), rtt: 4 * time.Millisecond, loss: 0.02}
	newPathSim(1, schedule.GrowthConfig{}, s).run(30 * time.Second)
	if got := s.above(1); got > 0 {
		t.Errorf("got more than one connection at 4 ms for %.2f of the time", got)
	}
}

func TestNoGrowthWithoutProcessor(t *testing.T) {
	s := longLossy()
	m := newPathSim(1, schedule.GrowthConfig{}, s)
	m.cpuFree = false
	m.run(20 * time.Second)
	if got := s.above(1); got > 0 {
		t.Fatalf("got more than one connection for %.2f of the time", got)
	}
	m.cpuFree = true
	m.run(40 * time.Second)
	if _, ok := s.reaches(8); !ok {
		t.Error("no growth once the processor is free")
	}
}

// In the end all connections that the limit allows are open.
func TestGrowthIsLimitedInAll(t *testing.T) {
	servers := []*pathServer{longLossy(), longLossy(), longLossy(), longLossy()}
	m := newPathSim(1, schedule.GrowthConfig{MaxTotal: 24}, servers...)
	m.run(60 * time.Second)
	most := 0
	for i := range servers[0].counts {
		n := 0
		for _, s := range servers {
			n += s.counts[i]
		}
		most = max(most, n)
	}
	if most > 24 || most < 20 {
		t.Errorf("got %d connections at most, want 20 to 24", most)
	}
}
