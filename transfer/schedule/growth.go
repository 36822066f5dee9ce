package schedule

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// More connections to one server fill a long, lossy path that one NewReno
// connection cannot fill, but make a clean path worse. A receiver cannot tell
// the two apart for sure, so Growth tries:
//
//   - A server begins with one connection. A try doubles the number: 2, 4, 8,
//     16, 32, or what the limits leave if that adds at least half. No try
//     begins below minGrowthRTT, while the processor is the limit, or while the
//     server is not busy.
//   - The rate before is measured over max(1 s, 8 round trips), and on until
//     the new connections are open. The rate after is measured over the same
//     time, after settleRTTs of slow start. If half that time already brings
//     enough bytes for the whole, the try is kept early. Its rate after is the
//     rate before of the next try. So a doubling takes 0.8 to 1.7 s at 100 ms.
//   - Slow start carries a lossy path far beyond what it can hold: at 100 ms
//     and 0.1 % loss to ten times that, and it takes 3 s to come down. So the
//     rate before is that of the whole measurement or of its later part,
//     whichever is less. On a full link they are equal.
//   - Gain = the rise of this server's own rate, minus its share of what the
//     other servers lost meanwhile. Losses within the noise measured before the
//     try are ignored. Servers that try at the same time share that loss in
//     proportion to their rises. The rise of one is never credited to another.
//     So if the total rises by less than the sum of their claims, the first to
//     be undone are those whose rise is the smallest part of their rate. A
//     server that closed connections of its own charges its loss to nobody.
//   - A try whose gain is at least a quarter of the rate before is kept.
//     Otherwise it is undone and not repeated for holdTime. The pause ends
//     early when the rate is a third below what it was with or before the try,
//     and does not rise: after an undone try the windows of a clean path grow
//     back, those of a lossy one do not.
//   - A measurement begins again if the server was not busy, was silent, or
//     lacked one of its connections. When another server leaves or falls silent
//     meanwhile, the try is undone and may be repeated at once.
const (
	// minGrowthRTT is the least round trip for more than one connection to
	// a server. Below it one NewReno connection recovers quickly.
	minGrowthRTT = 5 * time.Millisecond
	// A measurement takes measureTime or measureRTTs, whichever is more.
	measureTime = time.Second
	measureRTTs = 8
	// settleRTTs, within minSettle and maxSettle, is the time from the
	// opening of connections to the measurement: one round trip until the
	// first byte, and slow start. Slow start begins with 32 packets, so it
	// meets its first loss after about log2(1 / (32 × loss)) round trips: 2
	// at 1 %, 5 at 0.1 %. The rest of a longer one falls into the
	// measurement, which does not change the answer: a full link carries no
	// more during slow start, and a link with room shows it.
	settleRTTs = 4
	minSettle  = 200 * time.Millisecond
	maxSettle  = time.Second
	// openTime is how long a server may lack connections during a try.
	openTime = 5 * time.Second
	// gainShare is the gain from which a try is kept, as a share of the
	// rate before.
	gainShare = 0.25
	// holdTime is the pause after an undone try. It ends early if the rate
	// falls below fallen times what it was, and the later part of that
	// measurement is below notRising times the whole.
	holdTime  = 30 * time.Second
	fallen    = 2.0 / 3
	notRising = 1.02
	// A single connection whose rate varies by less than steadySpread (mean
	// absolute deviation by mean, between two calls of Step) most likely
	// fills its link: loss makes a NewReno rate swing by 30 %. A full
	// receive window gives a steady rate too, so such a server is tried
	// after steadyTime all the same. Most transfers on clean paths are over
	// by then.
	steadySpread = 0.03
	steadyTime   = 10 * time.Second
	// totalSteps is the number of steps over which the total's variation is
	// taken.
	totalSteps = 10
	// A silence of silentTime or silentRTTs, whichever is more, is no rate.
	silentTime = 500 * time.Millisecond
	silentRTTs = 4

	defaultPerServer = 32
	defaultTotal     = 64
)

