package admission

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// check fails the test unless the sums of a book are those of its records.
func (b *Book) check(t *rapid.T) {
	t.Helper()
	type sums struct {
		places, halfOpen, sending, ranges, behind int
	}
	type runSums struct {
		places, sending int
		buffers         int64
	}
	clients, networks, runs := make(map[*client]sums), make(map[*network]int), make(map[*run]runSums)
	charged, sending := int64(0), 0
	for i, c := range b.conns {
		if c.at != i {
			t.Fatalf("connection %d thinks that it is %d", i, c.at)
		}
		s := clients[c.client]
		s.places++
		if c.ended {
			s.behind += c.held.requests
			if c.held.requests == 0 {
				t.Fatalf("connection %d has ended and is still there", i)
			}
		} else {
			s.ranges += c.life.ranges
		}
		if c.life.stage == HalfOpen {
			s.halfOpen++
		}
		r := runs[c.run]
		r.places++
		r.buffers += c.held.buffers
		if c.life.replies > 0 && !c.ended {
			if r.sending++; r.sending == 1 {
				s.sending++
			}
		}
		runs[c.run], clients[c.client] = r, s
		if opened := c.life.stage == Idle; opened != (c.client.runs[c.run.key] == c.run) {
			t.Fatalf("connection %d, opened: %v, has a run that its client knows: %v", i, opened, !opened)
		}
		networks[c.client.network]++
		charged += c.held.charge()
	}
	for key, cl := range b.clients {
		if got := (sums{cl.places, cl.halfOpen, cl.sending, cl.ranges, cl.behind}); got != clients[cl] || cl.key != key {
			t.Fatalf("client %v has %+v, want %+v", key, got, clients[cl])
		}
		if cl.sending > 0 {
			sending++
		}
		for key, r := range cl.runs {
			if runs[r].places == 0 || r.key != key {
				t.Fatalf("client %v has the run %x without a connection", cl.key, key)
			}
		}
		if cl.places == 0 && !cl.departed {
			t.Fatalf("client %v has no connection and is not on its way out", key)
		}
		delete(clients, cl)
	}
	for r, want := range runs {
		if got := (runSums{r.places, r.sending, r.buffers}); got != want {
			t.Fatalf("run %x has %+v, want %+v", r.key, got, want)
		}
	}
	for key, n := range b.networks {
		if n.places != networks[n] || n.key != key {
			t.Fatalf("network %v has %d places, want %d", key, n.places, networks[n])
		}
	}
	if len(clients) > 0 || b.charged != charged || b.sending != sending || len(b.conns) > b.limits.Places {
		t.Fatalf("%d lost clients; charged %d, want %d; sending %d, want %d; %d places", len(clients), b.charged, charged, b.sending, sending, len(b.conns))
	}
}

