package transfer

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/serve"
	"malcolm/transport"
	"malcolm/wire"
)

// announced are the limits that a server tells, and a connection opened by a
// request that counts for nothing.
func (w *world) announced(s *server, sum [32]byte) (wire.Limits, transport.Conn) {
	w.t.Helper()
	conn := w.unopened(s.targets[0], 1)
	spans := append(spansOf([32]byte{9}, 0, 1), spansOf(sum, 0, 1)...)
	st := send(w.t, conn, opening(1, wire.RangesRequest{Spans: spans}))
	o := readOpened(w.t, st)
	if got, err := hostile.ReadSpans(st, spans); err != nil || got[0].Failed == nil || len(got[1].Data) != 1 {
		w.t.Fatalf("two spans, of which one is held: %v, %v", got, err)
	}
	return o.Limits, conn
}

// A request may ask for the bytes that are announced, and for no byte more.
func TestLongestRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.ready(data, serve.Config{})
		limits, conn := w.announced(s, checksum(data))
		for _, test := range []struct {
			spans  []wire.Span
			status wire.Status // 0: each span fails by itself
		}{
			{spansOf(checksum(data), 0, limits.Longest), 0},
			{spansOf(checksum(data), 0, limits.Longest+1), wire.StatusMalformed},
			{spansOf(checksum(data), 4*chunk, limits.Longest-1, 4*chunk, 1), 0},
			{spansOf(checksum(data), 0, limits.Longest, 0, 1), wire.StatusMalformed},
			{spansOf(checksum(data), 0, wire.MaxFileSize, 0, wire.MaxFileSize), wire.StatusMalformed},
		} {
			st := send(t, conn, request(wire.RangesRequest{Spans: test.spans}))
			if test.status != 0 {
				if got := readRefusal(t, st); got.Status != test.status || got.Wait != 0 {
					t.Errorf("%d spans are refused with %v, wait %v, want %v", len(test.spans), got, got.Wait, test.status)
				}
				continue
			}
			got, err := hostile.ReadSpans(st, test.spans)
			for i := range got {
				if err != nil || got[i].Failed == nil || got[i].Failed.Status != wire.StatusOutOfRange {
					t.Errorf("span %d of %d: %v, %v, want that it is out of range", i, len(got), got[i].Failed, err)
				}
			}
		}
	})
}

// The bytes that are announced may be under way on a connection. A client that
// asks for one more is told when to come back, and others are not concerned.
func TestBytesUnderWayKeepToTheAnnouncedLimit(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		s := w.ready(data, serve.Config{Limits: serve.Limits{Streams: 5}})
		limits, conn := w.announced(s, checksum(data))
		if limits.Flight != limits.Longest || limits.Streams != 4 {
			t.Fatalf("announced %+v, want 4 streams that share one longest request", limits)
		}
		read := make(chan struct{})
		s.src.onRange(func([]byte, int64) error { <-read; return nil })
		most := endless(data)
		if last := &most.Spans[len(most.Spans)-1]; limits.Longest == wire.MaxSpans*int64(len(data)) {
			last.Length--
		}
		long := send(t, conn, request(most))
		time.Sleep(time.Second)
		last := send(t, conn, rangeOf(checksum(data), 7, 1)) // the last byte that may be under way
		time.Sleep(time.Second)
		if got := readRefusal(t, send(t, conn, rangeOf(checksum(data), 0, 1))); got.Status != wire.StatusBusy || got.Wait <= 0 {
			t.Errorf("one byte more is refused with %v, wait %v, want busy for some time", got, got.Wait)
		}
		other := w.attack(s.targets[0], 2, 0)
		neighbour := send(t, other, rangeOf(checksum(data), 3, 1))
		long.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
		close(read)
		for st, at := range map[transport.Stream]int64{last: 7, neighbour: 3} {
			if got, err := hostile.ReadSpans(st, spansOf(checksum(data), at, 1)); err != nil || len(got[0].Data) != 1 || got[0].Data[0] != data[at] {
				t.Errorf("byte %d: %v, %v", at, got, err)
			}
		}
		time.Sleep(time.Second)
		again := send(t, conn, request(endless(data)))
		if h, err := wire.ReadHeader(again); err != nil || h.Status != wire.StatusOK {
			t.Errorf("when nothing is under way: %v, %v, want all that is announced", h.Status, err)
		}
		again.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
	})
}

