package transfer

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// A link is one server's path to all others. Settings outside of its ways hold
// in both directions. They may change while packets are under way.
type link struct {
	w *world

	// under w.mu
	tcp    *sourcetest.TCP // the server's port, where all goes over TCP
	delay  time.Duration   // one way
	rate   float64         // bytes a second, each way; 0: no bound
	each   float64         // likewise, of each port of clients
	loss   float64         // of packets, 0 to 1
	queue  time.Duration   // what it holds at its rate
	hole   bool            // loses everything
	mtu    int             // datagrams above it from and to clients' ports up to narrow are lost; 0: none
	narrow int
	ways   [2]way // fromServer and toServer
}

// The two directions of a link.
const (
	fromServer = iota
	toServer
)

// A way is one direction of a link. Its settings come on top of the link's.
// Shares are of packets, 0 to 1, chosen by chance.
type way struct {
	loss    float64
	hole    bool
	doubles float64 // share that is delivered twice
	flips   float64 // share of which one bit is changed
	delays  float64 // share that takes up to extra longer, and is overtaken
	extra   time.Duration

	free time.Time         // when the last byte so far has left
	ends map[int]time.Time // likewise, by the port of a client, where each has a rate
	last time.Time         // when the last packet so far arrives

	lost      int   // packets by loss
	eaten     int   // packets by a hole
	spilt     int   // packets by a full queue
	tooBig    int   // packets by the mtu
	doubled   int   // packets
	flipped   int   // packets
	overtaken int   // packets that arrive before one that left earlier
	renamed   int   // packets that a NAT gave another address
	stale     int   // packets to an address that a NAT has given up
	carried   int64 // bytes that were delivered
}

const (
	defaultDelay = 10 * time.Millisecond
	defaultRate  = 8 << 20
	// defaultQueue is the length of a link's queue at its rate. More is
	// dropped.
	defaultQueue = 100 * time.Millisecond
)

// link returns the link of the server at an address.
func (w *world) link(t source.Target) *link {
	at := netip.AddrPortFrom(netip.MustParseAddr(t.Host), t.Port)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.links[at] == nil {
		w.links[at] = &link{w: w, delay: defaultDelay, rate: defaultRate, queue: defaultQueue}
	}
	return w.links[at]
}

// set changes the link under the lock.
func (l *link) set(f func(l *link)) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	f(l)
	l.leadTCP()
}

// way returns how one direction is now.
func (l *link) way(dir int) way {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.ways[dir]
}

// dropped returns the packets lost by chance and those swallowed by a hole.
func (l *link) dropped() (lost, eaten int) {
	a, b := l.way(fromServer), l.way(toServer)
	return a.lost + b.lost, a.eaten + b.eaten
}

// linkOf returns the link that a packet takes and in which direction. w.mu is
// held.
func (w *world) linkOf(p simnet.Packet) (*link, int) {
	if l := w.links[p.From.(*net.UDPAddr).AddrPort()]; l != nil {
		return l, fromServer
	}
	return w.links[p.To.(*net.UDPAddr).AddrPort()], toServer
}

// SendPacket implements simnet.Router.
func (w *world) SendPacket(p simnet.Packet) error {
	for _, p := range w.pass(p) {
		// As with UDP, nobody tells the sender that nobody listens.
		_ = w.nodes.SendPacket(p)
	}
	return nil
}

// pass returns what a packet becomes on its way: nothing, one packet or two.
func (w *world) pass(p simnet.Packet) []simnet.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, dir := w.linkOf(p)
	if l == nil || w.drops(l, &l.ways[dir], p) {
		return nil
	}
	v := &l.ways[dir]
	if !w.nat.translate(&p, v, dir) {
		return nil
	}
	if w.chance(v.flips) {
		v.flipped++
		p.Data[w.rng.IntN(len(p.Data))] ^= 1 << w.rng.IntN(8)
	}
	if !w.chance(v.doubles) {
		return []simnet.Packet{p}
	}
	v.doubled++
	twin := p
	twin.Data = slices.Clone(p.Data)
	return []simnet.Packet{p, twin}
}

