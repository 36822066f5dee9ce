package admission

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// start is when the tests begin.
var start = time.Unix(1e9, 0)

func host(s string) netip.Addr { return netip.MustParseAddr(s) }

// numbered returns the nth address of network k, all of which have one /24.
func numbered(k, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(k >> 8), byte(k), byte(n)})
}

// enter lets a proved connection in, or fails the test.
func (b *Book) enter(t *testing.T, from netip.Addr, now time.Time) *Conn {
	t.Helper()
	c, gone, ok := b.Enter(from, true, now)
	if !ok || gone != nil {
		t.Fatalf("a connection from %v: ok %v, and %v had to go", from, ok, gone)
	}
	return c
}

// open lets a connection in that is opened and whose first request is over.
func (b *Book) open(t *testing.T, from netip.Addr, owner any, now time.Time) *Conn {
	t.Helper()
	return b.openRun(t, from, [16]byte{}, owner, now)
}

// openRun is open for a connection of a run.
func (b *Book) openRun(t *testing.T, from netip.Addr, run [16]byte, owner any, now time.Time) *Conn {
	t.Helper()
	c := b.enter(t, from, now)
	b.Shake(c, owner, now)
	b.Opened(c, run, now)
	b.request(c, now)
	return c
}

func (b *Book) request(c *Conn, now time.Time) {
	b.Begin(c, now)
	b.Accept(c, now)
	b.End(c, true, now)
}

func TestClientAndNetwork(t *testing.T) {
	for _, test := range []struct {
		a, b          string
		client, other bool // one client, one network
	}{
		{"2001:db8::1", "2001:db8::ffff:1:2:3", true, true},
		{"2001:db8::1", "2001:db8:0:1::1", false, true},
		{"2001:db8::1", "2001:db8:1::1", false, false},
		{"10.0.0.1", "10.0.0.2", false, true},
		{"10.0.0.1", "10.0.1.1", false, false},
		{"10.0.0.1", "::ffff:10.0.0.1", true, true},
		{"fe80::1%eth0", "fe80::2%eth0", true, true},
		{"fe80::1%eth0", "fe80::1%eth1", false, false},
	} {
		a, b := Client(host(test.a)), Client(host(test.b))
		if (a == b) != test.client || (Network(a) == Network(b)) != test.other {
			t.Errorf("%s and %s are %v and %v, want one client: %v, one network: %v", test.a, test.b, a, b, test.client, test.other)
		}
	}
	if got := Network(Client(netip.Addr{})); got.IsValid() {
		t.Errorf("no address is in %v", got)
	}
}

func TestPlacesOfMemory(t *testing.T) {
	for _, test := range []struct {
		memory int64
		places int
		bytes  int64
	}{
		{0, DefaultPlaces, DefaultBytes},
		{8 << 20, LeastPlaces, leastBytes},
		{64 << 20, LeastPlaces, 16 << 20},
		{512 << 20, 512, 128 << 20},
		{1 << 30, 1024, 256 << 20},
		{1 << 40, DefaultPlaces, DefaultBytes},
	} {
		if p, n := PlacesOf(test.memory), BytesOf(test.memory); p != test.places || n != test.bytes {
			t.Errorf("%d bytes have %d places and a budget of %d, want %d and %d", test.memory, p, n, test.places, test.bytes)
		}
	}
}

// An office of 200 people with four connections each is let in at once.
func TestOfficeIsLetIn(t *testing.T) {
	b := New(Limits{})
	for range 200 * 4 {
		b.open(t, host("192.0.2.1"), nil, start)
	}
}

