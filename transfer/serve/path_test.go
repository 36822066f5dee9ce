package serve

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transport"
	"malcolm/wire"
)

// send counts a packet of a connection, sent in a round trip of 40 ms.
func (c *fakeConn) send(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.LatestRTT, c.counts.SmoothedRTT = 40*time.Millisecond, 40*time.Millisecond
	c.counts.PacketsSent += uint64(n)
	c.counts.BytesSent += uint64(n) * 1200
}

func (c *fakeConn) looked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looks
}

// sendFor sends a packet each 10 ms.
func (c *fakeConn) sendFor(d time.Duration) {
	for range d / (10 * time.Millisecond) {
		c.send(1)
		time.Sleep(10 * time.Millisecond)
	}
	synctest.Wait()
}

// reports reads what there is of a reply: whole reports, and perhaps a refusal.
func (s *fakeStream) reports(t *testing.T) (all []wire.PathReport, refused wire.Status) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := bytes.NewReader(s.reply); r.Len() > 0; {
		h, err := wire.ReadHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Status != wire.StatusOK {
			var e *wire.Refusal
			if errors.As(wire.ReadRefusal(r, h), &e); e == nil || r.Len() > 0 {
				t.Fatalf("no refusal, or bytes behind it: %x", s.reply)
			}
			return all, e.Status
		}
		p, err := wire.ReadPathReport(r, h)
		if err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all, 0
}

// TestPathReports: the first report comes at once, then ten a second while
// something is sent. An hour of nothing costs nothing, and what is sent after
// it is seen again.
func TestPathReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, c := served(t, numbers(1000, 1), Config{Limits: Limits{IdleTimeout: 2 * time.Hour}})
		st := c.request(wire.PathRequest{})
		synctest.Wait()
		if got, _ := st.reports(t); len(got) != 1 || got[0] != (wire.PathReport{Window: 1 << 20}) {
			t.Fatalf("at first: %+v, want a report of nothing", got)
		}
		c.sendFor(3 * time.Second)
		got, _ := st.reports(t)
		if n := len(got); n < 28 || n > 31 {
			t.Errorf("%d reports in 3 s, want 30", n)
		}
		if last := got[len(got)-1]; last.Sent < 290 || last.Sent > 300 || last.MinRTT != 40*time.Millisecond {
			t.Errorf("got %+v, want 300 packets sent in 40 ms", last)
		}
		time.Sleep(2 * time.Second)
		looks, reports := c.looked(), len(got)
		time.Sleep(time.Hour)
		got, _ = st.reports(t)
		if c.looked() != looks || len(got) > reports+1 {
			t.Errorf("an hour of nothing: %d looks and %d reports, want none", c.looked()-looks, len(got)-reports)
		}
		c.send(5)
		c.request(wire.StatRequest{}).end()
		synctest.Wait()
		if again, _ := st.reports(t); len(again) != len(got)+1 || again[len(got)].Sent != got[len(got)-1].Sent+5 {
			t.Errorf("after it: %+v behind %+v, want 5 packets more", again[len(got):], got[len(got)-1])
		}
		st.giveUp()
		if st.end(); isClosed(c.done) {
			t.Error("the connection is closed with the request")
		}
	})
}

// TestPathIsNoUse: a connection on which only reports come is idle, and nobody
// under way for the server.
func TestPathIsNoUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, c := served(t, numbers(1000, 1), Config{Limits: Limits{IdleTimeout: time.Minute}})
		began := time.Now()
		st := c.request(wire.PathRequest{})
		synctest.Wait()
		if got := w.srv.Status().Requests; got != 0 {
			t.Errorf("%d requests under way, want none", got)
		}
		if got := w.srv.book.State(c.place); got != admission.Idle {
			t.Errorf("state %d, want idle", got)
		}
		for !isClosed(c.done) && time.Since(began) < time.Hour {
			c.send(1)
			time.Sleep(10 * time.Millisecond)
		}
		if got := time.Since(began).Round(100 * time.Millisecond); got != time.Minute || c.code != wire.CloseLimit {
			t.Errorf("closed after %v with code %d, want after a minute for being idle", got, c.code)
		}
		if got, _ := st.reports(t); len(got) < 590 {
			t.Errorf("%d reports in a minute, want 600", len(got))
		}
	})
}