// clientPort is the port of the client whose packet this is.
func clientPort(p simnet.Packet, fromServer bool) int {
	if fromServer {
		return p.To.(*net.UDPAddr).Port
	}
	return p.From.(*net.UDPAddr).Port
}

// narrows makes the path of the present connections narrower than they know:
// large packets are lost. A new connection finds out for itself.
func (l *link) narrows() {
	l.set(func(l *link) { l.mtu, l.narrow = 600, l.w.port })
}

// chance is true in a share of cases. w.mu is held.
func (w *world) chance(share float64) bool { return share > 0 && w.rng.Float64() < share }

// drops reports whether a packet is lost. w.mu is held.
func (w *world) drops(l *link, v *way, p simnet.Packet) bool {
	switch {
	case l.hole, v.hole:
		v.eaten++
	case l.mtu > 0 && len(p.Data) > l.mtu && clientPort(p, v == &l.ways[fromServer]) <= l.narrow:
		v.tooBig++
	case w.chance(l.loss), w.chance(v.loss):
		v.lost++
	case l.rate > 0 && time.Until(v.free) > l.queue,
		l.each > 0 && time.Until(v.ends[clientPort(p, v == &l.ways[fromServer])]) > l.queue:
		v.spilt++
	default:
		return false
	}
	return true
}

// transit returns how long a packet takes, behind those that went before.
func (w *world) transit(p simnet.Packet) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, dir := w.linkOf(p)
	v, now := &l.ways[dir], time.Now()
	v.carried += int64(len(p.Data))
	arrives := now.Add(l.delay)
	if l.rate > 0 {
		if v.free.Before(now) {
			v.free = now
		}
		v.free = v.free.Add(time.Duration(float64(len(p.Data)) / l.rate * float64(time.Second)))
		arrives = v.free.Add(l.delay)
	}
	if l.each > 0 {
		port := clientPort(p, dir == fromServer)
		if v.ends == nil {
			v.ends = make(map[int]time.Time)
		}
		leaves := laterOf(v.ends[port], now).Add(time.Duration(float64(len(p.Data)) / l.each * float64(time.Second)))
		v.ends[port], arrives = leaves, laterOf(arrives, leaves.Add(l.delay))
	}
	if w.chance(v.delays) {
		arrives = arrives.Add(time.Duration(w.rng.Int64N(int64(v.extra))))
	}
	if arrives.Before(v.last) {
		v.overtaken++
	} else {
		v.last = arrives
	}
	return arrives.Sub(now)
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// A nat gives the clients' sockets other addresses towards the servers, once
// something was rebound. The world's lock protects it.
type nat struct {
	public  map[netip.AddrPort]netip.AddrPort // by a socket's own address
	private map[netip.AddrPort]netip.AddrPort // the reverse
	turns   int
}

// natPorts is the distance between the ports of one rebinding and of the next.
const natPorts = 1000

// rebind gives all sockets that clients have opened another port. Packets to
// the former ones are lost.
func (w *world) rebind() { w.rebindTo(clientHost) }

// rebindTo gives them another port at another host.
func (w *world) rebindTo(host netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := &w.nat
	n.turns++
	n.public = make(map[netip.AddrPort]netip.AddrPort)
	n.private = make(map[netip.AddrPort]netip.AddrPort)
	for port := firstPort; port <= w.port; port++ {
		inside := netip.AddrPortFrom(clientHost, uint16(port))
		outside := netip.AddrPortFrom(host, uint16(port+n.turns*natPorts))
		n.public[inside], n.private[outside] = outside, inside
	}
}

// translate changes the client's address in a packet. It returns false if the
// client no longer has that address.
func (n *nat) translate(p *simnet.Packet, v *way, dir int) bool {
	if dir == toServer {
		if outside, ok := n.public[p.From.(*net.UDPAddr).AddrPort()]; ok {
			v.renamed++
			p.From = net.UDPAddrFromAddrPort(outside)
		}
		return true
	}
	to := p.To.(*net.UDPAddr).AddrPort()
	inside, renamed := n.private[to]
	_, given := n.public[to]
	switch {
	case renamed:
		v.renamed++
		p.To = net.UDPAddrFromAddrPort(inside)
	case given, n.turns > 0 && to.Port() >= firstPort+natPorts:
		v.stale++
		return false
	}
	return true
}
