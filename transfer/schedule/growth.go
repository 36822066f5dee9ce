package schedule

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// More connections to one server fill a long, lossy path that one NewReno
// connection cannot fill, and make a clean path worse. Nothing that a receiver
// sees tells the two apart for sure, so Growth tries:
//
//   - A server begins with one connection. A try doubles the number: 2, 4, 8,
//     16, 32, or what the limits leave, if that is half as many again. None
//     begins below minGrowthRTT, while the processor is the limit, or while the
//     server is not busy.
//   - The rate before is measured over max(1 s, 8 round trips) and on until the
//     new connections are open. The rate after is measured over as long, once
//     they have had settleRTTs of slow start. A try that is kept is measured
//     for as little as half that time, if what came by then is enough for the
//     whole; its rate after is the rate before of the next try. So a doubling
//     takes 0.8 to 1.7 s at 100 ms.
//   - Slow start carries a lossy path far beyond what it can hold: at 100 ms and
//     0.1 % loss to ten times that, and it takes 3 s to come down. So the rate
//     before is that of the whole measurement or of its later part, whichever is
//     less: on a full link they are the same.
//   - A try gains what the server's own rate rose by, less its share of what the
//     others lost meanwhile in all, unless that is less than what the total
//     varied by already before. Servers that try at the same time share that loss by their
//     rises, and the rise of one is never credited to another; so when the total
//     rises by less than the sum of their claims, those whose rise is the
//     smallest part of their rate are the first to be undone. What a server lost
//     by closing connections of its own is charged to nobody.
//   - A try whose gain is at least a quarter of the rate before is kept.
//     Otherwise it is undone and not repeated for holdTime, or until the rate is
//     a third below what it was with or before the try, and does not rise: after
//     an undone try the windows of a clean path grow back, those of a lossy one
//     do not.
//   - A measurement during which the server was not busy, was silent, or had not
//     all its connections is begun again. When another server goes away or falls
//     silent meanwhile, the try is undone and may be repeated at once.
const (
	// minGrowthRTT is the least round trip from which on a server may have more
	// than one connection: below it one NewReno connection recovers quickly.
	minGrowthRTT = 5 * time.Millisecond
	// A measurement takes measureTime or measureRTTs, whichever is more.
	measureTime = time.Second
	measureRTTs = 8
	// settleRTTs, within minSettle and maxSettle, is the time from the opening of
	// connections to the measurement: one round trip until the first byte comes,
	// and slow start. That begins with 32 packets, so it meets its first loss after
	// about log2(1 / (32 × loss)) round trips: 2 at 1 %, 5 at 0.1 %. The rest of a
	// longer one is measured with what follows, which does not change the answer:
	// a full link carries no more during slow start, and a link with room shows it.
	settleRTTs = 4
	minSettle  = 200 * time.Millisecond
	maxSettle  = time.Second
	// openTime is how long a server may lack connections during a try.
	openTime = 5 * time.Second
	// gainShare is the gain of a try that is kept, by the rate before.
	gainShare = 0.25
	// holdTime is the pause after a try that was undone. A rate below fallen of
	// what it was, in a measurement whose later part is less than notRising of
	// the whole, ends it.
	holdTime  = 30 * time.Second
	fallen    = 2.0 / 3
	notRising = 1.02
	// A single connection whose rate varies by less than steadySpread (mean
	// absolute deviation by mean, between two calls of Step) is most likely held
	// by a full link: loss makes that of NewReno swing by 30 %. The rate of a full
	// receive window is steady, too, so such a server is tried after steadyTime all
	// the same. Most transfers on clean paths are over by then.
	steadySpread = 0.03
	steadyTime   = 10 * time.Second
	// totalSteps is over how many steps the variation of the total is taken.
	totalSteps = 10
	// silentTime or silentRTTs, whichever is more, is a silence that is no rate.
	silentTime = 500 * time.Millisecond
	silentRTTs = 4

	defaultPerServer = 32
	defaultTotal     = 64
)

