// Package growth decides how many connections each server of a transfer should
// have. It is pure: no network, no goroutine, no clock. Its owner says what
// comes from each server and what the server's sender reports of each
// connection, and calls [Growth.Step] about every 100 ms. [Growth.Want] is the
// answer.
//
// A NewReno connection on a lossy, long path carries a small part of what the
// link can: each loss costs it 30 % of its window, whatever the cause of the
// loss. Several connections carry more. But at a full link a loss means that
// others are there too, and more connections take their share away. So:
//
//   - Connections are added only while losses come without a queue. The sender
//     sees both. The rank of a loss is the share of recent round trips that
//     were shorter than the one at the loss. The losses of a full queue rank
//     near 1, those of radio or of a bad cable anywhere from 0 to 1.
//   - How many are added follows from a model of NewReno, the round trip and
//     the loss rate.
//   - Each step is judged. It is undone if the loss rate has grown with it, or
//     if the server's rate has not.
//   - If a queue stands later, half of the connections are given back. They
//     are opened again only if nobody takes what they carried.
//
// So malcolm takes capacity that nobody uses, and leaves the shares of others:
// at a full queue it becomes one NewReno flow, like any other. Bottlenecks
// without a queue that can be measured (below 4 ms, or a twentieth of the round
// trip) are seen only by the judgement of a step.
//
// A server that lies in its reports gets the connections that the limits allow,
// and no more.
package growth

import (
	"cmp"
	"slices"
	"time"
)

// LeastRTT is the round trip from which on more than one connection can help.
// Below it NewReno recovers quickly.
const LeastRTT = 5 * time.Millisecond

// MostTotal is [Config].MaxTotal when that is zero. It bounds the client's
// memory: a connection begins with a receive window of 256 KiB.
const MostTotal = 96

const (
	// defaultPerServer is above what most lossy paths need: 33 for
	// 200 Mbit/s at 100 ms and 0.1 %. A server allows an address 128 and
	// more.
	defaultPerServer = 48
	// mostRTT bounds what a server may say of its round trips.
	mostRTT = time.Minute
)

// A Config bounds the connections of one transfer. The zero value leaves the
// number to Growth.
type Config struct {
	Fixed        int // connections to each server, whatever MaxPerServer is; 0: Growth decides
	MaxPerServer int // connections to one server; 0: 48
	MaxTotal     int // connections to all servers; each may have one in any case; 0: [MostTotal]
}

// A Growth decides how many connections each server should have. It belongs to
// one goroutine. Servers and their connections are numbered by the caller.
type Growth struct {
	cfg     Config
	servers map[int]*server
}

// New returns a Growth without servers.
func New(cfg Config) *Growth {
	if cfg.MaxPerServer <= 0 {
		cfg.MaxPerServer = defaultPerServer
	}
	if cfg.MaxTotal <= 0 {
		cfg.MaxTotal = MostTotal
	}
	return &Growth{cfg: cfg, servers: make(map[int]*server)}
}

// Join says that a server takes part, with one connection. A server that joins
// a second time begins anew.
func (g *Growth) Join(id int) {
	g.servers[id] = &server{id: id, number: 1, open: 1, paths: make(map[int]*path)}
}

// Begin says how many connections a server that has joined should begin with:
// half of what an earlier run needed. What follows is as if they were tried.
func (g *Growth) Begin(id, conns int) {
	if s := g.servers[id]; s != nil {
		s.number = max(min(conns, g.room(s)), 1)
	}
}

// Leave says that a server no longer takes part.
func (g *Growth) Leave(id int) { delete(g.servers, id) }

// Opened says how many connections to a server are open.
func (g *Growth) Opened(id, conns int) {
	if s := g.servers[id]; s != nil {
		s.open = max(conns, 0)
	}
}

// Failed says that a connection that was wanted does not come. The server
// should have one less, and no less than it has.
func (g *Growth) Failed(id int) {
	if s := g.servers[id]; s != nil && s.number > max(s.open, 1) {
		s.number--
		if s.number <= s.trial.from {
			s.trial = trial{}
		}
	}
}

// Sample says what a server did since the last call, or since it joined: the
// bytes that arrived, its least round trip as the client sees it (0: not
// known), and whether it was busy. Busy means that it had work all the time, so
// that only the path, the server or the processor limited its rate.
func (g *Growth) Sample(id int, bytes int64, rtt time.Duration, busy bool) {
	s := g.servers[id]
	if s == nil {
		return
	}
	s.sums.came += float64(max(bytes, 0))
	s.idle = s.idle || !busy
	if rtt > 0 {
		s.rtt = min(rtt, mostRTT)
	}
}

// Want returns how many connections a server should have, at least 1. If it has
// more, close those opened last: they carry the least.
func (g *Growth) Want(id int) int {
	if g.cfg.Fixed > 0 {
		return max(min(g.cfg.Fixed, g.cfg.MaxTotal/max(len(g.servers), 1)), 1)
	}
	if s := g.servers[id]; s != nil {
		return s.number
	}
	return 1
}

// Lacks reports whether a server could use more connections than it may have:
// losses come without a queue, and the most that are allowed do not fill the
// path.
func (g *Growth) Lacks(id int) bool {
	s := g.servers[id]
	return s != nil && s.lacks
}

// Step decides by what was said up to now. Call it about every 100 ms. No
// connection is added unless cpuFree: they would only take turns.
func (g *Growth) Step(now time.Time, cpuFree bool) {
	if g.cfg.Fixed > 0 {
		return
	}
	order := make([]*server, 0, len(g.servers))
	for _, s := range g.servers {
		s.look(now)
		order = append(order, s)
	}
	// Those with the fewest connections first: the room for more may be
	// scarce.
	slices.SortFunc(order, func(a, b *server) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.id, b.id))
	})
	for _, s := range order {
		s.decide(now, cpuFree, g.room(s))
	}
}

// room returns how many connections a server may have. Those of others that are
// to be closed count until they are.
func (g *Growth) room(s *server) int {
	n := g.cfg.MaxTotal
	for _, other := range g.servers {
		if other != s {
			n -= max(other.number, other.open)
		}
	}
	return max(min(n, g.cfg.MaxPerServer), s.number)
}
