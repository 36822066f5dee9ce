package https

import (
	"slices"
	"sync"
	"time"
)

const (
	// linkTime is how long a link is kept that nobody uses. Web servers
	// keep one for a minute or less.
	linkTime = 10 * time.Second
	// mostLinks bounds the links that are kept. The oldest one goes first.
	mostLinks = 64
)

// Links are connections to mirrors that are kept from one file to the next: an
// origin is then proved once for many small files. A link that the mirror has
// closed meanwhile costs one more try. Any goroutine may call its methods.
type Links struct {
	mu     sync.Mutex
	idle   []idleLink // oldest first
	closed bool
}

type idleLink struct {
	*link
	since time.Time
}

// Close closes the links that are kept, and keeps no more.
func (k *Links) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.trim(len(k.idle))
}

// trim closes the n oldest links. The caller holds mu.
func (k *Links) trim(n int) {
	for _, l := range k.idle[:n] {
		l.close()
	}
	k.idle = slices.Delete(k.idle, 0, n)
}

// old returns how many links were kept for too long.
func (k *Links) old(now time.Time) (n int) {
	for n < len(k.idle) && now.Sub(k.idle[n].since) > linkTime {
		n++
	}
	return n
}

// keep takes a link that nobody uses or wakes any more. It closes one that was
// woken, and on a nil Links any.
func (k *Links) keep(l *link) {
	if k == nil || !l.used || l.woke.Load() {
		l.close()
		return
	}
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		l.close()
		return
	}
	k.idle = append(k.idle, idleLink{l, now})
	k.trim(max(k.old(now), len(k.idle)-mostLinks))
}

// take returns the youngest link to where a hop leads; nil: there is no such
// one. A guarded hop takes only one whose address was judged.
func (k *Links) take(to hop) *link {
	if k == nil {
		return nil
	}
	origin := originOf(to.url)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trim(k.old(time.Now()))
	for i := len(k.idle) - 1; i >= 0; i-- {
		if l := k.idle[i].link; l.origin == origin && (l.guarded || !to.guarded) {
			k.idle = slices.Delete(k.idle, i, i+1)
			return l
		}
	}
	return nil
}
