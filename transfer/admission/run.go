package admission

import "time"

// A run is what the connections of a client have in common that were opened
// with one number. A client chooses its numbers, so a run shares what its
// client has, and never gets it more. A connection that is not opened yet has a
// run of its own. There are never more runs than connections.
type run struct {
	key     [16]byte
	places  int // of its connections
	sending int // connections with a reply under way
	buffers int64
	lane    lane
}

// Opened says that a connection was opened as one of a run. From now on it has
// the time of an idle connection. Later calls do nothing.
func (b *Book) Opened(c *Conn, number [16]byte, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.life.stage == Idle {
		return
	}
	b.passed.Opened++
	c.life.stage, c.life.since = Idle, now
	c.still = meter{at: c.watch.read(now)}
	if c.at < 0 {
		return
	}
	sends := c.life.replies > 0 && !c.ended
	if sends {
		b.countSending(c, -1)
	}
	c.run.buffers -= c.held.buffers
	c.run = c.client.runOf(number)
	c.run.places++
	c.run.buffers += c.held.buffers
	if sends {
		b.countSending(c, 1)
	}
}

// runOf returns the record of a client's run.
func (cl *client) runOf(number [16]byte) *run {
	r := cl.runs[number]
	if r == nil {
		r = &run{key: number}
		if cl.runs == nil {
			cl.runs = make(map[[16]byte]*run)
		}
		cl.runs[number] = r
	}
	return r
}

// leaveRun takes a connection out of its run, which is forgotten with its last
// one.
func (c *Conn) leaveRun() {
	r := c.run
	r.buffers -= c.held.buffers
	if r.places--; r.places == 0 && c.client.runs[r.key] == r {
		delete(c.client.runs, r.key)
	}
}
