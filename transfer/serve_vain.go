package transfer

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// vainRate is how many requests in vain of one address a second pays for.
	vainRate = 16
	// vainMost bounds the addresses of which they are known; all further ones
	// count as one.
	vainMost = 1024
)

// A vainCount counts the requests in vain of each address over all of its
// connections, so that who comes back with a new one has not begun anew. Any
// goroutine may call its methods; the zero vainCount has counted none.
type vainCount struct {
	mu    sync.Mutex
	addrs map[netip.Addr]*owed
}

// owed is what one address has not been forgiven yet.
type owed struct {
	requests float64
	at       time.Time
	next     time.Time // from when on its next connection is answered
}

// pass forgives what the time has paid for.
func (o *owed) pass(now time.Time) {
	o.requests = max(0, o.requests-now.Sub(o.at).Seconds()*vainRate)
	o.at = now
}

// add counts n more requests in vain, or fewer when n is negative, and reports
// whether the address has more than limit. More than one above it are not
// remembered.
func (v *vainCount) add(addr netip.Addr, now time.Time, n float64, limit int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.of(addr, now)
	o.pass(now)
	o.requests = min(max(0, o.requests+n), float64(limit+1))
	return o.requests > float64(limit)
}

// turn returns how long a new connection of an address has to wait for its first
// answer: not at all, or for its turn when the address has as many as limit; at
// most so long, however many wait.
func (v *vainCount) turn(addr netip.Addr, now time.Time, limit int, most time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.of(addr, now)
	if o.pass(now); o.requests < float64(limit) {
		return 0
	}
	if o.next.Before(now) {
		o.next = now
	}
	wait := o.next.Sub(now)
	if wait > most {
		return most
	}
	o.next = o.next.Add(time.Second / vainRate)
	return wait
}

// of returns what an address owes. The caller holds mu.
func (v *vainCount) of(addr netip.Addr, now time.Time) *owed {
	if o := v.addrs[addr]; o != nil {
		return o
	}
	if v.addrs == nil {
		v.addrs = make(map[netip.Addr]*owed)
	}
	for a, o := range v.addrs {
		if len(v.addrs) < vainMost {
			break
		}
		if o.pass(now); o.requests == 0 {
			delete(v.addrs, a)
		}
	}
	if len(v.addrs) >= vainMost {
		addr = netip.Addr{}
	}
	if v.addrs[addr] == nil {
		v.addrs[addr] = &owed{at: now}
	}
	return v.addrs[addr]
}
