package serve

import (
	"net/netip"
	"time"

	"malcolm/transfer/admission"
	"malcolm/wire"
)

// reclaimEvery is the time between two looks for connections that hold too
// much.
const reclaimEvery = time.Second

// A gate lets connections in to all virtual servers, by the rules of the book.
type gate struct{ book *admission.Book }

// MustProve implements [transport.Gate].
func (g gate) MustProve(from netip.Addr) bool { return g.book.MustProve(from, time.Now()) }

// Enter implements [transport.Gate].
func (g gate) Enter(from netip.Addr, proved bool) (any, func(), bool) {
	rec, gone, ok := g.book.Enter(from, proved, time.Now())
	if c, evicted := gone.(*clientConn); evicted {
		go c.conn.Close(uint64(wire.CloseLimit), "others need the place") // it may wait, and here nobody may
	}
	return rec, func() { g.book.Leave(rec, time.Now()) }, ok
}

// reclaim closes connections that hold bytes others need, and tells how many
// bytes all may take. It returns when done is closed.
func (s *Server) reclaim(done <-chan struct{}) {
	tick := time.NewTicker(reclaimEvery)
	defer tick.Stop()
	limits, granted := s.limits.admission(), int64(0)
	for {
		if now := limits.Granted(s.book.Len()); now != granted && s.cfg.Granted != nil {
			granted = now
			s.cfg.Granted(now)
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
		for _, gone := range s.book.Overdue(time.Now()) {
			gone.(*clientConn).conn.Close(uint64(wire.CloseLimit), "too little was taken of what was sent")
		}
	}
}
