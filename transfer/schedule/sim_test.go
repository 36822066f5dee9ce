package schedule_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// The simulation drives a Schedule with the calls that a transfer makes: all
// counters every tick, and what follows the end of a range. Servers are byte
// counters; their rates and faults are hidden from the schedule.

const (
	simTick    = 100 * time.Millisecond // between two samples
	simDeath   = 5 * time.Second        // until the client notices that a connection is dead
	simCancel  = time.Millisecond       // until a cancelled range has ended
	simLongest = 100_000 * time.Second
)

type simRange struct {
	schedule.Range // Count is what it was asked for
	length         int64
	keep           int           // its chunks that were not given to others
	begins         time.Duration // when its first byte can come
	came           float64       // bytes
	sampled        int64         // bytes that the schedule was told
	heard          time.Duration
	rate           float64       // bytes a second, until the next event
	next           int           // the chunk that comes now
	ends           time.Duration // when it ends by a fault or cancel; simLongest: never
	broken         bool          // ends with a fault of the server
}

// A remnant is what still comes of a range that the client has ended.
type remnant struct {
	server int
	until  time.Duration
	left   float64 // bytes
	rate   float64 // bytes a second, until the next event
}

// An injury counts the faults that a transfer met.
type injury struct{ stalls, deaths, refusals, changes, copies, shrunk, cancelled int }

type sim struct {
	t        *testing.T
	cfg      schedule.Config
	servers  []simServer
	s        *schedule.Schedule
	now      time.Duration
	edges    []time.Duration // when a server changes, those that are not over
	state    []simState      // of the servers, now
	active   []*simRange     // by ID
	remnants []remnant
	failing  []int
	known    []bool // the server has joined and not left
	held     []int  // by chunk: ranges that have it
	good     []bool
	window   int              // chunks that may be asked for from the front on; 0: all
	front    int              // the first chunk that is not good
	arrived  []int64          // by server, since the last sample
	sharing  []int            // by server: ranges that bytes come on
	came     float64          // bytes of ranges
	unread   float64          // bytes of remnants
	lost     float64          // bytes of chunks that were partly received by servers that died or stalled
	late     time.Duration    // when all but 5 % of the bytes were there; 0: not yet
	log      []schedule.Range // handed out, and cancelled: those have a negative ID
	met      injury
}

var simEpoch = time.Unix(1_000_000_000, 0)

func (m *sim) clock() time.Time { return simEpoch.Add(m.now) }

// run simulates a transfer to its end.
func run(t *testing.T, cfg schedule.Config, servers []simServer) *sim {
	return runWindow(t, cfg, servers, 0)
}

// runWindow simulates a transfer whose chunks are taken in order, and at once,
// from a window of window chunks; 0: without a window.
func runWindow(t *testing.T, cfg schedule.Config, servers []simServer, window int) *sim {
	m := &sim{
		t: t, cfg: cfg, servers: servers, s: schedule.New(cfg), failing: make([]int, len(servers)),
		known: make([]bool, len(servers)), held: make([]int, cfg.Content.Chunks()), good: make([]bool, cfg.Content.Chunks()),
		arrived: make([]int64, len(servers)), sharing: make([]int, len(servers)),
		edges: edges(servers), state: make([]simState, len(servers)), window: window,
	}
	for c := range cfg.Content.Chunks() {
		if window == 0 {
			m.s.Add(c)
		}
	}
	for tick := time.Duration(0); !m.s.Done(); {
		m.changeServers()
		if m.now == tick {
			m.tick()
			tick += simTick
		}
		m.setRates()
		m.advance(m.nextEvent(tick))
		m.endRanges()
		if m.now > simLongest {
			t.Fatalf("not done after %v", m.now)
		}
	}
	return m
}

// changeServers lets what is due happen to the servers.
func (m *sim) changeServers() {
	if len(m.edges) == 0 || m.edges[0] > m.now {
		return
	}
	for len(m.edges) > 0 && m.edges[0] <= m.now {
		m.edges = m.edges[1:]
	}
	for i, v := range m.servers {
		before := m.state[i]
		m.state[i] = v.at(m.now)
		if before.rate > 0 && m.state[i].rate > 0 && m.state[i].rate != before.rate {
			m.met.changes++
		}
		if before.rate > 0 && m.state[i].bad && m.state[i].kind == stall {
			m.met.stalls++
		}
	}
}

