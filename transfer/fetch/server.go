package fetch

import (
	"context"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"malcolm/certs"
	"malcolm/transfer/carrier"
	"malcolm/transfer/presence"
	"malcolm/transfer/source"
)

// A server is one source of the session. It belongs to the loop.
type server struct {
	index   int
	source  source.Source
	target  source.Target
	contact *contact // nil until the session begins to reach it

	state  State
	err    error // why it does not take part; nil when it does
	id     certs.ServerID
	proved bool             // it has answered with that ID, and may have no other
	over   source.Transport // of its last connection; 0: it had none yet
	left   bool             // it was taken away (see Session.Change)
	answer

	conns   conns
	share   share
	trouble trouble
}

// An answer is what a server says that it has.
type answer struct {
	offer source.Offer  // zero: it has not answered for this file
	rtt   time.Duration // smoothed, when it made the offer
	rank  int           // 0 for the first server that answered
	mute  bool          // it was to vote, and cannot say what it has
	asked *source.Ask   // of a mirror: what its last answer may be of; nil: any file
}

// A share is what a server has contributed.
type share struct {
	bytes   int64         // of chunks that were found good
	arrived int64         // bytes of ranges, good or not
	sampled int64         // arrived at the last sample
	bad     int           // chunks that were refused
	lacks   int           // files that it does not have, as far as it was asked
	sign    presence.Sign // since the last tick
	totals  ServerTotals
}

// trouble is what went wrong with a server, and what was told of it.
type trouble struct {
	failures     int     // failed tries to reach it since it was last heard of
	failed       error   // why it was last lost, or a range of it ended early
	indexed      float64 // 0 to 1 while it is indexing
	judging      bool    // its wrong chunk is being looked into
	toldAccepted bool    // what accepting it meant was told
	toldFull     bool    // Full was told
	toldRefused  bool    // ValuesRefused was told
	toldOther    bool    // WayRefused was told
	tried        bool    // no run with its size succeeded; it is not asked again
}

// A connection is one of those to a server. It belongs to the loop, except way,
// whose methods anybody may call.
type connection struct {
	way     source.Conn
	opened  time.Time
	over    source.Transport
	fetches int  // requests for ranges and for values under way on it
	retired bool // gets no more of them, and is closed when it has none
	// unproved: nothing has come yet, so it is not known whether the file
	// is there. Only further connections are unproved.
	unproved bool
	parked   bool  // gets no more of them while another transport is tried
	across   bool  // of those over the other transport, while that is tried
	carried  int64 // bytes since the last look of carry
	path     int   // the number of its path reports; 0: they were not asked for
	sign     presence.Sign
	silence  presence.Way
}

// ended reports whether a connection is over.
func (c *connection) ended() bool {
	select {
	case <-c.way.Done():
		return true
	default:
		return false
	}
}

// takesRanges reports whether a connection gets ranges.
func (c *connection) takesRanges() bool { return !c.retired && !c.parked }

// openPause is the pause before a server's next further connection, after one
// failed or died within this time. It doubles each time, up to openPauseMost.
const (
	openPause     = 5 * time.Second
	openPauseMost = 5 * time.Minute
)

// conns are a server's connections. It has some only while it takes part or
// waits for the vote.
type conns struct {
	list    []*connection
	opening int           // connections that are being made
	after   time.Time     // no further connection is tried before
	pause   time.Duration // the last pause; 0: there was no failure
	mute    bool          // the server gives no path reports
	least   int           // connections that the transport needs; 0: any number
	try     *try          // of the other transport; nil: not now
	learned learned
}

// moreConns reports whether more connections to the server can help.
func (s *server) moreConns() bool {
	c := s.conns.first()
	return c != nil && c.way.Traits().MoreConns
}

// first returns the oldest connection in use, else the oldest; nil: there is
// none. More connections are made like it.
func (c *conns) first() *connection {
	if i := slices.IndexFunc(c.list, (*connection).takesRanges); i >= 0 {
		return c.list[i]
	}
	if len(c.list) > 0 {
		return c.list[0]
	}
	return nil
}

// pick returns the connection for the next range: the one with the fewest
// requests under way; nil without a connection.
func (c *conns) pick() (best *connection) {
	for _, l := range c.list {
		if l.takesRanges() && (best == nil || l.fetches < best.fetches) {
			best = l
		}
	}
	return best
}

// minRTT returns the least round trip; 0 when it is not known.
func (c *conns) minRTT() (rtt time.Duration) {
	for _, l := range c.list {
		if r := l.way.Stats().MinRTT; r > 0 && (rtt == 0 || r < rtt) {
			rtt = r
		}
	}
	return rtt
}

// active returns how many connections are in use.
func (c *conns) active() (n int) {
	for _, l := range c.list {
		if l.takesRanges() {
			n++
		}
	}
	return n
}

// idle returns how many of those have no request under way.
func (c *conns) idle() (n int) {
	for _, l := range c.list {
		if l.takesRanges() && l.fetches == 0 {
			n++
		}
	}
	return n
}

// of returns the connection that is a way; nil: it is not in the list.
func (c *conns) of(way source.Conn) *connection {
	i := slices.IndexFunc(c.list, func(l *connection) bool { return l.way == way })
	if i < 0 {
		return nil
	}
	return c.list[i]
}

// forget takes a connection out of the list; false: it was not in it.
func (c *conns) forget(l *connection) bool {
	i := slices.Index(c.list, l)
	if i < 0 {
		return false
	}
	c.list = slices.Delete(c.list, i, i+1)
	return true
}