// GrowthConfig bounds the connections of one transfer. The zero value decides
// by itself.
type GrowthConfig struct {
	Fixed        int // connections to each server, whatever MaxPerServer is; 0: Growth decides
	MaxPerServer int // connections to one server; 0: 32
	MaxTotal     int // connections to all servers; each may have one in any case; 0: 64
}

// A Growth decides how many connections each server should have. It is pure, as
// Schedule is, and belongs to one goroutine. Servers are numbered by the caller.
type Growth struct {
	cfg     GrowthConfig
	servers map[int]*grower
	totals  []float64 // rates of all servers between the last steps, bytes a second
	stepped time.Time // the last step, and the bytes by then
	counted int64
	came    int64
}

// A grower is one server.
type grower struct {
	id     int
	number int // connections that it should have, at least 1

	// what the caller said
	joined time.Time
	open   int
	rtt    time.Duration // 0: not known
	came   int64         // bytes since it joined
	heard  time.Time     // when bytes came last
	idle   time.Time     // when it was last said not to be busy

	// what is measured
	settled time.Time // nothing is measured before
	window  window    // under way, unless its start is zero
	half    window    // its later part, once that has begun
	steps   []float64 // rates between the steps of the window, bytes a second
	stepped time.Time // its last step, and the bytes by then
	counted int64

	// the try under way, or the last one
	from    int       // number before it; 0: none is under way
	opened  bool      // all its connections were open at some time
	whole   time.Time // when they were last
	before  rates
	started time.Time // when the measurement of before began
	noise   float64   // by which the total varied then, bytes a second
	grown   time.Time // when it began

	// what came of it
	shrunk time.Time // when the number was last reduced
	held   time.Time // no try before
	usual  float64   // the greater rate, before or after, of a try that was undone
}

// A window is a measurement of all servers' rates.
type window struct {
	start time.Time
	came  map[int]int64 // by server: bytes at its start
}

// rates are bytes a second, by server; only of those for which they mean
// something.
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
		id: server, number: 1, joined: now, open: 1, heard: now, settled: now.Add(maxSettle),
	}
}

// Leave says that a server no longer takes part.
func (g *Growth) Leave(server int) { delete(g.servers, server) }

// Opened says how many connections to the server are open and ready; to be
// called when the number changes.
func (g *Growth) Opened(server, conns int, now time.Time) {
	s := g.servers[server]
	if s == nil || s.open == conns {
		return
	}
	s.open = conns
	s.settled = now.Add(s.settle())
}

// Sample says what a server did since the last call, or since it joined: the
// bytes that arrived from it, its least round trip so far (0: not known), and
// whether it had work all the time, so that nothing but the path, the server or
// the processor limited its rate.
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

// Want returns how many connections the server should have, at least 1. When
// that is less than it has, those that were opened last should be closed: they
// carry the least.
func (g *Growth) Want(server int) int {
	if g.cfg.Fixed > 0 {
		return max(min(g.cfg.Fixed, g.cfg.MaxTotal/max(len(g.servers), 1)), 1)
	}
	if s := g.servers[server]; s != nil {
		return s.number
	}
	return 1
}

