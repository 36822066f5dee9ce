package malcolm

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transport"
	"malcolm/wire"
)

// reportOf is a frame with a report of packets sent.
func reportOf(sent uint64) []byte { return frame(wire.PathReport{Sent: sent}.Append(nil)) }

// fakePath returns a connection over QUIC on which a server answers requests
// for path reports.
func fakePath(answer func(st *fakeStream)) (*conn, *fakeConn) {
	c, f := newFake(generous, func(st *fakeStream, req wire.Request) {
		if _, ok := req.(wire.PathRequest); ok {
			answer(st)
		}
	})
	c.protocol = transport.QUIC
	return c, f
}

// Path reports come in their order, while something is sent. When the context
// ends, the request is cancelled and that is no error.
func TestPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := fakePath(func(st *fakeStream) {
			st.reply(reportOf(0))
			st.pause(time.Hour)
			st.reply(reportOf(5))
			st.reply(reportOf(5))
			st.pause(time.Hour)
		})
		ctx, cancel := context.WithCancel(t.Context())
		var got []uint64
		ended := make(chan error)
		go func() { ended <- c.Path(ctx, func(p source.PathReport) { got = append(got, p.Sent) }) }()
		time.Sleep(90 * time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("got %v, want no error", err)
		}
		if want := []uint64{0, 5, 5}; !slices.Equal(got, want) {
			t.Errorf("got %v packets sent, want %v", got, want)
		}
		if _, cancelled := f.streams[0].cancelled(); !cancelled {
			t.Error("the request is not cancelled")
		}
		if c.Err() != nil {
			t.Errorf("the connection has ended: %v", c.Err())
		}
	})
}