// wasteSteps are requests of a connection, by a letter for each.
func wasteSteps(t *testing.T, conn transport.Conn, sum [32]byte) map[rune]func() {
	cancelled := func(offset int64, read int) func() {
		return func() {
			st := send(t, conn, rangeOf(sum, offset, 4*chunk-offset))
			if read > 0 {
				st.Read(make([]byte, read))
			}
			st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
		}
	}
	part := append(spansOf(sum, 0, 1), spansOf([32]byte{9}, 0, 1)...)
	answered := func(r wire.Request) func() {
		return func() { io.ReadAll(send(t, conn, request(r))) }
	}
	return map[rune]func(){
		'r': answered(wire.StatRequest{Selector: "x"}),
		'f': answered(wire.RangesRequest{Spans: spansOf([32]byte{9}, 0, 1)}), // every span failed
		'm': func() { io.ReadAll(send(t, conn, message(typeStat, 2))) },
		'u': func() { io.ReadAll(send(t, conn, message(99))) },
		's': answered(wire.StatRequest{}),
		'w': answered(wire.RangesRequest{Spans: spansOf(sum, 0, 1)}),
		'v': answered(wire.ValuesRequest{Checksum: sum, Count: 4}),
		'h': answered(wire.RangesRequest{Spans: part}), // half of it
		'c': cancelled(trapOffset, 0),
		'p': cancelled(0, 1),
	}
}

// trapOffset is where a read takes a second.
const trapOffset = 1234

// A connection is closed by the request with which it has wasted one more than
// announced, and not before.
func TestWastedAreAnnounced(t *testing.T) {
	t.Parallel()
	const budget = 3
	for _, steps := range []string{"rrrr", "ffff", "mmmm", "uuuu", "ssss", "cccc", "srfm", "pphhrrcr", "rrrwrr", "rrrvwrrr", "wvrrrrrr", "sswwrrrr"} {
		t.Run(steps, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				if w.tcp.only && strings.ContainsAny(steps, "cp") {
					return // there a connection ends with a reply that is given up
				}
				data := file(4*chunk, 1)
				s := w.ready(data, serve.Config{Limits: serve.Limits{Wasted: budget}})
				s.src.onRange(func(_ []byte, off int64) error {
					if off == trapOffset {
						time.Sleep(time.Second)
					}
					return nil
				})
				limits, conn := w.announced(s, checksum(data))
				if limits.Wasted != budget {
					t.Fatalf("announced %+v, want %d wasted requests", limits, budget)
				}
				do := wasteSteps(t, conn, checksum(data))
				for i, step := range steps {
					if !alive(conn) {
						t.Fatalf("closed after %q", steps[:i])
					}
					do[step]()
					time.Sleep(1500 * time.Millisecond)
					synctest.Wait()
				}
				wantClosed(t, conn, wire.CloseLimit)
			})
		})
	}
}

// A run keeps below what a server says that it may waste. Nobody is closed,
// although one server is so slow that its ranges are fetched from the other one
// again and again, before a byte of them has come.
func TestRunKeepsToTheWasteBudget(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(64*chunk, 1)
		const most = 4
		var servers []*server
		for range 2 {
			servers = append(servers, w.serve(newSource(data), len(servers), 1, serve.Config{Limits: serve.Limits{Wasted: most}}))
		}
		slow(400<<10, servers[0])
		servers[1].src.onRange(func([]byte, int64) error {
			time.Sleep(4 * time.Second)
			return nil
		})
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		none[fetch.Lost](o)
		none[fetch.Full](o)
		for _, s := range servers {
			counts := s.run.Status().Counts
			if counts.Wasted > most || counts.Delayed > 0 {
				t.Errorf("%d requests were wasted, %d connections delayed, want at most %d and none", counts.Wasted, counts.Delayed, most)
			}
		}
		t.Logf("the slow server has read %d times, %d bytes of its are used", len(servers[1].src.log()), o.report(servers[1].targets[0]).Bytes)
	})
}
