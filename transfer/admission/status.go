package admission

import (
	"cmp"
	"net/netip"
	"slices"
)

// Status is what a client was sent since it has had a connection without a break.
type Status struct {
	Addr   netip.Addr // of its first connection
	Conns  int        // with a place
	Ranges int        // being sent
	Sent   int64      // bytes of the file
}

// Clients returns the clients that were sent the most, at most most of them, and how
// many others there are.
func (b *Book) Clients(most int) (list []Status, others int) {
	b.mu.Lock()
	for _, cl := range b.clients {
		if open := cl.places - cl.halfOpen; open > 0 {
			list = append(list, Status{Addr: cl.host, Conns: open, Ranges: cl.ranges, Sent: cl.sent})
		}
	}
	b.mu.Unlock()
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(b.Sent, a.Sent), a.Addr.Compare(b.Addr))
	})
	shown := min(len(list), most)
	return list[:shown:shown], len(list) - shown
}
