package schedule_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/schedule"
)

// The simulation drives a Schedule with the calls that a transfer makes: a look
// at all counters every tick, and what a range's end brings with it. Servers
// are byte counters; their rates and faults are hidden from the schedule.

const (
	simTick    = 100 * time.Millisecond // between two looks
	simDeath   = 5 * time.Second        // until the client notices that a connection is dead
	simCancel  = time.Millisecond       // until a cancelled range has ended
	simLongest = 100_000 * time.Second
)

// A fault is a time in which a server does not do its work.
type fault struct {
	kind     faultKind
	from, to time.Duration
}

type faultKind int

const (
	stall  faultKind = iota // the connection lives, nothing comes
	death                   // nothing comes, the client notices, the server joins again at the end
	refuse                  // every range ends at once without a byte
)

// A simServer is what a server is in truth.
type simServer struct {
	rate   float64       // bytes a second
	rtt    time.Duration // from a request to its first byte
	join   time.Duration
	faults []fault
}

func (v simServer) at(t time.Duration) (faultKind, bool) {
	for _, f := range v.faults {
		if t >= f.from && t < f.to {
			return f.kind, true
		}
	}
	return 0, false
}

func (v simServer) sends(t time.Duration) bool {
	_, bad := v.at(t)
	return t >= v.join && !bad
}

type simRange struct {
	schedule.Range
	length  int64
	begins  time.Duration // when its first byte can come
	came    float64       // bytes
	sampled int64         // bytes that the schedule was told
	heard   time.Duration
	rate    float64       // bytes a second, until the next event
	next    int           // the chunk that comes now
	ends    time.Duration // when it ends by a fault or cancel; simLongest: it does not
	broken  bool          // ends with a fault of the server
}

// An injury counts the faults that met a transfer.
type injury struct{ stalls, deaths, refusals int }

type sim struct {
	t       *testing.T
	cfg     schedule.Config
	servers []simServer
	s       *schedule.Schedule
	now     time.Duration
	active  []*simRange // by ID
	failing []int
	known   []bool // the server has joined and not left
	held    []bool // by chunk: in a range
	good    []bool
	arrived []int64          // by server, since the last sample
	sharing []int            // by server: ranges that bytes come on
	fetched float64          // bytes, also those that were thrown away
	log     []schedule.Range // handed out, and cancelled: those have a negative ID
	met     injury
}

var simEpoch = time.Unix(1_000_000_000, 0)

func (m *sim) clock() time.Time { return simEpoch.Add(m.now) }

