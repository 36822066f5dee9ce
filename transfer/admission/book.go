package admission

import (
	"net/netip"
	"sync"
	"time"
)

// A Book has a record of each connection and of each client. Any goroutine may
// call its methods. The times given to them must come from one clock.
type Book struct {
	mu       sync.Mutex
	limits   Limits
	conns    []*Conn // those that have a place
	numbers  uint64  // given out so far
	clients  map[netip.Addr]*client
	networks map[netip.Addr]*network
	departed []*client // clients without a connection that still owe something, in the order of leaving
	unproved bucket    // handshakes begun without a proof
	charged  int64     // the sum of the connections' charges, in bytes
	sending  int       // clients with a reply under way
	pass     int64     // the start of the last piece: see share.go
	counts   Counts
	passed   Passed
	present  int // clients with a connection whose handshake is complete
}

// A client is one address, as [Client] returns it.
type client struct {
	key      netip.Addr
	host     netip.Addr // of the first connection since it last had none
	network  *network
	places   int // of its connections
	halfOpen int // of these, those in the handshake
	pace     bucket
	waste    account
	lane     lane
	runs     map[[16]byte]*run // of its opened connections, by their numbers
	sending  int               // runs with a reply under way
	ranges   int               // being sent
	behind   int               // requests under way of connections that have ended
	sent     int64             // bytes of the file
	left     time.Time
	departed bool // it is in Book.departed
}

// A network is what [Network] returns.
type network struct {
	key    netip.Addr
	places int // of its clients
	known  int // clients with a record
}

// A Conn is the record of one connection, from its first packet to its end. Its
// fields belong to its book.
type Conn struct {
	// Host is the address that the connection came from. Its address may
	// have changed.
	Host netip.Addr

	owner  any // set by the caller: see [Book.Shake]
	client *client
	run    *run
	number uint64
	at     int  // in Book.conns; -1: it has lost its place
	ended  bool // its client has gone, its requests are not over
	life   life
	watch  stopwatch
	still  meter // against stillBytes
	worth  meter // against its charge
	held   held
	lane   lane

	wasted  int  // wasted requests, less those answered whole
	offered bool // the first stat is over
}

// New returns an empty book.
func New(l Limits) *Book {
	return &Book{limits: l.orDefaults(), clients: make(map[netip.Addr]*client), networks: make(map[netip.Addr]*network)}
}

// Change sets how much there is to share out: Places, Bytes, Handshakes and
// IdleTime of l. No connection has to go at once; those beyond the new limits
// go by the rules. The other limits stay: connections were promised them.
func (b *Book) Change(l Limits) {
	l = l.orDefaults()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limits.Places, b.limits.Bytes, b.limits.Handshakes, b.limits.IdleTime = l.Places, l.Bytes, l.Handshakes, l.IdleTime
}

// Granted returns the bytes of memory that the connections of now may take in
// all.
func (b *Book) Granted() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limits.Granted(len(b.conns))
}

// Len returns how many connections have a place.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

// MustProve reports whether a client must first show that its address is its
// own. If not, its handshake counts.
func (b *Book) MustProve(host netip.Addr, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	must := b.mustProve(b.clients[Client(host)], now)
	if must {
		b.counts.Retried++
	}
	return must
}

// mustProve is MustProve for a client; cl is nil if it has no record.
func (b *Book) mustProve(cl *client, now time.Time) bool {
	if cl != nil && cl.halfOpen >= MostUnproved {
		return true
	}
	return 2*len(b.conns) >= b.limits.Places || !b.unproved.take(now, b.limits.Handshakes, b.limits.Handshakes)
}

// Enter gives a place to a connection whose first packet came from host. proved
// says that the client has shown that the address is its own. ok is false if
// there is no place. If another connection lost its place for it, gone is the
// owner of that connection, which must be closed.
func (b *Book) Enter(host netip.Addr, proved bool, now time.Time) (c *Conn, gone any, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
	cl := b.clientOf(Client(host))
	var out *Conn
	may := b.mayEnter(cl, proved, now)
	if may && len(b.conns) >= b.limits.Places {
		out = b.leastWorthy(now)
		may = out != nil
	}
	if !may {
		b.counts.Refused++
		b.depart(cl, now)
		return nil, nil, false
	}
	b.numbers++
	c = &Conn{Host: host.Unmap(), client: cl, run: &run{places: 1}, number: b.numbers, at: len(b.conns)}
	c.watch.began = now
	b.conns = append(b.conns, c)
	if cl.places == 0 {
		cl.host = c.Host
	}
	cl.places++
	cl.halfOpen++
	cl.network.places++
	if out != nil {
		gone = out.owner
		b.evict(out, now)
	}
	return c, gone, true
}

