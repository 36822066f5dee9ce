package serve

import (
	"sync/atomic"
	"time"

	"malcolm/transfer/pace"
	"malcolm/transport"
	"malcolm/wire"
)

// A Closing is why serve closed a connection that its client would have kept.
type Closing int

// The reasons. Connections whose places others need, and those that hold too
// much, are in [admission.Counts] and [admission.Passed].
const (
	ClosedUnopened Closing = iota // it was not opened in time
	ClosedIdle                    // nothing was under way for too long
	ClosedWasteful                // it wasted too many requests
	ClosedStalled                 // it took nothing of a reply for too long
	Closings                      // their number
)

// Statuses is how many statuses of replies there are. See [Meters].
const Statuses = wire.StatusFailedSpan + 1

// meters count what a server does. Any goroutine may use them; none waits.
type meters struct {
	began   time.Time
	beat    atomic.Int64 // when reclaim last looked, in nanoseconds since began
	panics  atomic.Int64
	denied  atomic.Int64           // connections without the token
	refused [Statuses]atomic.Int64 // requests and spans, by the status that answered them
	closed  [Closings]atomic.Int64
	reads   pace.Times
	trips   pace.Times
}

// Meters are what a server has done, in more detail than [Status].
type Meters struct {
	Refused [Statuses]int64 // requests and spans that were refused, by the status of the reply
	Closed  [Closings]int64 // connections
	Reads   pace.Spread     // of pieces of the file from the disk, or from the system's cache
	Trips   pace.Spread     // smoothed round trips, one for each request for ranges that was answered
}

func (m *meters) meters() (all Meters) {
	for i := range m.refused {
		all.Refused[i] = m.refused[i].Load()
	}
	for i := range m.closed {
		all.Closed[i] = m.closed[i].Load()
	}
	all.Reads, all.Trips = m.reads.Spread(), m.trips.Spread()
	return all
}

// beats says that the server still looks after its connections.
func (m *meters) beats() { m.beat.Store(int64(time.Since(m.began))) }

// Silent returns how long ago the server last looked after its connections,
// which it does each second while it runs. It is safe to ask a server that has
// a deadlock. Any goroutine may call it.
func (s *Server) Silent() time.Duration {
	return time.Since(s.began) - time.Duration(s.beat.Load())
}

// Indexing is why a server is not ready that hashes what it offers.
const Indexing = "indexing"

// Ready reports whether clients are served now: something is indexed, and a
// socket listens. If not, why says what is missing, in a word or two. Any
// goroutine may call it.
func (s *Server) Ready() (ready bool, why string) {
	listens := false
	for _, e := range s.endpoints() {
		listens = listens || e.listening.Load()
	}
	switch {
	case s.isStopping() || s.stopped.Load():
		return false, "stopping"
	case !listens:
		return false, "no socket listens"
	case !s.index.isReady():
		return false, Indexing
	}
	return true, ""
}

// indexTimes count what hashing took. Any goroutine may use them.
type indexTimes struct {
	made, took atomic.Int64
	offered    atomic.Bool // a version was, at some time
}

// ended says that hashing which began at a time has ended. made: there is
// something to offer.
func (t *indexTimes) ended(began time.Time, made bool) {
	t.took.Add(int64(time.Since(began)))
	if made {
		t.made.Add(1)
	}
}

// closeFor closes a connection for a limit.
func (c *clientConn) closeFor(why Closing, text string) {
	c.srv.closed[why].Add(1)
	c.conn.Close(uint64(wire.CloseLimit), text)
}

// way counts what went over one transport of a virtual server.
type way struct {
	clients atomic.Int64
	sent    atomic.Int64 // bytes of the file
}

// overHTTP is the place of the counts of HTTP among those of a virtual server.
const overHTTP = 2

// over returns the counts of a transport.
func (v *virtualServer) over(p transport.Protocol) *way {
	if p == transport.TCP {
		return &v.ways[1]
	}
	return &v.ways[0]
}
