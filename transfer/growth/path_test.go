package growth

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The paths of these tests carry connections as quic-go's NewReno drives them.
// The window begins with 32 packets and doubles each round trip until the first
// loss or until the queue delays. Then it grows by one packet a round trip and
// falls to 70 % at a loss. Loss is random, or that of a full queue.

const (
	pathTick  = 5 * time.Millisecond
	pathStep  = 100 * time.Millisecond // between two steps
	pathMSS   = 1400.0                 // bytes
	pathFirst = 32.0                   // packets
	pathNoise = 2 * time.Millisecond   // that round trips vary by without a queue
	pathRing  = 256                    // round trips that a loss is ranked among
)

var pathEpoch = time.Unix(1e9, 0)

// A pathConn is one connection.
type pathConn struct {
	id     int
	opened time.Duration // the handshake was done
	window float64       // packets
	slow   bool          // slow start
	until  time.Duration // no further cut before
	sent   float64
	report Report
}

// A pathLink is a link with a queue that drops what it cannot hold.
type pathLink struct {
	rate  float64 // packets a second
	queue float64 // packets
	room  float64 // packets
	trips []time.Duration
}

func newPathLink(mbits float64, queue time.Duration) *pathLink {
	rate := mbits * 1e6 / 8 / pathMSS
	return &pathLink{rate: rate, room: rate * queue.Seconds()}
}

// A pathServer is what lies between one server and the client, or some other
// flows on a link.
type pathServer struct {
	link   *pathLink
	rtt    time.Duration
	loss   float64
	others int           // that number of other flows, which nobody steers; 0: a server
	join   time.Duration // when it comes
	leave  time.Duration // when it goes; 0: never
	silent bool          // reports nothing
	busy   func(t time.Duration) bool

	conns   []*pathConn
	opening []time.Duration // when wanted connections will be open
	ids     int
	came    float64
	total   float64 // bytes
	counts  []int   // wanted, by step
	joined  bool
}

type pathSim struct {
	rng     *rand.Rand
	g       *Growth
	servers []*pathServer
	now     time.Duration
	cpuFree bool
}

func newPathSim(seed uint64, cfg Config, servers ...*pathServer) *pathSim {
	return &pathSim{rng: rand.New(rand.NewPCG(seed, 4)), g: New(cfg), servers: servers, cpuFree: true}
}

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
		links := make(map[*pathLink][]*pathServer)
		for _, s := range m.servers {
			links[s.link] = append(links[s.link], s)
		}
		for _, s := range m.servers {
			if of := links[s.link]; of[0] == s {
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
			for range max(s.others, 1) {
				s.dial(m.now)
			}
			if s.others == 0 {
				m.g.Join(id)
			}
		case !in && s.joined:
			s.joined, s.conns, s.opening = false, nil, nil
			m.g.Leave(id)
		}
		if s.joined && s.others == 0 {
			m.tell(id, s)
		}
		s.came = 0
	}
	m.g.Step(pathEpoch.Add(m.now), m.cpuFree)
	for id, s := range m.servers {
		if s.joined && s.others == 0 {
			m.obey(id, s)
		}
	}
}

// tell says what came from a server, and what its sender reports.
func (m *pathSim) tell(id int, s *pathServer) {
	m.g.Sample(id, int64(s.came), s.rtt, s.isBusy(m.now))
	var low, high time.Duration
	if trips := slices.Sorted(slices.Values(s.link.trips)); len(trips) > 0 {
		low, high = trips[len(trips)/10], trips[len(trips)*9/10]
	}
	for _, c := range s.conns {
		if s.silent || m.now < c.opened+2*s.rtt {
			continue
		}
		c.report.LowRTT, c.report.HighRTT = s.rtt+low, s.rtt+high
		c.report.MinRTT, c.report.SmoothedRTT = s.rtt, c.report.LowRTT
		c.report.Sent, c.report.Window = uint64(c.sent), uint64(c.window*pathMSS)
		m.g.Report(id, c.id, c.report)
	}
}