// tick is transfer's sample, and what connections say.
func (m *sim) tick() {
	for i, v := range m.servers {
		now, before := m.state[i], simState{}
		if now.bad && now.kind == death {
			before = v.at(m.now - simDeath)
		}
		switch {
		case !m.known[i] && m.now >= v.join && !(now.bad && now.kind == death):
			m.known[i] = true
			m.s.Join(i, v.rtt, m.clock())
			for _, file := range v.lacks {
				m.s.Lack(i, m.cfg.Content.FirstChunk(file), m.cfg.Content.FileChunks(file))
			}
		case m.known[i] && before.bad && before.kind == death:
			m.known[i] = false
			m.met.deaths++
			m.s.Leave(i)
			m.cancel(func(r *simRange) bool { return r.Server == i })
		}
	}
	for _, r := range m.active {
		m.s.Arrived(r.ID, m.count(r), simEpoch.Add(r.heard))
	}
	for i, v := range m.servers {
		m.s.Sample(i, m.arrived[i], v.rtt, m.clock())
		m.arrived[i] = 0
	}
	m.plan()
	if m.late == 0 && m.came-float64(m.s.Duplicates()) >= 0.95*float64(m.cfg.Content.Size()) {
		m.late = m.now
	}
}

func (m *sim) plan() {
	if m.window > 0 {
		for m.front < m.cfg.Content.Chunks() && m.good[m.front] {
			m.front++
		}
		m.s.Window(m.front, m.front+m.window)
	}
	a := m.s.Plan(m.clock())
	m.met.cancelled += len(a.Cancel)
	m.met.shrunk += len(a.Shrink)
	for _, id := range a.Cancel {
		m.log = append(m.log, schedule.Range{ID: -id})
	}
	m.cancel(func(r *simRange) bool { return slices.Contains(a.Cancel, r.ID) })
	for _, k := range a.Shrink {
		m.shrink(k)
	}
	for _, f := range a.Fetch {
		if m.window > 0 && f.First+f.Count > m.front+m.window {
			m.t.Fatalf("at %v: %+v is outside of the window from %d on", m.now, f, m.front)
		}
		for _, span := range m.cfg.Content.Spans(f.First, f.Count) {
			if slices.Contains(m.servers[f.Server].lacks, span.File) {
				m.t.Fatalf("at %v: %+v: the server lacks file %d", m.now, f, span.File)
			}
		}
		for c := f.First; c < f.First+f.Count; c++ {
			if m.held[c]++; m.good[c] || f.Second != (m.held[c] == 2) || m.held[c] > 2 {
				m.t.Fatalf("at %v: %+v: chunk %d: good %v, in the hands of %d", m.now, f, c, m.good[c], m.held[c])
			}
		}
		if f.Second {
			m.met.copies++
		}
		length := m.cfg.Content.Length(f.First, f.Count)
		r := &simRange{
			Range: f, length: length, keep: f.Count, begins: m.now + m.servers[f.Server].rtt, heard: m.now,
			next: f.First, ends: simLongest,
		}
		if v := m.state[f.Server]; v.bad && v.kind == refuse {
			m.met.refusals++
			r.ends, r.broken = r.begins, true
		}
		m.active = append(m.active, r)
		m.log = append(m.log, f)
	}
}

// shrink takes chunks from a range. It ends before the first of them, or behind
// it if that has begun.
func (m *sim) shrink(k schedule.Shrink) {
	i := slices.IndexFunc(m.active, func(r *simRange) bool { return r.ID == k.ID })
	if i < 0 || k.Count < 1 || k.Count >= m.active[i].keep {
		m.t.Fatalf("at %v: %+v shrinks no range", m.now, k)
	}
	r := m.active[i]
	for c := r.First + k.Count; c < r.First+r.keep; c++ {
		m.held[c]--
	}
	r.keep = k.Count
}

func (m *sim) cancel(which func(*simRange) bool) {
	for _, r := range m.active {
		if which(r) {
			r.ends = min(r.ends, m.now+simCancel)
		}
	}
}

func (m *sim) count(r *simRange) int64 {
	n := min(int64(math.Round(r.came)), r.length) - r.sampled
	r.sampled += n
	m.arrived[r.Server] += n
	return n
}

