package transfer

import (
	"context"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"

	"malcolm/transport"
	"malcolm/wire"
)

// client connects to a server as a source. The test closes the connection.
func (s *server) client(t *testing.T) (source.Conn, source.Offer) {
	t.Helper()
	sources, err := malcolm.Sources(t.Context(), malcolm.Config{Network: s.w}, s.targets[:1], false)
	must(t, err)
	conn, err := sources[0].Connect(t.Context())
	must(t, err)
	o, err := conn.Stat(t.Context(), source.Ask{}, nil)
	must(t, err)
	return conn, o
}

// pathOf copies a file for some time, and returns the path reports.
func pathOf(t *testing.T, s *server, span time.Duration) (all []source.PathReport) {
	t.Helper()
	conn, o := s.client(t)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		for ctx.Err() == nil {
			b, err := conn.Range(ctx, []source.Span{{Checksum: o.Checksum, Length: o.Size}})
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, b)
			b.Close()
		}
	}()
	if err := conn.Path(ctx, func(p source.PathReport) { all = append(all, p) }); err != nil {
		t.Error(err)
	}
	<-copied
	return all
}

// Path reports tell losses by chance from those in a full queue: the ranks of
// the first are about a half, and nothing waits; the others rank high.
func TestPathReportsTellLossesApart(t *testing.T) {
	withoutRace(t)
	const span = 40 * time.Second
	for _, tt := range []struct {
		name        string
		rate, loss  float64
		least, most uint64        // mean rank
		queue       time.Duration // the least 90th percentile above the least round trip
	}{
		{"by chance", 12 << 20, 0.01, 250, 650, 0},
		{"in a full queue", 512 << 10, 0, 800, 1000, 50 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				s := w.ready(file(64*chunk, 1), serve.Config{})
				s.links[0].set(func(l *link) {
					l.rate, l.delay = tt.rate, 20*time.Millisecond
					l.ways[fromServer].loss = tt.loss
				})
				before := s.links[0].way(fromServer)
				all := pathOf(t, s, span)
				if n := len(all); n < 300 || n > 401 {
					t.Fatalf("%d reports in %v, want 400", n, span)
				}
				last, way := all[len(all)-1], s.links[0].way(fromServer)
				dropped := uint64(way.lost + way.spilt - before.lost - before.spilt)
				if last.Events < 5 || last.Lost < dropped*9/10-3 || last.Lost > dropped*11/10+3 {
					t.Errorf("%d packets were dropped, the last report is %+v", dropped, last)
				}
				// Before, slow start overflows any queue.
				first := all[len(all)/4]
				if rank := (last.Ranks - first.Ranks) / (last.Events - first.Events); rank < tt.least || rank > tt.most {
					t.Errorf("mean rank %d of %d, want %d to %d", rank, last.Events-first.Events, tt.least, tt.most)
				}
				if last.MinRTT < 40*time.Millisecond || last.MinRTT > 45*time.Millisecond || last.HighRTT-last.MinRTT < tt.queue {
					t.Errorf("the last report is %+v, want 40 ms at least, and a queue of %v", last, tt.queue)
				}
				if tt.queue == 0 && last.LowRTT-last.MinRTT > 4*time.Millisecond {
					t.Errorf("the last report is %+v, want no queue", last)
				}
			})
		})
	}
}

// A request for path reports takes none of the streams that ranges need.
func TestPathTakesNoStream(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.ready(file(chunk, 1), serve.Config{Limits: serve.Limits{Streams: 1}})
		all := pathOf(t, s, 2*time.Second)
		if last := all[len(all)-1]; last.Sent < 300 {
			t.Errorf("the last report is %+v, want ranges beside it", last)
		}
	})
}

// A server that stops does not wait for those who ask for path reports.
func TestPathDoesNotHoldAServer(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.ready(file(chunk, 1), serve.Config{})
		conn, _ := s.client(t)
		defer conn.Close()
		ended := make(chan error, 1)
		go func() { ended <- conn.Path(t.Context(), func(source.PathReport) {}) }()
		time.Sleep(time.Second)
		began := time.Now()
		s.cancel()
		if err := <-ended; !source.IsFull(err) {
			t.Errorf("the reports end with %v, want that the server is stopping", err)
		}
		if got := time.Since(began); got > 50*time.Millisecond {
			t.Errorf("the reports end after %v, want at once", got)
		}
		<-s.done
		if got := time.Since(began); got > time.Second {
			t.Errorf("stopping took %v, want no waiting", got)
		}
		if stopping := serveEvents[serve.Stopping](s); len(stopping) != 1 || stopping[0].Requests != 0 {
			t.Errorf("stopping = %+v, want no request under way", stopping)
		}
	})
}

// A hundred connections that ask for path reports and never read them cost a
// goroutine each, and nothing in silence but keep-alives. They are
// as idle as if they had not asked.
func TestPathCrowd(t *testing.T) {
	withoutRace(t)
	bubble(t, func(t *testing.T, w *world) {
		const crowd, idle = 100, 2 * time.Minute
		s := w.ready(file(chunk, 1), serve.Config{Limits: serve.Limits{IdleTimeout: idle}})
		var conns []transport.Conn
		for i := range crowd {
			conn := w.attack(s.targets[0], byte(1+i%50), 0)
			io.ReadAll(send(t, conn, request(wire.StatRequest{})))
			conns = append(conns, conn)
		}
		asked := time.Now()
		synctest.Wait()
		before := runtime.NumGoroutine()
		for _, conn := range conns {
			send(t, conn, request(wire.PathRequest{}))
		}
		time.Sleep(5 * time.Second)
		if got := runtime.NumGoroutine() - before; got > crowd+5 {
			t.Errorf("%d goroutines more for %d requests, want one each", got, crowd)
		}
		sent := s.links[0].way(fromServer).carried
		time.Sleep(time.Minute)
		// A keep-alive a second, of which each is acknowledged.
		if got := s.links[0].way(fromServer).carried - sent; got > crowd*60*50 {
			t.Errorf("%d bytes were sent in a minute, want keep-alives", got)
		}
		time.Sleep(idle - time.Since(asked) + time.Second)
		for _, conn := range conns {
			wantClosed(t, conn, wire.CloseLimit)
		}
	})
}