// GrowthConfig bounds the connections of one transfer. The zero value leaves
// the number to Growth.
type GrowthConfig struct {
	Fixed        int // connections to each server, whatever MaxPerServer is; 0: Growth decides
	MaxPerServer int // connections to one server; 0: 32
	MaxTotal     int // connections to all servers; each may have one in any case; 0: 64
}

// A Growth decides how many connections each server should have. Like Schedule
// it is pure and belongs to one goroutine. Servers are numbered by the caller.
type Growth struct {
	cfg     GrowthConfig
	servers map[int]*grower
	totals  []float64 // rates of all servers between the last steps, bytes a second
	stepped time.Time // the last step, and the bytes by then
	counted int64
	came    int64
}

// A measurement holds all servers' bytes at its start.
type measurement struct {
	start time.Time
	came  map[int]int64 // by server: bytes at its start
}

// rates are bytes a second by server, only of those whose rate means something.
type rates map[int]float64

// NewGrowth returns a Growth without servers.
func NewGrowth(cfg GrowthConfig) *Growth {
	if cfg.MaxPerServer <= 0 {
		cfg.MaxPerServer = defaultPerServer
	}
	if cfg.MaxTotal <= 0 {
		cfg.MaxTotal = defaultTotal
	}
	return &Growth{cfg: cfg, servers: make(map[int]*grower)}
}

// Join says that a server takes part, with one connection that is ready. A
// server that joins a second time begins anew.
func (g *Growth) Join(server int, now time.Time) {
	g.servers[server] = &grower{
		id: server, number: 1, seen: seen{joined: now, open: 1, heard: now}, gauge: gauge{settled: now.Add(maxSettle)},
	}
}

// Leave says that a server no longer takes part.
func (g *Growth) Leave(server int) { delete(g.servers, server) }

// Opened says how many connections to the server are open and ready. Call it
// when the number changes.
func (g *Growth) Opened(server, conns int, now time.Time) {
	s := g.servers[server]
	if s == nil || s.open == conns {
		return
	}
	s.open = conns
	s.settled = now.Add(s.settle())
}

// Sample says what a server did since the last call, or since it joined: the
// bytes that arrived, its least round trip so far (0: not known), and whether
// it was busy. Busy means that it had work all the time, so that only the path,
// the server or the processor limited its rate.
func (g *Growth) Sample(server int, bytes int64, rtt time.Duration, busy bool, now time.Time) {
	s := g.servers[server]
	if s == nil {
		return
	}
	if !busy {
		s.idle = now
	}
	if bytes > 0 {
		s.came += bytes
		g.came += bytes
		s.heard = now
	}
	if rtt <= 0 {
		return
	}
	first := s.rtt == 0
	s.rtt = rtt
	if first {
		s.settled = s.joined.Add(s.settle())
	}
}

// Want returns how many connections the server should have, at least 1. If it
// has more, close those opened last: they carry the least.
func (g *Growth) Want(server int) int {
	if g.cfg.Fixed > 0 {
		return max(min(g.cfg.Fixed, g.cfg.MaxTotal/max(len(g.servers), 1)), 1)
	}
	if s := g.servers[server]; s != nil {
		return s.number
	}
	return 1
}

// Step decides by the samples up to now. Call it after those of all servers,
// about every 100 ms. No try begins unless cpuFree.
func (g *Growth) Step(now time.Time, cpuFree bool) {
	if g.cfg.Fixed > 0 {
		return
	}
	g.total(now)
	order := make([]*grower, 0, len(g.servers))
	for _, s := range g.servers {
		order = append(order, s)
	}
	// Those with the fewest connections first: the room for more may be
	// scarce.
	slices.SortFunc(order, func(a, b *grower) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.id, b.id))
	})
	for _, s := range order {
		if s.near() && s.number > 1 {
			s.from, s.number = 0, 1
			s.rest(now)
		}
		if s.from > 0 {
			g.try(s, now, cpuFree)
		} else {
			g.watch(s, now, cpuFree)
		}
	}
}

