package transport

import "sync"

// WindowBudget bounds the connection receive windows of all client connections
// together, and so the bytes that servers can make the client hold. An eighth
// of it is kept for redials: further connections, and those that have grown,
// cannot prevent one. Any goroutine may call its methods.
type WindowBudget struct {
	total int64 // immutable

	mu   sync.Mutex
	used int64 // by all open leases; never above total
}

// NewWindowBudget returns a budget of total bytes; total <= 0: DefaultWindows.
func NewWindowBudget(total int64) *WindowBudget {
	if total <= 0 {
		total = DefaultWindows
	}
	return &WindowBudget{total: total}
}

// Used returns the bytes that connections hold now.
func (b *WindowBudget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// lease is the share of one connection.
type lease struct {
	b *WindowBudget

	// under b.mu
	held  int64
	ended bool
}

// open takes want bytes, or what is left; nil if that is less than least.
// A further connection leaves what is kept for redials.
func (b *WindowBudget) open(want, least int64, further bool) *lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.total - b.used
	if further {
		left -= b.kept()
	}
	got := min(want, left)
	if got < min(want, least) {
		return nil
	}
	b.used += got
	return &lease{b: b, held: got}
}

// kept returns the bytes that are kept for redials.
func (b *WindowBudget) kept() int64 { return b.total / 8 }

// grow takes delta more bytes, all or none. It fails on a closed lease, since
// quic-go may ask while a connection ends.
func (l *lease) grow(delta int64) bool {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.ended || delta < 0 || delta > l.b.total-l.b.kept()-l.b.used {
		return false
	}
	l.b.used += delta
	l.held += delta
	return true
}

// close gives everything back; calls after the first do nothing.
func (l *lease) close() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	l.b.used -= l.held
}