// Step decides by the samples up to now; to be called after those of all
// servers, about every 100 ms. No try begins unless cpuFree.
func (g *Growth) Step(now time.Time, cpuFree bool) {
	if g.cfg.Fixed > 0 {
		return
	}
	g.total(now)
	order := make([]*grower, 0, len(g.servers))
	for _, s := range g.servers {
		order = append(order, s)
	}
	// Those with the fewest connections first: the room for more may be scarce.
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
		s.window = window{}
	}
	if !g.measure(s, now) {
		return
	}
	full, after := s.full(now), g.end(s.window, now)
	if !full {
		// What came counts as if nothing came until the end: if it is enough, it
		// stays enough.
		took := now.Sub(s.window.start)
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

// gain returns what the try of s brought, in bytes a second, and false when that
// cannot be told because another server has gone.
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

// watch measures s while there is no try, and begins one when it may.
func (g *Growth) watch(s *grower, now time.Time, cpuFree bool) {
	if !g.measure(s, now) || !s.full(now) {
		return
	}
	rate := g.end(s.window, now)[s.id]
	if now.Before(s.held) {
		late := g.end(s.half, now)[s.id]
		if rate < fallen*s.usual && late < notRising*rate {
			s.held = now
		}
	}
	early := s.number == 1 && s.steady() && now.Sub(s.joined) < steadyTime
	g.attempt(s, now, cpuFree && !early && !now.Before(s.held))
}

// attempt begins a try with the window of s as the rate before, if may and the
// limits allow it, and else a new window.
func (g *Growth) attempt(s *grower, now time.Time, may bool) {
	more := min(s.number, g.cfg.MaxPerServer-s.number, g.room())
	before := g.base(s, now)
	// Half as many again is the least that can be seen to gain.
	if !may || s.rtt < minGrowthRTT || more < (s.number+1)/2 || before[s.id] == 0 {
		s.window = window{}
		g.measure(s, now)
		return
	}
	s.from, s.opened, s.whole, s.grown = s.number, false, now, now
	s.before, s.started = before, s.window.start
	_, s.noise = spread(g.totals)
	s.number += more
}

// total takes down the rate of all servers since the last step.
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

// room returns how many more connections there may be. Those that are no longer
// wanted count until they are closed.
func (g *Growth) room() int {
	n := g.cfg.MaxTotal
	for _, s := range g.servers {
		n -= max(s.number, s.open)
	}
	return n
}

// measure goes on with the measurement of s, or begins it; false means that
// there is none yet.
func (g *Growth) measure(s *grower, now time.Time) bool {
	if s.open != s.number || s.silent(now) {
		s.window = window{}
		s.settled = now.Add(s.settle())
		return false
	}
	if now.Before(s.settled) {
		return false
	}
	if s.window.start.IsZero() || s.idle.After(s.window.start) {
		s.window = g.begin(now)
		s.half = s.window
		s.steps, s.stepped, s.counted = s.steps[:0], now, s.came
		return false
	}
	if !s.half.start.After(s.window.start) && 2*now.Sub(s.window.start) >= s.measureTime() {
		s.half = g.begin(now)
	}
	if took := now.Sub(s.stepped).Seconds(); took > 0 {
		s.steps = append(s.steps, float64(s.came-s.counted)/took)
		s.stepped, s.counted = now, s.came
	}
	return true
}

func (g *Growth) begin(now time.Time) window {
	w := window{start: now, came: make(map[int]int64, len(g.servers))}
	for id, s := range g.servers {
		w.came[id] = s.came
	}
	return w
}

// end returns the rates since w began of the servers that took part and were
// busy all the time.
func (g *Growth) end(w window, now time.Time) rates {
	r := make(rates, len(w.came))
	took := now.Sub(w.start).Seconds()
	if w.start.IsZero() || took <= 0 {
		return r
	}
	for id, came := range w.came {
		s := g.servers[id]
		if s != nil && !s.joined.After(w.start) && !s.idle.After(w.start) {
			r[id] = float64(s.came-came) / took
		}
	}
	return r
}

// base returns the rates of s.window; that of s itself is that of the later part
// when it is less.
func (g *Growth) base(s *grower, now time.Time) rates {
	r := g.end(s.window, now)
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

func (s *grower) full(now time.Time) bool { return now.Sub(s.window.start) >= s.measureTime() }

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
	s.window = window{}
	s.settled = now.Add(s.settle())
}

// hold begins the pause after a try.
func (s *grower) hold(rate float64, now time.Time) {
	s.held, s.usual = now.Add(holdTime), rate
}

// steady tells whether the rate hardly varied in the window.
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