// Whatever happens in whatever order, no count is lost, and nothing is left
// when all have gone.
func TestBookKeepsCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(Limits{Places: rapid.IntRange(1, 12).Draw(t, "places"), Bytes: 1 << 20, Handshakes: 50, Wasted: 3})
		now := start
		type request struct{ accepted bool }
		type conn struct {
			*Conn
			requests []request
			buffers  []int64
			shaken   bool
		}
		var all []*conn
		pick := func() *conn { return rapid.SampledFrom(all).Draw(t, "connection") }
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20000).Draw(t, "ms")) * time.Millisecond)
			op := rapid.IntRange(0, 10).Draw(t, "op")
			if len(all) == 0 || op == 0 {
				c, gone, ok := b.Enter(numbered(rapid.IntRange(0, 3).Draw(t, "network"), rapid.IntRange(0, 3).Draw(t, "host")), rapid.Bool().Draw(t, "proved"), now)
				if ok {
					all = append(all, &conn{Conn: c})
				}
				if gone != nil && gone.(*conn).at >= 0 {
					t.Fatal("who had to go has a place")
				}
				b.check(t)
				continue
			}
			c := pick()
			switch op {
			case 1:
				b.Leave(c.Conn, now) // also twice, and with requests under way
			case 2:
				if !c.shaken {
					c.shaken = true
					b.Shake(c.Conn, c, now)
				}
			case 3:
				c.requests = append(c.requests, request{})
				b.Begin(c.Conn, now)
			case 4:
				if n := len(c.requests); n > 0 && !c.requests[n-1].accepted && c.shaken {
					c.requests[n-1].accepted = true
					b.Accept(c.Conn, now)
				}
			case 5:
				if n := len(c.requests); n > 0 {
					b.End(c.Conn, c.requests[n-1].accepted, now)
					c.requests = c.requests[:n-1]
				}
			case 6:
				b.Moved(c.Conn, Progress{Bytes: rapid.Int64Range(0, 1<<20).Draw(t, "bytes"), Window: rapid.Int64Range(0, 1<<20).Draw(t, "window")}, now)
			case 7:
				size := b.Take(c.Conn, rapid.SampledFrom([]int64{LeastBuffer, MostBuffer}).Draw(t, "want"), now)
				c.buffers = append(c.buffers, size)
			case 8:
				if n := len(c.buffers); n > 0 {
					b.Give(c.Conn, c.buffers[n-1], now)
					c.buffers = c.buffers[:n-1]
				}
			case 10:
				if c.shaken { // also twice, and when it has gone
					b.Opened(c.Conn, [16]byte{byte(rapid.IntRange(0, 2).Draw(t, "run"))}, now)
				}
			case 9:
				for _, gone := range b.Overdue(now) {
					if gone.(*conn).at >= 0 {
						t.Fatal("who is overdue has a place")
					}
				}
			}
			b.check(t)
		}
		for _, c := range all {
			b.Leave(c.Conn, now)
			for _, r := range c.requests {
				b.End(c.Conn, r.accepted, now)
			}
		}
		b.check(t)
		now = now.Add(2 * forgiven)
		b.forget(now)
		if len(b.clients) > 0 || len(b.networks) > 0 || b.charged != 0 || b.sending != 0 {
			t.Fatalf("left behind: %d clients, %d networks, %d bytes, %d who are sent to", len(b.clients), len(b.networks), b.charged, b.sending)
		}
	})
}

// Whatever others do, a connection whose bytes move never goes, and its client
// is not refused a place twice.
func TestWhoMovesNeverGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(Limits{Places: 40, Bytes: 1 << 40, Handshakes: 1 << 20})
		now := start
		movers := make(map[string]*Conn)
		rate := rapid.Int64Range(1100, 1<<20).Draw(t, "bytes a second")
		for i := range rapid.IntRange(1, 30).Draw(t, "movers") {
			c, _, ok := b.Enter(numbered(rapid.IntRange(0, 3).Draw(t, "network"), i), true, now)
			if !ok {
				t.Fatal("refused")
			}
			name := c.Host.String()
			b.Shake(c, name, now)
			b.Opened(c, [16]byte{}, now)
			b.request(c, now)
			movers[name] = c
		}
		gone := func(owner any) {
			if name, ok := owner.(string); ok && movers[name] != nil {
				t.Fatalf("%s had to go, whose bytes move", name)
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "seconds") {
			now = now.Add(time.Second)
			for _, c := range movers {
				b.Moved(c, Progress{Bytes: rate, Window: 1 << 24}, now)
			}
			for range rapid.IntRange(0, 5).Draw(t, "attackers") {
				c, out, ok := b.Enter(numbered(rapid.IntRange(0, 5).Draw(t, "their network"), 200), true, now)
				gone(out)
				if !ok || rapid.Bool().Draw(t, "half-open") {
					continue
				}
				b.Shake(c, 1, now)
				if rapid.Bool().Draw(t, "opens") {
					b.Opened(c, [16]byte{}, now)
					b.request(c, now)
				}
			}
		}
	})
}
