package admission

// A lane holds where a client's last piece ends and where its connections' last
// piece began, in bytes of start-time fair queueing (Goyal, Vin and Cheng,
// 1996).
type lane struct{ end, now int64 }

// Before reports whether the next piece of a passes before that of c, which has
// waited for longer. The one that was passed less goes first, among clients and
// then among the connections of one.
func (b *Book) Before(a, c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.client != c.client {
		return max(a.client.lane.end, b.lane) < max(c.client.lane.end, b.lane)
	}
	now := a.client.lane.now
	return max(a.lane, now) < max(c.lane, now)
}

// Pass says that a piece of n bytes of a connection passes.
func (b *Book) Pass(c *Conn, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cl := c.client
	b.lane = max(cl.lane.end, b.lane)
	cl.lane.end = b.lane + n
	cl.lane.now = max(c.lane, cl.lane.now)
	c.lane = cl.lane.now + n
}