// run simulates a transfer to its end.
func run(t *testing.T, cfg schedule.Config, servers []simServer) *sim {
	m := &sim{
		t: t, cfg: cfg, servers: servers, s: schedule.New(cfg), failing: make([]int, len(servers)),
		known: make([]bool, len(servers)), held: make([]bool, cfg.Chunks), good: make([]bool, cfg.Chunks),
		arrived: make([]int64, len(servers)), sharing: make([]int, len(servers)),
	}
	for c := range cfg.Chunks {
		m.s.Add(c)
	}
	for tick := time.Duration(0); !m.s.Done(); {
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

// tick is transfer's sample, and what connections say.
func (m *sim) tick() {
	for i, v := range m.servers {
		kind, bad := v.at(m.now)
		before, was := v.at(m.now - simDeath)
		dead := bad && kind == death && was && before == death
		switch {
		case !m.known[i] && m.now >= v.join && !(bad && kind == death):
			m.known[i] = true
			m.s.Join(i, v.rtt, m.clock())
		case m.known[i] && dead:
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
}

func (m *sim) plan() {
	a := m.s.Plan(m.clock())
	m.met.stalls += len(a.Cancel)
	for _, id := range a.Cancel {
		m.log = append(m.log, schedule.Range{ID: -id})
	}
	m.cancel(func(r *simRange) bool { return slices.Contains(a.Cancel, r.ID) })
	for _, f := range a.Fetch {
		for c := f.First; c < f.First+f.Count; c++ {
			if m.held[c] || m.good[c] {
				m.t.Fatalf("at %v: chunk %d is handed out a second time", m.now, c)
			}
			m.held[c] = true
		}
		_, length := m.cfg.Span(f)
		r := &simRange{Range: f, length: length, begins: m.now + m.servers[f.Server].rtt, heard: m.now, next: f.First, ends: simLongest}
		if kind, bad := m.servers[f.Server].at(m.now); bad && kind == refuse {
			m.met.refusals++
			r.ends, r.broken = r.begins, true
		}
		m.active = append(m.active, r)
		m.log = append(m.log, f)
	}
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
		r.rate = 0
		if r.begins <= m.now && !r.broken && m.servers[r.Server].sends(m.now) {
			r.rate = m.servers[r.Server].rate
			m.sharing[r.Server]++
		}
	}
	var total float64
	for i, n := range m.sharing {
		if n > 0 {
			total += m.servers[i].rate
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
}

// nextEvent returns when something happens next.
func (m *sim) nextEvent(tick time.Duration) time.Duration {
	next := tick
	consider := func(t time.Duration) {
		if t > m.now {
			next = min(next, t)
		}
	}
	for _, r := range m.active {
		consider(r.begins)
		consider(r.ends)
		if r.rate > 0 {
			left := (float64(r.length) - r.came) / r.rate * float64(time.Second)
			consider(m.now + time.Duration(math.Ceil(min(left, float64(time.Hour)))))
		}
	}
	for _, v := range m.servers {
		for _, f := range v.faults {
			consider(f.from)
			consider(f.to)
		}
	}
	return next
}

// advance lets bytes come until then, during which no rate changes.
func (m *sim) advance(then time.Duration) {
	for _, r := range m.active {
		if r.rate == 0 {
			continue
		}
		before := r.came
		r.came = min(r.came+r.rate*(then-m.now).Seconds(), float64(r.length))
		if float64(r.length)-r.came < 0.5 {
			r.came = float64(r.length)
		}
		m.fetched += r.came - before
		r.heard = then
		for r.next < r.First+r.Count {
			_, whole := m.cfg.Span(schedule.Range{First: r.First, Count: r.next + 1 - r.First})
			if r.came < float64(whole) {
				break
			}
			m.s.Good(r.next)
			m.good[r.next] = true
			r.next++
		}
	}
	m.now = then
}

// endRanges is transfer's ended.
func (m *sim) endRanges() {
	for {
		i := slices.IndexFunc(m.active, func(r *simRange) bool {
			return r.ends <= m.now || r.came == float64(r.length)
		})
		if i < 0 {
			return
		}
		r := m.active[i]
		m.active = slices.Delete(m.active, i, i+1)
		m.s.Arrived(r.ID, m.count(r), simEpoch.Add(r.heard))
		for c := r.First; c < r.First+r.Count; c++ {
			m.held[c] = false
		}
		m.s.End(r.ID)
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

// bound returns when all bytes could be here if every server always sent at its
// full rate, but for its faults.
func bound(cfg schedule.Config, servers []simServer) time.Duration {
	var edges []time.Duration
	for _, v := range servers {
		edges = append(edges, v.join)
		for _, f := range v.faults {
			edges = append(edges, f.from, f.to)
		}
	}
	edges = append(edges, 0, simLongest)
	slices.Sort(edges)
	left := float64(cfg.Size)
	for i, from := range edges[:len(edges)-1] {
		var rate float64
		for _, v := range servers {
			if v.sends(from) {
				rate += v.rate
			}
		}
		if cfg.Limit > 0 {
			rate = min(rate, float64(cfg.Limit))
		}
		carried := rate * (edges[i+1] - from).Seconds()
		if carried >= left {
			return from + time.Duration(left/rate*float64(time.Second))
		}
		left -= carried
	}
	return simLongest
}

func layout(size, chunk int64) schedule.Config {
	return schedule.Config{Size: size, ChunkSize: chunk, Chunks: int((size + chunk - 1) / chunk)}
}

// drawServers returns 1 to 20 servers, and a file that takes them 10 to 100
// seconds, of 40 to 200 chunks a server.
func drawServers(rng *rand.Rand) (schedule.Config, []simServer) {
	servers := make([]simServer, 1+rng.IntN(20))
	var total float64
	for i := range servers {
		servers[i] = simServer{
			rate: 1e5 * math.Pow(100, rng.Float64()),
			rtt:  time.Duration(math.Pow(300, rng.Float64()) * float64(time.Millisecond)),
		}
		total += servers[i].rate
	}
	size := total * (10 + 90*rng.Float64())
	chunks := float64(len(servers)) * (40 + 160*rng.Float64())
	return layout(int64(size), int64(size/chunks)), servers
}

// addFaults injures some of the servers, but never the first one for ever.
func addFaults(rng *rand.Rand, cfg schedule.Config, servers []simServer) {
	whole := bound(cfg, servers).Seconds()
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for i := range servers {
		for at := whole * rng.Float64(); rng.IntN(2) == 0; at += whole * rng.Float64() {
			f := fault{kind: faultKind(rng.IntN(3)), from: seconds(at), to: seconds(at + 0.5 + 20*rng.Float64())}
			if i > 0 && rng.IntN(4) == 0 {
				f.to = simLongest
			}
			servers[i].faults = append(servers[i].faults, f)
			at = f.to.Seconds()
		}
		if i > 0 && rng.IntN(5) == 0 {
			servers[i].join = seconds(whole * rng.Float64())
		}
	}
}

// simulated says how a run went against its bound.
type simulated struct {
	seed       uint64
	took, best time.Duration
	ratio      float64
	wasted     float64 // bytes that were thrown away, as a share of the file
	servers    int
	met        injury
}

// over returns the seconds by which a run took longer than 1.5 times its bound.
func (r simulated) over() float64 { return (r.took - r.best*3/2).Seconds() }

func simulate(t *testing.T, seeds int, faults bool) []simulated {
	var all []simulated
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg, servers := drawServers(rng)
		if faults {
			addFaults(rng, cfg, servers)
		}
		m := run(t, cfg, servers)
		best := bound(cfg, servers)
		all = append(all, simulated{
			seed: seed, took: m.now, best: best, ratio: m.now.Seconds() / best.Seconds(), servers: len(servers),
			wasted: m.fetched/float64(cfg.Size) - 1, met: m.met,
		})
	}
	slices.SortFunc(all, func(a, b simulated) int { return cmp.Compare(a.ratio, b.ratio) })
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1))].ratio }
	t.Logf("%d seeds: time / bound: median %.3f, 90 %% %.3f, 99 %% %.3f, worst %+v", seeds, at(0.5), at(0.9), at(0.99), all[len(all)-1])
	return all
}