// When places have run out, idle connections go: of the largest network first,
// the longest idle first. Those whose bytes move stay, and then the next one is
// refused.
func TestPlacesRunOut(t *testing.T) {
	const places = 300
	b := New(Limits{Places: places})
	now := start
	var movers []*Conn
	for i := range 100 { // a client of the largest network moves, too
		movers = append(movers, b.open(t, numbered(1, i%50), "mover", now))
	}
	for i := range 120 {
		b.open(t, numbered(2, i), "many", now)
	}
	for i := range 80 {
		b.open(t, numbered(3+i, 1), "few", now)
	}
	move := func(span time.Duration) {
		for end := now.Add(span); now.Before(end); now = now.Add(time.Second) {
			for _, c := range movers {
				b.Moved(c, Progress{Bytes: 1100}, now)
			}
		}
	}
	move(30 * time.Second)
	if _, _, ok := b.Enter(host("192.0.2.1"), true, now); ok {
		t.Error("somebody had to go who was idle for half a minute")
	}
	move(35 * time.Second)
	seen := make(map[any]int)
	for i := range 200 {
		c, gone, ok := b.Enter(numbered(1000+i, 1), true, now)
		if !ok {
			t.Fatalf("newcomer %d is refused", i)
		}
		seen[gone]++
		if i == 30 && seen["many"] != 31 {
			t.Errorf("gone = %v, want those of the largest network first", seen)
		}
		b.Shake(c, "new", now)
		b.Opened(c, [16]byte{}, now)
		b.request(c, now)
	}
	if seen["many"] != 120 || seen["few"] != 80 {
		t.Errorf("gone = %v, want all that were idle and nobody else", seen)
	}
	if _, _, ok := b.Enter(host("192.0.2.1"), true, now); ok || b.Len() != places {
		t.Errorf("one more is let in, or %d are there", b.Len())
	}
}

// A connection that is not opened goes before any other. Its deadline runs from
// the handshake, whatever it sends.
func TestUnopenedGoFirst(t *testing.T) {
	b := New(Limits{Places: 2})
	idle := b.open(t, numbered(1, 1), "idle", start)
	shaken := b.enter(t, numbered(2, 1), start)
	b.Shake(shaken, "shaken", start)
	now := start.Add(9 * time.Second)
	b.Begin(shaken, now)
	b.End(shaken, false, now)
	if got, want := b.Deadline(shaken), start.Add(DefaultOpenTime); got != want {
		t.Errorf("the deadline is %v behind the handshake, want %v", got.Sub(start), want.Sub(start))
	}
	if got, want := b.Deadline(idle), start.Add(DefaultIdleTime); got != want {
		t.Errorf("the deadline of one that was accepted is %v behind that, want %v", got.Sub(start), want.Sub(start))
	}
	now = start.Add(2 * stillSpan)
	if _, gone, ok := b.Enter(numbered(3, 1), true, now); !ok || gone != "shaken" {
		t.Errorf("%v had to go, %v, want who has not opened", gone, ok)
	}
	if _, gone, ok := b.Enter(numbered(4, 1), true, now); !ok || gone != "idle" {
		t.Errorf("%v had to go, %v, want who idles: a handshake cannot be ended", gone, ok)
	}
}

// Each state of a connection, and its deadline.
func TestStates(t *testing.T) {
	b := New(Limits{OpenTime: time.Second, IdleTime: time.Minute})
	now := start
	c := b.enter(t, numbered(1, 1), now)
	step := func(name string, do func(), state State, deadline time.Time) {
		t.Helper()
		now = now.Add(100 * time.Millisecond)
		do()
		if got := b.State(c); got != state {
			t.Errorf("%s: state %d, want %d", name, got, state)
		}
		if got := b.Deadline(c); !got.Equal(deadline) {
			t.Errorf("%s: deadline at %v, want %v", name, got.Sub(start), deadline.Sub(start))
		}
	}
	at := func(tenths int, more time.Duration) time.Time {
		return start.Add(time.Duration(tenths)*100*time.Millisecond + more)
	}
	step("in the handshake", func() {}, HalfOpen, time.Time{})
	step("shaken", func() { b.Shake(c, nil, now) }, Shaken, at(2, time.Second))
	step("asks", func() { b.Begin(c, now) }, Shaken, at(2, time.Second))
	step("is refused", func() { b.End(c, false, now) }, Shaken, at(2, time.Second))
	step("asks again", func() { b.Begin(c, now) }, Shaken, at(2, time.Second))
	step("is opened", func() { b.Opened(c, [16]byte{}, now) }, Asking, at(6, time.Minute))
	step("is answered", func() { b.Accept(c, now) }, Sending, time.Time{})
	step("has all", func() { b.End(c, true, now) }, Idle, at(8, time.Minute))
	step("asks once more", func() { b.Begin(c, now) }, Asking, at(8, time.Minute))
	step("is opened once more", func() { b.Opened(c, [16]byte{1}, now) }, Asking, at(8, time.Minute))
	step("is answered once more", func() { b.Accept(c, now) }, Sending, time.Time{})
	step("has that, too", func() { b.End(c, true, now) }, Idle, at(12, time.Minute))
}

