package admission

import (
	"testing"

	"pgregory.net/rapid"
)

// mostPiece is the longest piece in these tests, in bytes.
const mostPiece = 1000

// passAll lets pieces of connections that all wait pass, and returns how many
// bytes each of them had.
func (b *Book) passAll(t *rapid.T, conns []*Conn, pieces int) map[*Conn]int64 {
	passed := make(map[*Conn]int64)
	waiting := append([]*Conn(nil), conns...) // the longest first
	for range pieces {
		next := 0
		for i, c := range waiting {
			if b.Before(c, waiting[next]) {
				next = i
			}
		}
		c := waiting[next]
		n := rapid.Int64Range(1, mostPiece).Draw(t, "piece")
		b.Pass(c, n)
		passed[c] += n
		waiting = append(append(waiting[:next:next], waiting[next+1:]...), c)
	}
	return passed
}

// even fails the test unless all have the same number of bytes, but for a piece
// of each.
func even(t *rapid.T, what string, got []int64) {
	t.Helper()
	for _, n := range got {
		if d := n - got[0]; d > 2*mostPiece || d < -2*mostPiece {
			t.Fatalf("%s have %d bytes, want each the same", what, got)
		}
	}
}

// Clients share evenly, whatever the number of their runs and connections. The
// runs of one share its part evenly, whatever the number of their connections,
// and the connections of one run the run's.
func TestShares(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := New(Limits{})
		var all []*Conn
		clients := make([][][]*Conn, rapid.IntRange(2, 4).Draw(rt, "clients"))
		for i := range clients {
			clients[i] = make([][]*Conn, rapid.SampledFrom([]int{1, 1, 2, 3, 10}).Draw(rt, "runs"))
			for r := range clients[i] {
				for range rapid.SampledFrom([]int{1, 1, 2, 5}).Draw(rt, "connections") {
					c := b.openRun(t, numbered(1, i), [16]byte{byte(r)}, nil, start)
					clients[i][r] = append(clients[i][r], c)
					all = append(all, c)
				}
			}
		}
		passed := b.passAll(rt, all, 4000)
		var ofClients []int64
		for _, runs := range clients {
			var ofRuns []int64
			var ofClient int64
			for _, conns := range runs {
				var ofConns []int64
				var ofRun int64
				for _, c := range conns {
					ofConns = append(ofConns, passed[c])
					ofRun += passed[c]
				}
				even(rt, "the connections of a run", ofConns)
				ofRuns = append(ofRuns, ofRun)
				ofClient += ofRun
			}
			even(rt, "the runs of a client", ofRuns)
			ofClients = append(ofClients, ofClient)
		}
		even(rt, "the clients", ofClients)
	})
}

// A client with 50 run numbers gets exactly what another one with one gets: of
// what passes, of the budget of bytes, and of buffers.
func TestRunNumbersBuyNothing(t *testing.T) {
	const conns = 50
	b := New(Limits{Bytes: 200 * MostBuffer})
	var all, many, one []*Conn
	for i := range conns {
		many = append(many, b.openRun(t, numbered(1, 1), [16]byte{byte(i)}, nil, start))
		one = append(one, b.openRun(t, numbered(1, 2), [16]byte{1}, nil, start))
		all = append(all, many[i], one[i])
	}
	for _, c := range all {
		b.Begin(c, start)
		b.Accept(c, start)
	}
	sum := func(of []*Conn, n func(c *Conn) int64) (total int64) {
		for _, c := range of {
			total += n(c)
		}
		return total
	}
	share := func(c *Conn) int64 { return b.share(c) }
	if m, o := sum(many, share), sum(one, share); m != o {
		t.Errorf("50 runs may hold %d bytes, one run %d", m, o)
	}
	take := func(c *Conn) int64 {
		n := b.Take(c, MostBuffer, start)
		b.Give(c, n, start)
		return n
	}
	if m, o := sum(many, take), sum(one, take); m != o {
		t.Errorf("one after the other 50 runs get buffers of %d bytes, one run of %d", m, o)
	}
	var pieces [2]int64
	waiting := all
	for range 10000 {
		next := 0
		for i, c := range waiting {
			if b.Before(c, waiting[next]) {
				next = i
			}
		}
		c := waiting[next]
		b.Pass(c, 100)
		pieces[c.client.key.As4()[3]-1]++
		waiting = append(append(waiting[:next:next], waiting[next+1:]...), c)
	}
	if pieces[0] != pieces[1] {
		t.Errorf("passed = %v pieces, want the same", pieces)
	}
}

// One run of a client takes its even part of the client's buffers, and leaves
// the other's.
func TestRunsShareBuffers(t *testing.T) {
	const n = 64
	b := New(Limits{Bytes: n * MostBuffer})
	greedy := b.openRun(t, numbered(1, 1), [16]byte{1}, nil, start)
	other := b.openRun(t, numbered(1, 1), [16]byte{2}, nil, start)
	for _, c := range []*Conn{greedy, other} {
		b.Begin(c, start)
		b.Accept(c, start)
	}
	large := func(c *Conn, tries int) (n int) {
		for range tries {
			if size := b.Take(c, MostBuffer, start); size == MostBuffer {
				n++
			} else {
				b.Give(c, size, start)
			}
		}
		return n
	}
	got := large(greedy, 10*n)
	if got < n/3-2 || got > n/3 {
		t.Errorf("one of two runs has %d of %d buffers, want about a third", got, n)
	}
	if left := large(other, n/6); left != n/6 {
		t.Errorf("the other one has %d, want %d", left, n/6)
	}
}

// A run is forgotten with its last connection.
func TestRunsAreForgotten(t *testing.T) {
	b := New(Limits{})
	var conns []*Conn
	for i := range 100 {
		c := b.openRun(t, numbered(1, 1), [16]byte{byte(i)}, nil, start)
		if i%2 == 0 {
			b.Leave(c, start)
			continue
		}
		conns = append(conns, c, b.openRun(t, numbered(1, 1), [16]byte{byte(i)}, nil, start))
	}
	if runs := conns[0].client.runs; len(runs) != 50 {
		t.Errorf("%d runs are known, want 50", len(runs))
	}
	for _, c := range conns {
		b.Leave(c, start)
	}
	if n := len(conns[0].client.runs); n != 0 {
		t.Errorf("%d runs without a connection are known", n)
	}
}