// setRates sets the rate of each active range: a server shares its rate evenly,
// and a limit slows all down.
func (m *sim) setRates() {
	clear(m.sharing)
	for _, r := range m.active {
		if r.rate = 0; r.begins <= m.now && !r.broken {
			r.rate = m.state[r.Server].rate
		}
		if r.rate > 0 {
			m.sharing[r.Server]++
		}
	}
	for i := range m.remnants {
		r := &m.remnants[i]
		if r.rate = m.state[r.server].rate; r.rate > 0 {
			m.sharing[r.server]++
		}
	}
	var total float64
	for i, n := range m.sharing {
		if n > 0 {
			total += m.state[i].rate
		}
	}
	slower := 1.0
	if m.cfg.Limit > 0 {
		slower = min(1, float64(m.cfg.Limit)/total)
	}
	for _, r := range m.active {
		if r.rate > 0 {
			r.rate *= slower / float64(m.sharing[r.Server])
		}
	}
	for i := range m.remnants {
		if r := &m.remnants[i]; r.rate > 0 {
			r.rate *= slower / float64(m.sharing[r.server])
		}
	}
}

// nextEvent returns when something happens next.
func (m *sim) nextEvent(tick time.Duration) time.Duration {
	next := tick
	consider := func(t time.Duration) {
		if t > m.now {
			next = min(next, t)
		}
	}
	takes := func(bytes, rate float64) {
		if rate > 0 {
			consider(m.now + time.Duration(math.Ceil(min(bytes/rate*float64(time.Second), float64(time.Hour)))))
		}
	}
	for _, r := range m.active {
		consider(r.begins)
		consider(r.ends)
		takes(float64(r.length)-r.came, r.rate)
		if r.keep < r.Count {
			takes(m.endOf(r, max(r.next, r.First+r.keep-1))-r.came, r.rate)
		}
	}
	for _, r := range m.remnants {
		consider(r.until)
		takes(r.left, r.rate)
	}
	if len(m.edges) > 0 {
		consider(m.edges[0])
	}
	return next
}

// endOf returns the bytes of a range with which one of its chunks is whole.
func (m *sim) endOf(r *simRange, chunk int) float64 {
	n := m.cfg.Content.Length(r.First, chunk+1-r.First)
	return float64(n)
}

// advance lets bytes come until then, during which no rate changes.
func (m *sim) advance(then time.Duration) {
	seconds := (then - m.now).Seconds()
	for _, r := range m.active {
		if r.rate == 0 {
			continue
		}
		before := r.came
		r.came = min(r.came+r.rate*seconds, float64(r.length))
		if float64(r.length)-r.came < 0.5 {
			r.came = float64(r.length)
		}
		m.came += r.came - before
		r.heard = then
		for r.next < r.First+r.Count && !r.shrunk() && r.came > m.endOf(r, r.next)-0.5 {
			if !m.good[r.next] {
				m.s.Good(r.next)
				m.good[r.next] = true
			}
			r.next++
		}
	}
	m.remnants = slices.DeleteFunc(m.remnants, func(r remnant) bool { return r.until <= then })
	for i := range m.remnants {
		r := &m.remnants[i]
		n := min(r.left, r.rate*seconds)
		r.left -= n
		m.unread += n
	}
	m.now = then
}

// shrunk reports whether a range has come to those chunks that it lost.
func (r *simRange) shrunk() bool { return r.next >= r.First+r.keep && r.keep < r.Count }

// endRanges is transfer's ended.
func (m *sim) endRanges() {
	for {
		i := slices.IndexFunc(m.active, func(r *simRange) bool {
			return r.ends <= m.now || r.came == float64(r.length) || r.shrunk()
		})
		if i < 0 {
			return
		}
		r := m.active[i]
		m.active = slices.Delete(m.active, i, i+1)
		m.s.Arrived(r.ID, m.count(r), simEpoch.Add(r.heard))
		m.s.End(r.ID)
		m.countLosses(r)
		if r.broken {
			pause := min(250*time.Millisecond<<min(m.failing[r.Server], 16), 15*time.Second)
			m.failing[r.Server]++
			m.s.Pause(r.Server, m.clock().Add(pause))
		} else if r.came == float64(r.length) {
			m.failing[r.Server] = 0
		}
		m.plan()
	}
}

// countLosses settles what an ended range held.
func (m *sim) countLosses(r *simRange) {
	for c := r.First; c < r.First+r.keep; c++ {
		m.held[c]--
	}
	if left := float64(r.length) - r.came; left > 0 && m.known[r.Server] && r.begins <= m.now {
		m.remnants = append(m.remnants, remnant{server: r.Server, until: m.now + m.servers[r.Server].rtt, left: left})
	}
	if m.state[r.Server].rate == 0 && r.next < r.First+r.Count {
		m.lost += r.came - m.endOf(r, r.next-1)
	}
}
