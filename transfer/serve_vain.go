package transfer

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// vainTime is the time that pays for as many requests in vain as the limit is.
	vainTime = 16 * time.Second
	// vainMost bounds the addresses of which they are known; all further ones
	// count as one.
	vainMost = 1024
)

// A vainCount counts the requests in vain of each address over all of its
// connections, so that who comes back with a new one has not begun anew. Any
// goroutine may call its methods.
type vainCount struct {
	limit int // what one address may owe, at least 1

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
func (v *vainCount) pass(o *owed, now time.Time) {
	o.requests = max(0, o.requests-float64(v.limit)*float64(now.Sub(o.at))/float64(vainTime))
	o.at = now
}

// add counts n more requests in vain, or fewer when n is negative, and reports
// whether the address has more than the limit. More than one above it are not
// remembered.
func (v *vainCount) add(addr netip.Addr, now time.Time, n float64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.of(addr, now)
	v.pass(o, now)
	o.requests = min(max(0, o.requests+n), float64(v.limit+1))
	return o.requests > float64(v.limit)
}

// turn returns how long a new connection of an address has to wait for its first
// answer: not at all, or for its turn when the address has as many as the limit;
// at most so long, however many wait.
func (v *vainCount) turn(addr netip.Addr, now time.Time, most time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.of(addr, now)
	if v.pass(o, now); o.requests < float64(v.limit) {
		return 0
	}
	if o.next.Before(now) {
		o.next = now
	}
	wait := o.next.Sub(now)
	if wait > most {
		return most
	}
	o.next = o.next.Add(vainTime / time.Duration(v.limit))
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
		if v.pass(o, now); o.requests == 0 {
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
