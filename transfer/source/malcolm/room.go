package malcolm

import (
	"context"
	"slices"
	"sync"

	"malcolm/wire"
)

// least are the limits of a connection until its server has said others: one
// request at a time, so that nobody waits behind a connection that is refused.
var least = wire.Limits{Streams: 1, Flight: wire.LeastLongest, Longest: wire.LeastLongest}

// A room keeps the requests of one connection within the server's limits.
// Waiting requests are let in in order; only those that ask for no bytes may
// overtake. Any goroutine may use it.
type room struct {
	mu      sync.Mutex
	limits  wire.Limits // zero: least
	opened  bool        // the server has said limits
	streams int         // requests under way
	flight  int64       // bytes of ranges under way
	queue   []*place
	said    chan struct{} // closed once opened is set; nil: nobody waits for it
}

// A place is held by what is under way: by a request, or by the requests of one
// [body], which come one after the other.
type place struct {
	room    *room
	wanted  int64         // bytes of all requests
	longest int64         // bytes of one request, once ready is closed
	held    int64         // bytes that may still come of the request under way, or of a later one
	left    bool          // it was given back
	ready   chan struct{} // closed once the place is there
}

// open takes the limits that a server has said. Where a connection is made of
// several, the least count.
func (r *room) open(l wire.Limits) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened {
		l.Streams, l.Flight = min(l.Streams, r.limits.Streams), min(l.Flight, r.limits.Flight)
		l.Longest = min(l.Longest, r.limits.Longest)
	}
	if !r.opened && r.said != nil {
		close(r.said)
	}
	r.limits, r.opened = l, true
	r.admit()
}

// accepted waits until the server has said limits; false: ctx or the connection
// has ended before.
func (r *room) accepted(ctx context.Context, ended <-chan struct{}) bool {
	r.mu.Lock()
	if r.said == nil {
		r.said = make(chan struct{})
		if r.opened {
			close(r.said)
		}
	}
	said := r.said
	r.mu.Unlock()
	select {
	case <-said:
		return true
	case <-ended:
	case <-ctx.Done():
	}
	return false
}

// enter waits for a place for requests of some bytes of ranges in all; 0: for a
// request that asks for none. It returns nil if ctx or the connection has
// ended.
func (r *room) enter(ctx context.Context, ended <-chan struct{}, bytes int64) *place {
	p := &place{room: r, wanted: bytes, ready: make(chan struct{})}
	r.mu.Lock()
	r.queue = append(r.queue, p)
	r.admit()
	r.mu.Unlock()
	select {
	case <-p.ready:
		return p
	case <-ended:
	case <-ctx.Done():
	}
	p.leave()
	return nil
}

// admit gives places to those that wait. The caller holds mu.
func (r *room) admit() {
	limits := r.limits
	if !r.opened {
		limits = least
	}
	behind := false // a range waits for bytes
	r.queue = slices.DeleteFunc(r.queue, func(p *place) bool {
		need := min(p.wanted, limits.Longest)
		if r.streams >= limits.Streams || need > 0 && (behind || r.flight+need > limits.Flight) {
			behind = behind || need > 0
			return false
		}
		r.streams++
		r.flight += need
		p.longest, p.held = limits.Longest, need
		close(p.ready)
		return true
	})
}

// shrink says how many bytes are still to come, of this request and the later
// ones.
func (p *place) shrink(bytes int64) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes < p.held && !p.left {
		r.flight -= p.held - bytes
		p.held = bytes
		r.admit()
	}
}

// leave gives a place back, or no longer waits for it. It may be called again.
func (p *place) leave() {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.queue, p)
	switch {
	case i >= 0:
		r.queue = slices.Delete(r.queue, i, i+1)
	case !p.left:
		p.left = true
		r.streams--
		r.flight -= p.held
	}
	r.admit()
}
