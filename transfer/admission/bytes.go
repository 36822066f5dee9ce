package admission

import (
	"cmp"
	"slices"
	"time"
)

// held is what a connection may make the server hold.
type held struct {
	window   int64 // the largest congestion window, in bytes
	total    int64 // bytes sent to it: it can hold no more of them
	buffers  int64 // bytes
	requests int   // under way
	asking   int   // of these, those that are being read or were refused
	spans    int   // of the ranges that are being sent
}

// charge returns the bytes that a connection is charged. For unacknowledged
// bytes the library keeps packets of one size, which need not be full: a third
// more.
func (h *held) charge() int64 {
	kept := min(h.window, h.total)
	asked := int64(h.requests)*requestSize + int64(h.asking)*askSize + int64(h.spans)*spanSize
	return max(0, kept+kept/3+h.buffers+asked-free)
}

// hold changes what a connection holds, and the sums.
func (b *Book) hold(c *Conn, now time.Time, change func(h *held)) {
	before := c.held
	change(&c.held)
	if c.at < 0 {
		return
	}
	if c.ended {
		c.client.behind += c.held.requests - before.requests
	}
	was, is := before.charge(), c.held.charge()
	b.charged += is - was
	c.run.buffers += c.held.buffers - before.buffers
	if was == 0 && is > 0 {
		c.worth = meter{at: c.watch.read(now)}
	}
}

// Progress is what was sent to a connection.
type Progress struct {
	Bytes  int64
	File   bool  // of the file: counted in [Status]
	Window int64 // the congestion window now, in bytes
}

// Moved says that the client has taken bytes.
func (b *Book) Moved(c *Conn, p Progress, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own := c.watch.read(now)
	if p.File {
		c.client.sent += p.Bytes
	}
	c.still.add(p.Bytes, stillBytes, own)
	b.hold(c, now, func(h *held) {
		h.total += p.Bytes
		h.window = max(h.window, p.Window)
		c.worth.add(p.Bytes, max(h.charge(), 1), own)
		if c.worth.at == own && c.worth.moved == 0 {
			// A whole window of bytes has been taken since, so what
			// was on its way then has arrived.
			h.window = p.Window
		}
	})
}

// Wait says that a connection waits for the server. That time is never held
// against it.
func (b *Book) Wait(c *Conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.watch.stop(now)
}

// Resume ends one Wait.
func (b *Book) Resume(c *Conn, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.watch.run(now)
}

// The smallest and the largest buffer, in bytes. Everybody may have the
// smallest.
const (
	LeastBuffer = 4 << 10
	MostBuffer  = 128 << 10
)

// Take returns the size of the buffer for a connection that wants want bytes:
// want, or LeastBuffer if its run would then hold more than its share in
// buffers. The share is what is left of the budget, divided by the client's
// sending runs. So the buffers of one client take at most half of the budget.
// Nobody waits.
func (b *Book) Take(c *Conn, want int64, now time.Time) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.limits.Bytes - b.charged
	if c.run.buffers+want > left/int64(max(c.client.sending, 1)) {
		want = LeastBuffer
	}
	b.hold(c, now, func(h *held) { h.buffers += want })
	return want
}

// Give takes back a buffer.
func (b *Book) Give(c *Conn, size int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold(c, now, func(h *held) { h.buffers -= size })
}

const (
	// A slowed connection gets 1/slowness of its window in a round trip, in
	// pieces of half of that. The library's window grows only while more
	// than half of it is on its way.
	slowness = 2
	// longestPause bounds what [Book.Pace] returns.
	longestPause = time.Second
)

// Pace returns how many of n bytes to send next on a connection, and how long
// to wait before. window is its congestion window in bytes, rtt its round trip.
// While the budget is spent, a connection with more than its share is slowed,
// so that its window does not grow.
func (b *Book) Pace(c *Conn, n, window int64, rtt time.Duration) (int64, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isSpent() || c.held.charge() <= b.share(c) {
		return n, 0
	}
	window = max(window, LeastBuffer)
	n = min(n, max(window/slowness/slowness, LeastBuffer))
	return n, min(time.Duration(float64(rtt)*slowness*float64(n)/float64(window)), longestPause)
}

// share returns what a connection may hold in any case: its even part of
// 1/sharePart of the budget.
func (b *Book) share(c *Conn) int64 {
	of := func(n int) int64 { return int64(max(n, 1)) }
	return b.limits.Bytes / sharePart / of(b.sending) / of(c.client.sending) / of(c.run.sending)
}

// isSpent reports whether the budget is spent. 1/slowPart of it is kept for
// what windows grow by before they are held.
func (b *Book) isSpent() bool { return b.charged > b.limits.Bytes-b.limits.Bytes/slowPart }

// Overdue returns the owners of the connections that must be closed because
// bytes have run out. They have lost their places already.
func (b *Book) Overdue(now time.Time) (gone []any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.isSpent() {
		return nil
	}
	var late []*Conn
	for _, c := range b.conns {
		if c.life.stage != HalfOpen && !c.ended && c.held.charge() > 0 && c.watch.read(now)-c.worth.at >= chargeSpan {
			late = append(late, c)
		}
	}
	slices.SortFunc(late, func(a, b *Conn) int {
		return cmp.Or(cmp.Compare(b.held.charge(), a.held.charge()), cmp.Compare(a.number, b.number))
	})
	for _, c := range late {
		if !b.isSpent() {
			break
		}
		b.evict(c, now)
		b.passed.Overdue++
		gone = append(gone, c.owner)
	}
	return gone
}

// Charged returns the sum of all charges, in bytes.
func (b *Book) Charged() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.charged
}