// try goes on with the try of s.
func (g *Growth) try(s *grower, now time.Time, cpuFree bool) {
	if s.open >= s.number {
		s.whole = now
	} else if now.Sub(s.whole) > openTime {
		s.undo(now)
		s.hold(s.before[s.id], now)
		return
	}
	if !s.opened {
		if s.open < s.number {
			return
		}
		s.opened = true
		if rate := g.base(s, now)[s.id]; rate > 0 && !s.silent(now) {
			s.before[s.id] = rate
		}
		s.current = measurement{}
	}
	if !g.measure(s, now) {
		return
	}
	full, after := s.full(now), g.end(s.current, now)
	if !full {
		// The bytes so far count as if none came until the end: what is
		// enough now stays enough.
		took := now.Sub(s.current.start)
		if 2*took < s.measureTime() {
			return
		}
		after[s.id] *= took.Seconds() / s.measureTime().Seconds()
	}
	gain, known := g.gain(s, after, now)
	switch {
	case known && gain >= gainShare*s.before[s.id]:
		s.from = 0
		g.attempt(s, now, cpuFree)
	case !full:
	default:
		s.undo(now)
		if known {
			s.hold(max(s.before[s.id], after[s.id]), now)
		}
	}
}

// gain returns what the try of s brought, in bytes a second. known is false if
// another server has left or is silent, so that nobody can tell.
func (g *Growth) gain(s *grower, after rates, now time.Time) (gain float64, known bool) {
	own := after[s.id] - s.before[s.id]
	rises, others := max(own, 0), 0.0
	for id, was := range s.before {
		o := g.servers[id]
		if o == nil || o.joined.After(s.started) {
			return 0, false
		}
		is, busy := after[id]
		if o == s || was == 0 || !busy || o.shrunk.After(s.started) {
			continue
		}
		if o.silent(now) {
			return 0, false
		}
		change := is - was
		if change > 0 && o.grown.After(s.started) {
			rises += change
			continue
		}
		others += change
	}
	if own <= 0 || others >= -s.noise {
		return own, true
	}
	return own + others*own/rises, true
}

// watch measures s while there is no try, and begins one if it may.
func (g *Growth) watch(s *grower, now time.Time, cpuFree bool) {
	if !g.measure(s, now) || !s.full(now) {
		return
	}
	rate := g.end(s.current, now)[s.id]
	if now.Before(s.held) {
		late := g.end(s.half, now)[s.id]
		if rate < fallen*s.usual && late < notRising*rate {
			s.held = now
		}
	}
	early := s.number == 1 && s.steady() && now.Sub(s.joined) < steadyTime
	g.attempt(s, now, cpuFree && !early && !now.Before(s.held))
}

// attempt begins a try if may and the limits allow it, with the measurement of
// s as the rate before. Otherwise it begins a new measurement.
func (g *Growth) attempt(s *grower, now time.Time, may bool) {
	more := min(s.number, g.cfg.MaxPerServer-s.number, g.room())
	before := g.base(s, now)
	// Half more is the least whose gain can be seen.
	if !may || s.rtt < minGrowthRTT || more < (s.number+1)/2 || before[s.id] == 0 {
		s.current = measurement{}
		g.measure(s, now)
		return
	}
	s.from, s.opened, s.whole, s.grown = s.number, false, now, now
	s.before, s.started = before, s.current.start
	_, s.noise = spread(g.totals)
	s.number += more
}

// total records the rate of all servers since the last step.
func (g *Growth) total(now time.Time) {
	took := now.Sub(g.stepped).Seconds()
	if took <= 0 {
		return
	}
	if !g.stepped.IsZero() {
		if len(g.totals) == totalSteps {
			g.totals = slices.Delete(g.totals, 0, 1)
		}
		g.totals = append(g.totals, float64(g.came-g.counted)/took)
	}
	g.stepped, g.counted = now, g.came
}