// closeRetired closes a retired connection once it has nothing to do.
func (c *conns) closeRetired(l *connection) {
	if !l.retired || l.fetches > 0 {
		return
	}
	c.forget(l)
	l.way.Close()
}

// pauseOpening opens no further connection for a while.
func (c *conns) pauseOpening(now time.Time) {
	c.pause = min(max(2*c.pause, openPause), openPauseMost)
	c.after = now.Add(c.pause)
}

// hangUp ends all connections.
func (c *conns) hangUp() {
	for _, l := range c.list {
		l.way.Close()
	}
	c.list = nil
}

// hangUp ends all connections to a server that is not needed, or useless, for
// now. Its contact goes on.
func (s *server) hangUp() {
	s.conns.hangUp()
	s.contact.lose()
}

// use adds a connection that was made to those of a server.
func (s *server) use(c *connection) {
	c.over = c.way.Peer().Transport
	s.conns.list = append(s.conns.list, c)
	s.share.totals.Connected++
}

// came notes bytes that came on one of a server's connections.
func (s *server) came(c *connection, bytes int64) {
	s.share.sign.Came += bytes
	c.sign.Came += bytes
	c.carried += bytes
	c.unproved = c.unproved && bytes == 0
}

// noteRequest notes that a request is under way on a connection. It waits for
// the server (waits) or for this machine.
func (s *server) noteRequest(c *connection, waits bool) {
	for _, sign := range []*presence.Sign{&s.share.sign, &c.sign} {
		sign.Owes = sign.Owes || waits
		sign.Busy = sign.Busy || !waits
	}
}

// report returns a server's part in the run, without its rate.
func (s *server) report() ServerReport {
	r := ServerReport{Target: s.target, ID: s.id, State: s.state, Transport: s.over, Bytes: s.share.bytes, Arrived: s.share.arrived, BadChunks: s.share.bad, Err: s.err, ServerTotals: s.share.totals}
	if s.state == StateIndexing {
		r.Indexing = s.trouble.indexed
	}
	if c := s.conns.first(); c != nil && s.state == StateServing {
		r.RTT, r.Conns = c.way.Stats().SmoothedRTT, len(s.conns.list)
	}
	return r
}

// A roster is the servers of a session. It belongs to the loop.
type roster struct {
	servers []*server
	met     meetings
	answers int // how many servers have answered
	paths   int // how many connections were asked for path reports
	carrier *carrier.Carrier
}

func newRoster(sources []source.Source) *roster {
	r := &roster{carrier: carrier.New(), met: meetings{at: make(map[netip.AddrPort]*server), hosts: make(map[netip.Addr]string), told: make(map[string]bool)}}
	for _, src := range sources {
		r.add(src)
	}
	return r
}

// add adds a source, and returns it as a server.
func (r *roster) add(src source.Source) *server {
	v := &server{index: len(r.servers), source: src, target: src.Target()}
	r.servers = append(r.servers, v)
	return v
}

// at returns the server of a target; nil: no server is of it.
func (r *roster) at(t source.Target) *server {
	i := slices.IndexFunc(r.servers, func(v *server) bool { return v.target == t })
	if i < 0 {
		return nil
	}
	return r.servers[i]
}

// byRank returns the servers that take part, in the order of their answers.
func (r *roster) byRank() []*server {
	var serving []*server
	for _, s := range r.servers {
		if s.state == StateServing {
			serving = append(serving, s)
		}
	}
	slices.SortFunc(serving, func(a, b *server) int { return a.rank - b.rank })
	return serving
}

// any reports whether f holds of a server.
func (r *roster) any(f func(*server) bool) bool { return slices.ContainsFunc(r.servers, f) }

// meetings record which servers of the command line have one address. It
// belongs to the loop.
type meetings struct {
	at    map[netip.AddrPort]*server // which of them is used
	hosts map[netip.Addr]string      // the first typed host that answered there
	told  map[string]bool            // of typed hosts
}

// used returns the server that is already used at the address where s has
// answered; nil: there was no such server, and s is used from now on.
func (m *meetings) used(s *server, addr netip.AddrPort) *server {
	other := m.at[addr]
	if other == nil || other == s || other.left || !other.state.isUsed() {
		m.at[addr] = s
		return nil
	}
	return other
}

// other returns the typed host that has answered at the address of host, if it
// is another one and was not returned for host before; else "".
func (m *meetings) other(host string, addr netip.Addr) string {
	first, met := m.hosts[addr]
	switch {
	case !met:
		m.hosts[addr] = host
	case first != host && !m.told[host]:
		m.told[host] = true
		return first
	}
	return ""
}

// A contact keeps a way to a source as long as the source may be of use. It
// runs beside the loop, and tells it what happens.
type contact struct {
	ctx      context.Context    // lives while the source may be of use
	stop     context.CancelFunc // ends ctx; any goroutine may call it
	down     chan struct{}      // receives when the source has no connection left
	source   source.Source
	patience time.Duration
	values   *atomic.Bool // whether values are wanted
	wanting  *wanting     // what mirrors are to have
	mute     bool         // the source cannot say what it has; only run uses it
	tell     contactTold
}

// contactTold receives what happens to a contact. Each function returns when
// the loop has room for the message; there is no answer.
type contactTold struct {
	connected func(source.Peer, source.Traits)
	indexing  func(done, total int64)
	muted     func()
	answered  func(source.Conn, source.Offer)
	ended     func(source.Conn, error)
	failed    func(err error, final bool)
}

// lose tells the contact that its source has no connection left.
func (c *contact) lose() {
	select {
	case c.down <- struct{}{}:
	default:
	}
}