// A handshake in another's name.
func TestUnprovedHandshakes(t *testing.T) {
	b := New(Limits{Places: 100, Handshakes: 1000})
	victim := numbered(1, 1)
	taken := 0
	for !b.MustProve(victim, start) {
		if _, _, ok := b.Enter(victim, false, start); !ok {
			t.Fatal("refused")
		}
		taken++
	}
	if taken != MostUnproved {
		t.Errorf("%d handshakes in the name of one address without a proof, want %d", taken, MostUnproved)
	}
	for i := 0; !b.MustProve(numbered(2, i), start); i++ {
		if _, _, ok := b.Enter(numbered(2, i), false, start); !ok {
			t.Fatal("refused")
		}
		taken++
	}
	if taken != 50 {
		t.Errorf("%d handshakes without a proof, want half of the places", taken)
	}
	b = New(Limits{Handshakes: 8})
	for i := range 9 {
		if got := b.MustProve(numbered(1, i), start); got != (i == 8) {
			t.Errorf("handshake %d of a second must prove: %v", i, got)
		}
	}
}

// A client that shakes hands again and again is held to a pace, and its
// half-open connections to a part of the places. Other clients are not.
func TestHandshakesOfOneClient(t *testing.T) {
	b := New(Limits{Places: 1000, Handshakes: 4})
	now := start
	for i := range burst * 4 {
		b.Leave(b.open(t, host("2001:db8::1"), nil, now), now)
		_ = i
	}
	if _, _, ok := b.Enter(host("2001:db8::2"), true, now); ok {
		t.Error("one more is let in")
	}
	b.enter(t, host("2001:db8:0:1::1"), now)
	b.enter(t, host("2001:db8::2"), now.Add(time.Second))

	b = New(Limits{Places: 1000, Handshakes: 1000})
	for range 1000 / halfOpenPart {
		b.enter(t, numbered(1, 1), now)
	}
	if _, _, ok := b.Enter(numbered(1, 1), true, now); ok {
		t.Error("half-open connections of one client take more than their part")
	}
	b.enter(t, numbered(1, 2), now)
}

// What a client owes is forgiven with time, does not count for others, and is
// remembered when it comes back.
func TestWaste(t *testing.T) {
	const limit, most = 10, 30 * time.Second
	b := New(Limits{Wasted: limit})
	now := start
	var last *Conn
	for n := range 3 * limit {
		c := b.open(t, numbered(1, 1), nil, now)
		if got, want := b.Account(c, UseNone, now), n >= limit; got != want {
			t.Errorf("request %d: too many is %v, want %v", n, got, want)
		}
		b.Leave(c, now)
	}
	last = b.open(t, numbered(1, 1), nil, now)
	for n := range 2 * limit * int(most/forgiven+1) {
		if got, want := b.Turn(last, most, now), min(most, time.Duration(n)*forgiven/limit); got != want {
			t.Fatalf("connection %d waits %v, want %v", n, got, want)
		}
	}
	other := b.open(t, numbered(1, 2), nil, now)
	if b.Account(other, UseNone, now) || b.Turn(other, most, now) != 0 {
		t.Error("another client pays for it")
	}
	if now = now.Add(forgiven / 2); b.Turn(last, most, now) != 0 || b.Account(last, UseNone, now) {
		t.Error("half the time later nothing is forgiven")
	}
	// The first stat of a connection counts for the connection only.
	for range 3 * limit {
		c := b.open(t, numbered(2, 1), nil, now)
		if b.Account(c, UseStat, now) {
			t.Fatal("first stats are too many")
		}
	}
}