// A server may have no reports, be stopping or busy: that ends no connection.
func TestPathRefused(t *testing.T) {
	refusal := func(s wire.Status) []byte { return (&wire.Refusal{Status: s, Text: "x"}).Append(nil) }
	for _, tt := range []struct {
		name  string
		reply []byte
		want  source.What
		words string
	}{
		{"an old server", refusal(wire.StatusUnsupported), source.Unsupported, "has no path reports"},
		{"busy", refusal(wire.StatusBusy), source.Full, `refused: busy: "x"`},
		{"stopping", append(reportOf(7), refusal(wire.StatusStopping)...), source.Full, "the server is stopping"},
		{"unknown status", refusal(99), source.Lost, `refused: status 99: "x"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, f := fakePath(func(st *fakeStream) { st.reply(tt.reply) })
			err := c.Path(t.Context(), func(source.PathReport) {})
			if _, ok := err.(*source.Fault); !ok || source.WhatOf(err) != tt.want || err.Error() != tt.words {
				t.Errorf("%s: got %v (%d), want %q (%d)", tt.name, err, source.WhatOf(err), tt.words, tt.want)
			}
			if f.Err() != nil {
				t.Errorf("%s: the connection has ended: %v", tt.name, f.Err())
			}
		})
	}
}

// Whatever breaks the protocol in reports ends the connection.
func TestBrokenPath(t *testing.T) {
	falls := func(to wire.PathReport) []byte {
		return append(frame(wire.PathReport{Sent: 9, Lost: 5, Events: 3, Ranks: 700}.Append(nil)), frame(to.Append(nil))...)
	}
	ends := map[string][]byte{
		"nothing":       {},
		"an end":        reportOf(1),
		"half a report": reportOf(1)[:6],
	}
	goesOn := map[string][]byte{
		"an empty report":       frame(nil),
		"a report and a byte":   frame(append(wire.PathReport{}.Append(nil), 0)),
		"a long report":         frame(make([]byte, wire.MaxReportLen+1)),
		"the longest frame":     wire.Header{Length: wire.MaxFrameLen}.Append(nil),
		"more lost than sent":   frame([]byte{1, 2, 0, 0, 0, 0, 0, 0, 0}),
		"a rank over 1000":      frame(append([]byte{1, 1, 1, 0x43, 0xe9}, make([]byte, 5)...)),
		"indexing":              append(wire.Header{Status: wire.StatusIndexing, Length: 2}.Append(nil), 0, 1),
		"a failed span":         failed(0, wire.Refusal{Status: wire.StatusChanged}),
		"not found":             (&wire.Refusal{Status: wire.StatusNotFound}).Append(nil),
		"packets sent fall":     falls(wire.PathReport{Sent: 8, Lost: 5, Events: 3, Ranks: 700}),
		"packets lost fall":     falls(wire.PathReport{Sent: 9, Lost: 4, Events: 3, Ranks: 700}),
		"loss events fall":      falls(wire.PathReport{Sent: 9, Lost: 5, Events: 2, Ranks: 700}),
		"ranks fall":            falls(wire.PathReport{Sent: 9, Lost: 5, Events: 3, Ranks: 699}),
		"201 reports at a time": bytes.Repeat(reportOf(1), 201),
	}
	check := func(name string, reply []byte, on time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := fakePath(func(st *fakeStream) {
				st.reply(reply)
				st.pause(on)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := c.Path(ctx, func(source.PathReport) {})
			if source.WhatOf(err) != source.Wrong {
				t.Errorf("%s: got %v (%d), want a broken protocol", name, err, source.WhatOf(err))
			}
			if got := c.Err(); source.WhatOf(got) != source.Wrong {
				t.Errorf("%s: the connection has ended with %v, want a broken protocol", name, got)
			}
		})
	}
	for name, reply := range ends {
		check(name, reply, 0)
	}
	for name, reply := range goesOn { // else the end is what breaks the protocol
		check(name, reply, time.Hour)
	}
}

// Reports may come twice as often as is allowed, for ever, and what was held up
// may come at once. More is a flood, whatever the server has saved up before.
func TestPathFlood(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rate  time.Duration // a second
		span  time.Duration
		first time.Duration // of silence
		burst int           // behind it
		flood bool
	}{
		{"20 a second for an hour", 20, time.Hour, 0, 0, false},
		{"15 s held up", 10, time.Minute, 15 * time.Second, 150, false},
		{"21 a second for 3 minutes", 21, 3 * time.Minute, 0, 0, false},
		{"21 a second for 4 minutes", 21, 4 * time.Minute, 0, 0, true},
		{"100 a second for 3 s", 100, 3 * time.Second, 0, 0, true},
		{"an hour of silence, 201 at once", 10, time.Second, time.Hour, 201, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, f := fakePath(func(st *fakeStream) {
				st.pause(tt.first)
				st.reply(bytes.Repeat(reportOf(1), tt.burst))
				for range int(tt.span.Seconds() * float64(tt.rate)) {
					st.pause(time.Second / tt.rate)
					st.reply(reportOf(1))
				}
				st.reply((&wire.Refusal{Status: wire.StatusStopping}).Append(nil))
			})
			err := c.Path(t.Context(), func(source.PathReport) {})
			if got := source.WhatOf(err) == source.Wrong; got != tt.flood || got != (f.Err() != nil) {
				t.Errorf("%s: ended with %v, the connection with %v, want a flood: %t", tt.name, err, f.Err(), tt.flood)
			}
		})
	}
}

// Path waits until the server has accepted the connection, and takes no place
// that ranges need.
func TestPathTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(wire.Limits{}, func(st *fakeStream, req wire.Request) {
			if r, ok := req.(wire.RangesRequest); ok {
				st.reply(frame(content(r.Spans[0].Offset, r.Spans[0].Length)))
				return
			}
			st.reply(reportOf(1))
			st.pause(time.Hour)
		})
		c.protocol = transport.QUIC
		ctx, cancel := context.WithCancel(t.Context())
		reports := 0
		ended := make(chan error)
		go func() { ended <- c.Path(ctx, func(source.PathReport) { reports++ }) }()
		if synctest.Wait(); len(f.asked()) > 0 {
			t.Errorf("asked %v before the connection is accepted", f.asked())
		}
		c.room.open(leastLimits)
		if synctest.Wait(); reports != 1 {
			t.Errorf("%d reports, want one", reports)
		}
		b := ranges(t, c, part(sumA, 0, 10))
		if got, err := io.ReadAll(b); err != nil || len(got) != 10 {
			t.Errorf("beside it: %d bytes, %v, want 10", len(got), err)
		}
		b.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Over TCP nobody is asked.
func TestPathOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newFake(generous, nil)
		c.protocol = transport.TCP
		if err := c.Path(t.Context(), nil); source.WhatOf(err) != source.Unsupported {
			t.Errorf("got %v, want unsupported", err)
		}
		if got := f.asked(); len(got) > 0 {
			t.Errorf("asked %v", got)
		}
	})
}

// A server that floods is hung up on.
func TestPathFloodEndsTheConnection(t *testing.T) {
	simulate(t, func(t *testing.T, s *sim) {
		s.offers(aFile())
		closed := make(chan error, 1)
		next := s.answer
		s.answer = func(st transport.Stream, req wire.Request) {
			if _, ok := req.(wire.PathRequest); !ok {
				next(st, req)
				return
			}
			var err error
			for err == nil {
				_, err = st.Write(reportOf(1))
			}
			closed <- err
		}
		c := s.connect(Trust{})
		if _, err := c.Stat(t.Context(), source.Ask{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Path(t.Context(), func(source.PathReport) {}); source.WhatOf(err) != source.Wrong {
			t.Errorf("the reports end with %v, want a broken protocol", err)
		}
		<-c.Done()
		if err := c.Err(); source.WhatOf(err) != source.Wrong {
			t.Errorf("the connection ends with %v, want a broken protocol", err)
		}
		c.Close()
		if err := <-closed; err == nil {
			t.Error("the server may go on")
		}
	})
}
