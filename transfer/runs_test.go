package transfer

import (
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"malcolm/transfer/serve"
	"malcolm/wire"
)

// A crowd is what the connections of one run of one address take.
type crowd struct {
	host, run byte
	conns     int
	taken     *atomic.Int64 // bytes
}

// endless is a request for a file as often as a request may ask for it.
func endless(data []byte) wire.RangesRequest {
	var r wire.RangesRequest
	sum := checksum(data)
	for range wire.MaxSpans {
		r.Spans = append(r.Spans, wire.Span{Checksum: sum, Length: int64(len(data))})
	}
	return r
}

// take has all connections of a crowd read what the server sends, until the end
// of the world.
func (w *world) take(s *server, c crowd, ask wire.Request) {
	for range c.conns {
		st := send(w.t, w.unopened(s.targets[0], c.host), opening(c.run, ask))
		go func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := st.Read(buf)
				c.taken.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
}

// Addresses share a limited rate evenly, within one its runs, within one its
// connections. So neither connections nor run numbers get an address more.
func TestRunsShare(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	const rate = 1 << 20
	for _, test := range []struct {
		name   string
		crowds []crowd
		shares []float64 // of the rate
	}{
		{"one", []crowd{{host: 1, run: 1, conns: 1}}, []float64{1}},
		{"50 connections against one", []crowd{{host: 1, run: 1, conns: 50}, {host: 2, run: 1, conns: 1}}, []float64{0.5, 0.5}},
		{"two runs of an address", []crowd{{host: 1, run: 1, conns: 1}, {host: 1, run: 2, conns: 8}}, []float64{0.5, 0.5}},
		{"two runs against one", []crowd{{host: 1, run: 1, conns: 1}, {host: 1, run: 2, conns: 8}, {host: 2, run: 1, conns: 2}}, []float64{0.25, 0.25, 0.5}},
		{"the run of another address", []crowd{{host: 1, run: 7, conns: 1}, {host: 2, run: 7, conns: 3}}, []float64{0.5, 0.5}},
		{"two crowds of one run", []crowd{{host: 1, run: 7, conns: 1}, {host: 1, run: 7, conns: 3}}, []float64{0.25, 0.75}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			shareOf(t, rate, test.crowds, test.shares)
		})
	}
	t.Run("50 runs against one", func(t *testing.T) {
		t.Parallel()
		crowds, shares := []crowd{{host: 2, run: 1, conns: 1}}, []float64{0.5}
		for i := range 50 {
			crowds, shares = append(crowds, crowd{host: 1, run: byte(i), conns: 1}), append(shares, 0.01)
		}
		shareOf(t, rate, crowds, shares)
	})
}

// shareOf fails the test unless crowds get their shares of a rate.
func shareOf(t *testing.T, rate int64, crowds []crowd, shares []float64) {
	over := overEither
	if len(crowds) > 10 { // they take long
		over = bubble
	}
	over(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.ready(data, serve.Config{Limit: rate})
		before, ask := make([]int64, len(crowds)), endless(data)
		for i := range crowds {
			crowds[i].taken = new(atomic.Int64)
			w.take(s, crowds[i], ask)
		}
		time.Sleep(5 * time.Second) // all are under way
		for i, c := range crowds {
			before[i] = c.taken.Load()
		}
		const span = time.Minute
		time.Sleep(span)
		text := ""
		for i, c := range crowds {
			got := float64(c.taken.Load()-before[i]) / span.Seconds() / float64(rate)
			text += fmt.Sprintf(" %.3f", got)
			// What goes at once is up to 128 KiB.
			if slack := 0.05*shares[i] + 0.003; math.Abs(got-shares[i]) > slack {
				t.Errorf("run %d of host %d, %d connections: %.3f of the rate, want %.3f", c.run, c.host, c.conns, got, shares[i])
			}
		}
		t.Log("shares:" + text)
	})
}

// A run number that others know gets nobody what they have: it counts within an
// address only. A client that changes its number with each connection has the
// budget of its address.
func TestHostileRunNumbers(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		const budget = 20
		s := w.ready(file(chunk, 1), serve.Config{Limits: serve.Limits{Wasted: budget}})
		bad := request(wire.StatRequest{Selector: "x"})
		wasted := 0
		for run := range byte(200) {
			conn := w.unopened(s.targets[0], 1)
			st := send(t, conn, append(request(wire.Open{Run: [16]byte{run}}), bad...))
			if _, err := io.ReadAll(st); err == nil {
				wasted++
			}
			time.Sleep(time.Millisecond)
			if !alive(conn) {
				break
			}
		}
		if wasted < budget-1 || wasted > 3*budget {
			t.Errorf("%d requests of one address were wasted before a connection of it was closed, want about %d", wasted, budget)
		}
	})
}