// mayEnter reports whether a client may begin one more handshake, and counts
// it.
func (b *Book) mayEnter(cl *client, proved bool, now time.Time) bool {
	if cl.halfOpen >= max(b.limits.Places/halfOpenPart, MostUnproved) {
		return false
	}
	return !proved || cl.pace.take(now, b.limits.Handshakes, burst*b.limits.Handshakes)
}

// Leave says that a connection has ended. It keeps its place and its charge
// until its requests are over: see [Book.MayRead]. Calls after the first do
// nothing.
func (b *Book) Leave(c *Conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case c.at < 0 || c.ended:
	case c.held.requests == 0:
		b.remove(c, now)
	default:
		b.silence(c)
		b.hold(c, now, func(h *held) { h.window, h.total = 0, 0 }) // nothing of it waits any more
		c.ended = true
		c.client.behind += c.held.requests
	}
}

// evict takes the place of a connection that others need.
func (b *Book) evict(c *Conn, now time.Time) {
	b.counts.Evicted++
	b.remove(c, now)
}

// remove takes the place of a connection. What it still does no longer counts.
func (b *Book) remove(c *Conn, now time.Time) {
	if c.at < 0 {
		return
	}
	last := b.conns[len(b.conns)-1]
	b.conns[c.at], last.at = last, c.at
	b.conns[len(b.conns)-1] = nil
	b.conns = b.conns[:len(b.conns)-1]
	c.at = -1

	cl := c.client
	b.watchPresence(cl, func() {
		if c.life.stage == HalfOpen {
			cl.halfOpen--
		}
		cl.places--
	})
	b.silence(c)
	c.leaveRun()
	b.charged -= c.held.charge()
	cl.network.places--
	b.depart(cl, now)
}

// silence takes a connection off the counts of those that are sent to.
func (b *Book) silence(c *Conn) {
	if c.ended {
		return
	}
	if c.life.replies > 0 {
		b.countSending(c, -1)
	}
	c.client.ranges -= c.life.ranges
}

// clientOf returns the record of a client.
func (b *Book) clientOf(key netip.Addr) *client {
	if cl := b.clients[key]; cl != nil {
		return cl
	}
	where := Network(key)
	n := b.networks[where]
	if n == nil {
		n = &network{key: where}
		b.networks[where] = n
	}
	n.known++
	cl := &client{key: key, network: n}
	b.clients[key] = cl
	return cl
}

// departedMost bounds the remembered clients without a connection.
const departedMost = 16384

// depart remembers what a client without a connection owes, until that is
// forgiven.
func (b *Book) depart(cl *client, now time.Time) {
	if cl.places > 0 {
		return
	}
	cl.sent, cl.left = 0, now
	switch {
	case cl.departed:
	case cl.owes(now, b.limits):
		cl.departed = true
		b.departed = append(b.departed, cl)
	default:
		b.erase(cl)
	}
}

// owes reports whether a client that comes back would not start afresh.
func (cl *client) owes(now time.Time, l Limits) bool {
	cl.pace.drain(now, float64(l.Handshakes))
	cl.waste.forgive(now, l.Wasted)
	return cl.pace.level > 0 || cl.waste.requests > 0
}

// forget erases the clients that have left and owe nothing any more.
func (b *Book) forget(now time.Time) {
	for len(b.departed) > 0 {
		cl := b.departed[0]
		if len(b.departed) <= departedMost && now.Sub(cl.left) < forgiven && cl.places == 0 {
			return
		}
		b.departed[0] = nil
		b.departed = b.departed[1:]
		cl.departed = false
		if cl.places == 0 {
			b.erase(cl)
		}
	}
}

func (b *Book) erase(cl *client) {
	delete(b.clients, cl.key)
	if cl.network.known--; cl.network.known == 0 {
		delete(b.networks, cl.network.key)
	}
}
