package serve

import (
	"net/netip"
	"time"

	"malcolm/transfer/admission"
)

// reclaimEvery is the time between two looks for connections that hold too
// much.
const reclaimEvery = time.Second

// A resident is a connection that has a place, as [admission.Book] knows it.
type resident interface{ expel(why string) }

// A gate lets connections in to all virtual servers, by the rules of the book.
type gate struct{ book *admission.Book }

// MustProve implements [transport.Gate].
func (g gate) MustProve(from netip.Addr) bool { return g.book.MustProve(from, time.Now()) }

// Enter implements [transport.Gate].
func (g gate) Enter(from netip.Addr, proved bool) (any, func(), bool) {
	rec, gone, ok := g.book.Enter(from, proved, time.Now())
	if c, evicted := gone.(resident); evicted {
		go c.expel("others need the place") // it may wait, and here nobody may
	}
	return rec, func() { g.book.Leave(rec, time.Now()) }, ok
}

// reclaim closes connections that hold bytes others need, and tells how many
// bytes all connections may take. It returns when done is closed.
func (s *Server) reclaim(done <-chan struct{}) {
	tick := time.NewTicker(reclaimEvery)
	defer tick.Stop()
	granted := int64(0)
	s.beats()
	for {
		if now := s.book.Granted(); now != granted && s.cfg.Granted != nil {
			granted = now
			s.cfg.Granted(now)
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
		s.beats()
		for _, gone := range s.book.Overdue(time.Now()) {
			gone.(resident).expel("too little was taken of what was sent")
		}
	}
}