// TestPathNotRead: a client that takes no report holds one frame, and no look
// is taken for it. Other requests are answered. What it takes later is whole.
func TestPathNotRead(t *testing.T) {
	for _, room := range []int{0, 5} {
		synctest.Test(t, func(t *testing.T) {
			data := numbers(1000, 1)
			w, _, c := served(t, data, Config{})
			st := c.ask(false, room, true, wire.AppendRequest(nil, wire.PathRequest{}))
			synctest.Wait()
			looks := c.looked()
			c.sendFor(30 * time.Second)
			if got := c.looked() - looks; got > 0 {
				t.Errorf("room for %d: %d looks for a client that does not read", room, got)
			}
			if held := w.srv.book.Charged(); held > 20<<10 {
				t.Errorf("room for %d: %d bytes are held", room, held)
			}
			c.request(all(data)).end()
			st.change(func() { st.room = unread })
			time.Sleep(reportEvery)
			got, _ := st.reports(t)
			if len(got) != 2 || got[0].Sent != 0 || got[1].Sent != 3000 || isClosed(c.done) {
				t.Errorf("room for %d: %+v, want the first report and one of 3000 packets", room, got)
			}
		})
	}
}

// TestPathTwice: a connection has one request for reports at a time.
func TestPathTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, c := served(t, numbers(1000, 1), Config{})
		first := c.request(wire.PathRequest{})
		synctest.Wait()
		if got := readRefusal(t, c.request(wire.PathRequest{}).end()); got.Status != wire.StatusBusy {
			t.Errorf("a second one: %v, want busy", got)
		}
		if got, refused := first.reports(t); len(got) != 1 || refused != 0 || isClosed(first.gone) {
			t.Errorf("the first one: %+v, refused with %v", got, refused)
		}
		first.giveUp()
		synctest.Wait()
		next := c.request(wire.PathRequest{})
		synctest.Wait()
		if got, refused := next.reports(t); len(got) != 1 || refused != 0 {
			t.Errorf("one after it: %+v, refused with %v", got, refused)
		}
	})
}

// TestPathWasted: the first request of a connection is never wasted, nor is one
// of which a report was taken. A client that asks again and again is closed.
func TestPathWasted(t *testing.T) {
	ask := func(t *testing.T, c *fakeConn, room, times int) {
		for range times {
			st := c.ask(false, room, true, wire.AppendRequest(nil, wire.PathRequest{}))
			synctest.Wait()
			st.giveUp()
			synctest.Wait()
		}
	}
	for _, tt := range []struct {
		name        string
		room, times int
		closed      bool
	}{
		{"reports are taken", unread, 50, false},
		{"none is taken, as often as allowed", 0, 1 + 2, false}, // the stat was wasted too
		{"none is taken, once more", 0, 1 + 3, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, c := served(t, numbers(1000, 1), Config{Limits: Limits{Wasted: 3}})
				ask(t, c, tt.room, tt.times)
				if got := isClosed(c.done); got != tt.closed {
					t.Errorf("closed: %t, want %t", got, tt.closed)
				}
			})
		})
	}
}

// TestPathStops: a server that stops ends the reports at once, also those that
// are not read.
func TestPathStops(t *testing.T) {
	for _, tt := range []struct {
		name    string
		room    int
		refused wire.Status
		reset   wire.StreamCode
	}{
		{"reads", unread, wire.StatusStopping, 0},
		{"does not read", 0, 0, wire.StreamStopping},
		{"in a report", 5, 0, wire.StreamStopping},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _, c := served(t, numbers(1000, 1), Config{})
				st := c.ask(false, tt.room, true, wire.AppendRequest(nil, wire.PathRequest{}))
				c.sendFor(time.Second)
				began := time.Now()
				w.srv.drain()
				st.end()
				if got := time.Since(began); got > lastReport {
					t.Errorf("stopping took %v", got)
				}
				if _, refused := st.reports(t); refused != tt.refused || st.reset != tt.reset {
					t.Errorf("refused with %v, reset with %d, want %v and %d", refused, st.reset, tt.refused, tt.reset)
				}
				if isClosed(c.done) {
					t.Errorf("closed with code %d", c.code)
				}
				w.stop()
				<-c.done
			})
		})
	}
}

// TestPathOverTCP: there are no reports over TCP.
func TestPathOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, c := served(t, numbers(1000, 1), Config{Limits: Limits{Wasted: 1}})
		c.protocol = transport.TCP
		if got := readRefusal(t, c.request(wire.PathRequest{}).end()); got.Status != wire.StatusUnsupported {
			t.Errorf("got %v, want unsupported", got)
		}
		if synctest.Wait(); isClosed(c.done) {
			t.Error("closed for asking once")
		}
	})
}