// room returns how many more connections there may be. Those to be closed count
// until they are.
func (g *Growth) room() int {
	n := g.cfg.MaxTotal
	for _, s := range g.servers {
		n -= max(s.number, s.open)
	}
	return n
}

// measure continues the measurement of s, or begins it; false before a result.
func (g *Growth) measure(s *grower, now time.Time) bool {
	if s.open != s.number || s.silent(now) {
		s.current = measurement{}
		s.settled = now.Add(s.settle())
		return false
	}
	if now.Before(s.settled) {
		return false
	}
	if s.current.start.IsZero() || s.idle.After(s.current.start) {
		s.current = g.begin(now)
		s.half = s.current
		s.steps, s.stepped, s.counted = s.steps[:0], now, s.came
		return false
	}
	if !s.half.start.After(s.current.start) && 2*now.Sub(s.current.start) >= s.measureTime() {
		s.half = g.begin(now)
	}
	if took := now.Sub(s.stepped).Seconds(); took > 0 {
		s.steps = append(s.steps, float64(s.came-s.counted)/took)
		s.stepped, s.counted = now, s.came
	}
	return true
}

func (g *Growth) begin(now time.Time) measurement {
	m := measurement{start: now, came: make(map[int]int64, len(g.servers))}
	for id, s := range g.servers {
		m.came[id] = s.came
	}
	return m
}

// end returns the rates since m began, of the servers that took part and were
// busy all the time.
func (g *Growth) end(m measurement, now time.Time) rates {
	r := make(rates, len(m.came))
	took := now.Sub(m.start).Seconds()
	if m.start.IsZero() || took <= 0 {
		return r
	}
	for id, came := range m.came {
		s := g.servers[id]
		if s != nil && !s.joined.After(m.start) && !s.idle.After(m.start) {
			r[id] = float64(s.came-came) / took
		}
	}
	return r
}

// base returns the rates of s.current. For s itself it is the rate of the later
// part if that is less.
func (g *Growth) base(s *grower, now time.Time) rates {
	r := g.end(s.current, now)
	if late, ok := g.end(s.half, now)[s.id]; ok {
		r[s.id] = min(r[s.id], late)
	}
	return r
}

func (s *grower) near() bool { return s.rtt > 0 && s.rtt < minGrowthRTT }

func (s *grower) settle() time.Duration {
	if s.rtt == 0 {
		return maxSettle
	}
	return min(max(settleRTTs*s.rtt, minSettle), maxSettle)
}

func (s *grower) measureTime() time.Duration { return max(measureTime, measureRTTs*s.rtt) }

func (s *grower) full(now time.Time) bool { return now.Sub(s.current.start) >= s.measureTime() }

func (s *grower) silent(now time.Time) bool {
	return now.Sub(s.heard) > max(silentTime, silentRTTs*s.rtt)
}

// undo ends a try and returns to the number before it.
func (s *grower) undo(now time.Time) {
	s.number, s.from = s.from, 0
	s.rest(now)
}

// rest lets s settle after its number was reduced.
func (s *grower) rest(now time.Time) {
	s.shrunk = now
	s.current = measurement{}
	s.settled = now.Add(s.settle())
}

// hold begins the pause after a try.
func (s *grower) hold(rate float64, now time.Time) {
	s.held, s.usual = now.Add(holdTime), rate
}

// steady tells whether the rate hardly varied in the measurement.
func (s *grower) steady() bool {
	mean, deviation := spread(s.steps)
	return deviation < steadySpread*mean
}

// spread returns the mean of v and the mean absolute deviation from it.
func spread(v []float64) (mean, deviation float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		deviation += math.Abs(x-mean) / float64(len(v))
	}
	return mean, deviation
}
