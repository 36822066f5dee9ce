package admission

// A lane holds where the last piece of a client, of one of its runs or of one
// connection ends, and where the last piece of those within it began: in bytes
// of start-time fair queueing (Goyal, Vin and Cheng, 1996), on three levels.
type lane struct{ end, now int64 }

// start returns where the next piece begins. now is where the last piece of the
// level above began.
func (l *lane) start(now int64) int64 { return max(l.end, now) }

// pass moves the lane's end behind a piece of n bytes, and returns where the
// piece began.
func (l *lane) pass(n, now int64) int64 {
	began := l.start(now)
	l.end = began + n
	return began
}

// Before reports whether the next piece of a passes before that of c, which has
// waited for longer. The one that was passed less goes first: among clients,
// then among the runs of one client, then among the connections of one run.
func (b *Book) Before(a, c *Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case a.client != c.client:
		return a.client.lane.start(b.pass) < c.client.lane.start(b.pass)
	case a.run != c.run:
		now := a.client.lane.now
		return a.run.lane.start(now) < c.run.lane.start(now)
	}
	now := a.run.lane.now
	return a.lane.start(now) < c.lane.start(now)
}

// Pass says that a piece of n bytes of a connection passes.
func (b *Book) Pass(c *Conn, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cl, r := c.client, c.run
	b.pass = cl.lane.pass(n, b.pass)
	cl.lane.now = r.lane.pass(n, cl.lane.now)
	r.lane.now = c.lane.pass(n, r.lane.now)
}
