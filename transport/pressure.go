package transport

import (
	"sync/atomic"
	"time"
)

const (
	// maxAhead is the number of packets by which quic-go may be behind in
	// processing. It drops those of a connection beyond 256, which the
	// sender takes for congestion.
	maxAhead = 200
	// aheadPause is the time between two looks at quic-go's progress.
	// aheadPatience ends the wait when its count stands still for this
	// long. The count may never catch up: packets for no connection are
	// handed over and not counted.
	aheadPause    = 50 * time.Microsecond
	aheadPatience = 5 * time.Millisecond
)

// A pressure holds back the reading of a connection's socket while quic-go has
// not processed what it was handed. So the kernel's buffer, which is far
// larger, takes the bursts.
type pressure struct {
	received  atomic.Pointer[func() uint64] // packets that quic-go has processed; nil: not known
	delivered uint64                        // packets handed over, by the same count; the reader's
	waits     atomic.Uint64
	pause     func(time.Duration) // time.Sleep, except in tests
}

// follow begins to hold back reading by the result of received, which any
// goroutine may call.
func (p *pressure) follow(received func() uint64) { p.received.Store(&received) }

// handed says that n packets were handed over.
func (p *pressure) handed(n int) { p.delivered += uint64(n) }

// wait returns when quic-go is at most maxAhead packets behind, or makes no
// progress. Only the reading goroutine may call it.
func (p *pressure) wait() {
	f := p.received.Load()
	if f == nil {
		return
	}
	seen := (*f)()
	if p.delivered <= seen+maxAhead {
		return
	}
	p.waits.Add(1)
	for still := time.Duration(0); still < aheadPatience; still += aheadPause {
		p.pause(aheadPause)
		now := (*f)()
		if p.delivered <= now+maxAhead {
			return
		}
		if now != seen {
			seen, still = now, 0
		}
	}
	p.delivered = seen
}