func (s *pathServer) dial(now time.Duration) {
	s.ids++
	s.conns = append(s.conns, &pathConn{id: s.ids, opened: now, window: pathFirst, slow: true})
}

// obey opens and closes connections as the client would.
func (m *pathSim) obey(id int, s *pathServer) {
	want := m.g.Want(id)
	s.counts = append(s.counts, want)
	for len(s.opening) > 0 && s.opening[0] <= m.now {
		s.dial(m.now)
		s.opening = s.opening[1:]
	}
	for n := len(s.conns); n > want; n-- {
		m.g.Closed(id, s.conns[n-1].id)
		s.conns, s.opening = s.conns[:n-1], nil
	}
	s.opening = s.opening[:min(len(s.opening), max(want-len(s.conns), 0))]
	for n := len(s.conns) + len(s.opening); n < want; n++ {
		s.opening = append(s.opening, m.now+2*s.rtt)
	}
	m.g.Opened(id, len(s.conns))
}

func (s *pathServer) isBusy(t time.Duration) bool { return s.busy == nil || s.busy(t) }

// carry moves what one link carries in a tick.
func (m *pathSim) carry(l *pathLink, servers []*pathServer) {
	dt := pathTick.Seconds()
	wait := time.Duration(l.queue / l.rate * float64(time.Second))
	trip := wait + time.Duration(m.rng.Int64N(int64(pathNoise)))
	if l.trips = append(l.trips, trip); len(l.trips) > pathRing {
		l.trips = l.trips[1:]
	}
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
		for _, c := range s.conns {
			if !s.isBusy(m.now) || m.now < c.opened+s.rtt {
				continue
			}
			share := c.window / (s.rtt + wait).Seconds() * dt / offered
			bytes := share * goes * pathMSS * (1 - s.loss)
			s.came += bytes
			s.total += bytes
			c.sent += share * (goes + dropped)
			if lost := m.poisson(share*goes*s.loss + share*dropped); lost > 0 {
				c.report.Lost += uint64(lost)
				c.report.Events++
				c.report.Ranks += rankAmong(l.trips, trip)
				c.cut(m.now, s.rtt+wait)
			}
			c.grow(m.now, s.rtt+wait, wait)
		}
	}
}

// rankAmong returns the share of round trips that are shorter, per mille.
func rankAmong(trips []time.Duration, trip time.Duration) uint64 {
	n := 0
	for _, t := range trips {
		if t < trip {
			n++
		}
	}
	return uint64(n * 1000 / len(trips))
}

func (c *pathConn) cut(now, rtt time.Duration) {
	if now >= c.until {
		c.window = max(c.window*0.7, 2)
		c.slow = false
		c.until = now + rtt
	}
}

func (c *pathConn) grow(now, rtt, wait time.Duration) {
	turns := pathTick.Seconds() / rtt.Seconds()
	late := wait > min(max((rtt-wait)/8, 4*time.Millisecond), 16*time.Millisecond)
	switch {
	case now < c.until:
	case c.slow && late && c.window >= 16:
		c.slow = false
	case c.slow:
		c.window *= math.Pow(2, turns)
	default:
		c.window += turns
	}
}

// most returns the most connections that were wanted in a part of the time.
func (s *pathServer) most(from, to time.Duration) int {
	first := int((from - s.join) / pathStep)
	last := min(int((to-s.join)/pathStep), len(s.counts))
	return slices.Max(s.counts[first:last])
}

// now returns how many connections are wanted.
func (s *pathServer) now() int { return s.counts[len(s.counts)-1] }

// longLossy is a path of 200 Mbit/s and 100 ms with 0.1 % loss.
func longLossy() *pathServer {
	return &pathServer{link: newPathLink(200, 50*time.Millisecond), rtt: 100 * time.Millisecond, loss: 0.001}
}

const pathSeeds = 5

// typical returns the median of what f returns for each seed.
func typical(f func(seed uint64) int) int {
	var v []int
	for seed := range uint64(pathSeeds) {
		v = append(v, f(seed))
	}
	slices.Sort(v)
	return v[len(v)/2]
}
