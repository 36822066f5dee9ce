package admission

import (
	"cmp"
	"net/netip"
	"slices"
)

// Status is what was sent to a client since it last had no connection.
type Status struct {
	Addr   netip.Addr // of its first connection
	Conns  int        // with a place
	Ranges int        // being sent
	Sent   int64      // bytes of the file
}

// Counts is what a book has decided since it was made.
type Counts struct {
	Retried int64 // packets whose sender had to prove its address first (Retry)
	Refused int64 // connections that got no place
	Evicted int64 // connections that lost their place to others
	Wasted  int64 // requests that were wasted
	Delayed int64 // connections whose first answer was delayed
}

// A Load is what connections take at one moment.
type Load struct {
	Conns int   // with a place, half-open ones included
	Held  int64 // the sum of all charges, in bytes
}

// Passed is how far connections came since the book was made.
type Passed struct {
	Begun   int64 // handshakes of those that got a place
	Shaken  int64 // of these, handshakes that were completed
	Opened  int64 // of these, those that were opened
	Overdue int64 // that lost their place since they held too much; [Counts].Evicted has them too
}

// Passed returns how far connections came, and how many clients have one whose
// handshake is complete. Unlike [Book.Clients] it takes the same time however
// many there are.
func (b *Book) Passed() (passed Passed, clients int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	passed = b.passed
	passed.Begun = int64(b.numbers)
	return passed, b.present
}

// isPresent reports whether a client has a connection whose handshake is
// complete.
func (cl *client) isPresent() bool { return cl.places > cl.halfOpen }

// watchPresence changes what a client has, and counts whether it is present.
func (b *Book) watchPresence(cl *client, change func()) {
	before := cl.isPresent()
	change()
	switch after := cl.isPresent(); {
	case after && !before:
		b.present++
	case before && !after:
		b.present--
	}
}

// Load returns what connections take now, and what the book has decided so far.
func (b *Book) Load() (Load, Counts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Load{Conns: len(b.conns), Held: b.charged}, b.counts
}

// Clients returns the clients that were sent the most bytes, at most most of
// them, and the number of the others.
func (b *Book) Clients(most int) (list []Status, others int) {
	b.mu.Lock()
	for _, cl := range b.clients {
		if cl.isPresent() {
			list = append(list, Status{Addr: cl.host, Conns: cl.places - cl.halfOpen, Ranges: cl.ranges, Sent: cl.sent})
		}
	}
	b.mu.Unlock()
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(b.Sent, a.Sent), a.Addr.Compare(b.Addr))
	})
	shown := min(len(list), most)
	return list[:shown:shown], len(list) - shown
}
