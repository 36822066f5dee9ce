package transfer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// A sharedPool hands out buffers of one size to clients, bounds how many are in
// use, and is fair between addresses: a free buffer goes to whoever waits and
// has the fewest, and nobody gets one who has as many as are free. So one
// address alone has at most half of all, and a new one never waits for it. Any
// goroutine may call its methods.
type sharedPool struct {
	pool sync.Pool // of *[]byte

	mu      sync.Mutex
	free    int
	held    map[netip.Addr]int
	waiting []*bufferWait // in the order in which they came
}

type bufferWait struct {
	addr  netip.Addr
	given chan struct{} // closed when a buffer is counted for addr
}

// newSharedPool returns a pool of at most n buffers of size bytes each.
func newSharedPool(n, size int) *sharedPool {
	p := &sharedPool{free: n, held: make(map[netip.Addr]int)}
	p.pool.New = func() any {
		b := make([]byte, size)
		return &b
	}
	return p
}

// get waits for a buffer for a client at addr. The error is that of ctx.
func (p *sharedPool) get(ctx context.Context, addr netip.Addr) (*[]byte, error) {
	w := &bufferWait{addr: addr, given: make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, w)
	p.hand()
	p.mu.Unlock()
	select {
	case <-w.given:
		return p.pool.Get().(*[]byte), nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else {
		p.takeBack(addr)
	}
	return nil, context.Cause(ctx)
}

// put gives a buffer of a client's back.
func (p *sharedPool) put(addr netip.Addr, b *[]byte) {
	p.pool.Put(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeBack(addr)
}

// takeBack counts a buffer as free. The caller holds mu.
func (p *sharedPool) takeBack(addr netip.Addr) {
	p.free++
	if p.held[addr]--; p.held[addr] == 0 {
		delete(p.held, addr)
	}
	p.hand()
}

// hand gives free buffers to those who wait. The caller holds mu.
func (p *sharedPool) hand() {
	for p.free > 0 && len(p.waiting) > 0 {
		next := 0
		for i, w := range p.waiting {
			if p.held[w.addr] < p.held[p.waiting[next].addr] {
				next = i
			}
		}
		w := p.waiting[next]
		if p.held[w.addr] >= p.free {
			return
		}
		p.waiting = slices.Delete(p.waiting, next, next+1)
		p.free--
		p.held[w.addr]++
		close(w.given)
	}
}