// Clients that have left are forgotten once they owe nothing, or when there are
// too many.
func TestClientsAreForgotten(t *testing.T) {
	b := New(Limits{})
	now := start
	for i := range departedMost + 1000 {
		b.Leave(b.open(t, numbered(i/200, i%200), nil, now), now)
	}
	b.Leave(b.open(t, host("192.0.2.1"), nil, now), now)
	if n := len(b.clients); n > departedMost+2 {
		t.Errorf("%d clients without a connection are remembered, want at most %d", n, departedMost)
	}
	now = now.Add(2 * forgiven)
	b.Leave(b.open(t, host("192.0.2.1"), nil, now), now)
	if len(b.clients) > 1 || len(b.networks) > 1 {
		t.Errorf("%d clients and %d networks are remembered for ever", len(b.clients), len(b.networks))
	}
}

// The clients that were sent the most come first.
func TestClientsAreBounded(t *testing.T) {
	b := New(Limits{})
	for i := range 40 {
		c := b.open(t, numbered(1, i), nil, start)
		b.Moved(c, Progress{Bytes: int64(i), File: true}, start)
		b.Moved(c, Progress{Bytes: 1000}, start)
	}
	list, others := b.Clients(32)
	if len(list) != 32 || others != 8 {
		t.Fatalf("%d clients and %d more, want 32 and 8", len(list), others)
	}
	for i, s := range list {
		if want := int64(39 - i); s.Sent != want || s.Conns != 1 {
			t.Errorf("place %d: %+v, want %d bytes", i, s, want)
		}
	}
}

// check fails the test unless the sums of a book are those of its records.
func (b *Book) check(t *rapid.T) {
	t.Helper()
	type sums struct {
		places, halfOpen, sending, ranges int
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
		s.ranges += c.life.ranges
		if c.life.stage == HalfOpen {
			s.halfOpen++
		}
		r := runs[c.run]
		r.places++
		r.buffers += c.held.buffers
		if c.life.replies > 0 {
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
		if got := (sums{cl.places, cl.halfOpen, cl.sending, cl.ranges}); got != clients[cl] || cl.key != key {
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

// A book counts what it refuses, evicts and delays.
func TestCounts(t *testing.T) {
	const places, wasted = 3, 2
	b := New(Limits{Places: places, Wasted: wasted, Handshakes: 100})
	now := start
	var conns []*Conn
	for i := range places {
		conns = append(conns, b.enter(t, numbered(i, 1), now))
		b.Shake(conns[i], i, now)
	}
	if !b.MustProve(numbered(9, 1), now) {
		t.Error("nobody must prove the address although places run out")
	}
	if _, gone, ok := b.Enter(numbered(9, 1), true, now); !ok || gone == nil {
		t.Fatalf("somebody had to go: %v, %v", gone, ok)
	}
	for _, c := range conns {
		b.Opened(c, [16]byte{}, now)
		b.request(c, now)
		b.Moved(c, Progress{Bytes: 1 << 20}, now)
	}
	if _, _, ok := b.Enter(numbered(9, 2), true, now); ok {
		t.Fatal("there was a place left")
	}
	for range wasted {
		b.Account(conns[places-1], UseNone, now)
		b.Account(conns[places-1], UseStat, now)
	}
	for range 2 { // the first has its turn at once
		b.Turn(conns[places-1], time.Second, now)
	}
	load, got := b.Load()
	if want := (Counts{Retried: 1, Refused: 1, Evicted: 1, Wasted: wasted, Delayed: 1}); got != want {
		t.Errorf("counts = %+v, want %+v", got, want)
	}
	if load.Conns != places {
		t.Errorf("load = %+v, want %d connections", load, places)
	}
}
