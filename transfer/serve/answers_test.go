package serve

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/wire"
)

// served returns a world whose file is hashed, the file, and an opened
// connection.
func served(t *testing.T, data []byte, cfg Config) (*world, *memFile, *fakeConn) {
	t.Helper()
	file := newMemFile(data)
	w := newWorld(t, file, cfg)
	w.srv.index.release(readyVersion(t.Context(), w.file()))
	return w, file, w.open()
}

// all is a request for a whole file.
func all(data []byte) wire.RangesRequest {
	return wire.RangesRequest{Spans: []wire.Span{{Checksum: sumOf(data), Length: int64(len(data))}}}
}

// wasted returns how many requests were wasted.
func (w *world) wasted() int64 {
	_, counts := w.srv.book.Load()
	return counts.Wasted
}

// Small spans share frames: many small files need no more of them than one.
func TestFramesRunOverBorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1<<20, 1)
		sum := sumOf(data)
		_, _, c := served(t, data, Config{})
		var spans []wire.Span
		for i := range int64(wire.MaxSpans) {
			spans = append(spans, wire.Span{Checksum: sum, Offset: i * 4096, Length: 4096})
		}
		reply := c.request(wire.RangesRequest{Spans: spans}).end()
		got, err := hostile.ReadSpans(bytes.NewReader(reply), spans)
		var all []byte
		for _, span := range got {
			all = append(all, span.Data...)
		}
		if err != nil || !bytes.Equal(all, data) {
			t.Fatalf("other bytes, %v", err)
		}
		const head = 5                                              // bytes of each header
		if frames := (len(reply) - len(data)) / head; frames > 12 { // from 16 KiB to 128 KiB, doubled
			t.Errorf("%d frames for a MiB in spans of 4 KiB, want at most 12", frames)
		}
	})
}

// A file that changes under spans fails each of them that is left, and the
// reply ends whole. If more of a frame was promised than is in the smallest
// buffer, it is reset: no byte of another version is sent.
func TestChangeUnderSpans(t *testing.T) {
	const head = 5
	for room, reset := range map[int]bool{
		0: false, 3: true, firstBytes / 2: true, firstBytes + 3: false, head + firstBytes: false, head + firstBytes + 1000: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			data, next := numbers(1<<20, 1), numbers(1<<20, 2)
			w, file, c := served(t, data, Config{})
			spans := []wire.Span{{Checksum: sumOf(data), Length: 1 << 20}, {Checksum: sumOf(data), Length: 5}, {Checksum: sumOf(next), Length: 5}}
			st := c.ask(false, room, true, wire.AppendRequest(nil, wire.RangesRequest{Spans: spans}))
			time.Sleep(10 * pieceTime) // what was not taken is given back
			file.replace(next)
			w.srv.index.release(readyVersion(t.Context(), w.file()))
			st.change(func() { st.room = unread })
			reply := st.end()
			if reset {
				r := bytes.NewReader(reply)
				h, _ := wire.ReadHeader(r)
				body := reply[len(reply)-r.Len():]
				if first := body[:min(len(body), h.Length)]; st.reset != wire.StreamChanged || !bytes.HasPrefix(data, first) {
					t.Errorf("room for %d: %d bytes, then reset with code %d; want those of the file, then changed", room, len(reply), st.reset)
				}
				return
			}
			got, err := hostile.ReadSpans(bytes.NewReader(reply), spans)
			if err != nil || st.reset != 0 || !bytes.HasPrefix(data, got[0].Data) || !bytes.Equal(got[2].Data, next[:5]) {
				t.Fatalf("room for %d: %d bytes, reset with code %d: %v", room, len(reply), st.reset, err)
			}
			if statusOf(got[0]) != wire.StatusChanged || statusOf(got[1]) != wire.StatusChanged || got[2].Failed != nil {
				t.Errorf("failed = %v, %v, %v, want the first two changed", got[0].Failed, got[1].Failed, got[2].Failed)
			}
		})
	}
}

// A request for more than was announced is refused, and so is one more than may
// be under way, until bytes of others were sent.
func TestAnnouncedLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(4<<20, 1)
		sum := sumOf(data)
		_, _, c := served(t, data, Config{})
		ask := func(n int64, length int64) wire.RangesRequest {
			r := wire.RangesRequest{}
			for range n {
				r.Spans = append(r.Spans, wire.Span{Checksum: sum, Length: length})
			}
			return r
		}
		const longest, flight = 1 << 30, 64 * 64 << 20
		if got := readRefusal(t, c.request(ask(2, longest/2+1)).end()); got.Status != wire.StatusMalformed {
			t.Errorf("more than the longest request: %v", got)
		}
		var under []*fakeStream
		for range flight / longest {
			under = append(under, c.ask(false, 0, true, wire.AppendRequest(nil, ask(256, longest/256))))
		}
		time.Sleep(time.Second)
		if got := readRefusal(t, c.request(ask(1, 1)).end()); got.Status != wire.StatusBusy || got.Wait != flightWait {
			t.Errorf("more than may be under way: %v, wait %v", got, got.Wait)
		}
		for _, st := range under {
			st.change(func() { st.room = 1 << 20 })
		}
		time.Sleep(time.Second)
		some := ask(1, 1<<20-1<<10)
		if got, err := hostile.ReadSpans(bytes.NewReader(c.request(some).end()), some.Spans); err != nil || got[0].Failed != nil {
			t.Errorf("after a MiB was sent, nearly one more: %v, %v", got[0].Failed, err)
		}
		for _, st := range under {
			st.giveUp()
		}
		synctest.Wait()
		for range flight / longest {
			c.ask(false, 0, true, wire.AppendRequest(nil, ask(256, 1<<20)))
		}
		some = ask(1, 1)
		if got := c.request(some); isClosed(got.gone) {
			t.Error("when all was given up: refused")
		}
	})
}

// What counts as wasted: see the specification, "Reply".
func TestWastedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(3*oneChunk, 1)
		sum, unknown := sumOf(data), [32]byte{1}
		const budget = 20
		w, _, c := served(t, data, Config{Limits: Limits{Wasted: budget}})
		cancel := func(room int) {
			st := c.ask(false, room, true, wire.AppendRequest(nil, all(data)))
			synctest.Wait()
			st.giveUp()
			synctest.Wait()
		}
		step := func(name string, wasted int64, do func()) {
			t.Helper()
			before := w.wasted()
			do()
			synctest.Wait()
			if got := w.wasted() - before; got != wasted {
				t.Errorf("%s: %d wasted, want %d", name, got, wasted)
			}
		}
		answer := func(r wire.Request) func() { return func() { c.request(r).end() } }
		step("a stat", 0, answer(wire.StatRequest{})) // it counts, but is no waste
		step("ranges", 0, answer(all(data)))
		step("values", 0, answer(wire.ValuesRequest{Checksum: sum, Count: 3}))
		step("a recheck", 0, answer(wire.RecheckRequest{Checksum: sum}))
		step("a second one at once", 1, answer(wire.RecheckRequest{Checksum: sum}))
		step("cancelled before a byte", 1, func() { cancel(0) })
		step("cancelled behind a byte", 0, func() { cancel(1) })
		step("a selector", 1, answer(wire.StatRequest{Selector: "other"}))
		step("an unknown version", 1, answer(wire.ValuesRequest{Checksum: unknown, Count: 3}))
		step("values beyond the file", 1, answer(wire.ValuesRequest{Checksum: sum, First: 1, Count: 3}))
		step("nothing but failed spans", 1, answer(wire.RangesRequest{Spans: []wire.Span{{Checksum: unknown, Length: 1}}}))
		step("one of two spans", 0, answer(wire.RangesRequest{Spans: []wire.Span{{Checksum: unknown, Length: 1}, {Checksum: sum, Length: 1}}}))
		step("malformed", 1, func() { c.ask(false, unread, true, []byte{1, 3, 9, 9, 9}).end() })
		step("unknown", 1, func() { c.ask(false, unread, true, []byte{40, 0}).end() })
		if isClosed(c.done) {
			t.Fatalf("closed too early, with code %d", c.code)
		}
		// The connection has wasted 2 stats and 8 requests, less 3 that
		// were answered whole.
		for range budget - 7 {
			answer(wire.StatRequest{Selector: "other"})()
		}
		synctest.Wait()
		if isClosed(c.done) {
			t.Fatal("closed within the budget")
		}
		answer(wire.StatRequest{Selector: "other"})()
		synctest.Wait()
		if !isClosed(c.done) || c.code != wire.CloseLimit {
			t.Errorf("closed: %v, with code %d; want over the budget, with limit", isClosed(c.done), c.code)
		}
	})
}

// Values are asked for by chunk, and come in frames of the largest size.
func TestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(5*oneChunk-1, 1)
		_, _, c := served(t, data, Config{})
		values, err := wire.ReadValues(bytes.NewReader(c.request(wire.ValuesRequest{Checksum: sumOf(data), First: 2, Count: 3}).end()), 3)
		if err != nil || values.At(0) != sumOfChunk(data, 2) || values.At(2) != sumOfChunk(data, 4) {
			t.Errorf("the last three values: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		data := numbers(oneChunk, 1)
		_, _, c := served(t, data, Config{})
		if got := readRefusal(t, c.request(wire.ValuesRequest{Checksum: sumOf(data), Count: 1}).end()); got.Status != wire.StatusOutOfRange {
			t.Errorf("values of a file of one chunk: %v", got)
		}
	})
}

// Many values are sent frame by frame, as the client takes them.
func TestManyValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3*wire.MaxFrameLen/wire.ValueLen + 5
		w, _, c := served(t, numbers(oneChunk, 1), Config{})
		values := wire.NewValues(n)
		for i := range n {
			values.Set(i, [32]byte{byte(i), byte(i >> 8)})
		}
		w.file().mu.Lock()
		sum := w.file().current.offer.Checksum
		w.file().current.values = values
		w.file().mu.Unlock()
		st := c.ask(false, 0, true, wire.AppendRequest(nil, wire.ValuesRequest{Checksum: sum, First: 1, Count: n - 1}))
		for !isClosed(st.gone) {
			st.change(func() { st.room = 50000 })
			time.Sleep(time.Second)
		}
		want := values.AppendFrames(nil, 1, n-1)
		if !bytes.Equal(st.end(), want) {
			t.Errorf("%d bytes of frames, want %d", len(st.reply), len(want))
		}
	})
}

// Refusals that a wait can cure say how long.
func TestRefusalsSayHowLongToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(oneChunk, 1)
		file := newMemFile(data)
		block := make(chan struct{})
		file.reading = func() { <-block }
		w := newWorld(t, file, Config{})
		c := w.dial()
		first := c.ask(true, unread, true, wire.AppendRequest(wire.AppendRequest(nil, wire.Open{}), wire.StatRequest{}))
		time.Sleep(time.Second)
		if got := readRefusal(t, c.request(wire.StatRequest{}).end()); got.Status != wire.StatusBusy || got.Wait != statWait {
			t.Errorf("a second stat: %v, wait %v", got, got.Wait)
		}
		time.Sleep(DefaultIndexingTimeout)
		if !isClosed(first.gone) {
			t.Error("it waits for longer than the time for indexing")
		}
		r := bytes.NewReader(first.end())
		opened(t, r)
		var refusal *wire.Refusal
		for refusal == nil {
			h, err := wire.ReadHeader(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.Status == wire.StatusIndexing {
				_, err = wire.ReadIndexing(r, h)
			} else {
				err = wire.ReadRefusal(r, h)
			}
			errors.As(err, &refusal)
		}
		if refusal.Status != wire.StatusBusy || refusal.Wait != statWait {
			t.Errorf("after the time for indexing: %v, wait %v", refusal, refusal.Wait)
		}
		close(block)
		w.srv.index.release(readyVersion(t.Context(), w.file()))
		recheck := wire.RecheckRequest{Checksum: sumOf(data)}
		c.request(recheck).end()
		time.Sleep(recheckEvery / 4)
		if got := readRefusal(t, c.request(recheck).end()); got.Status != wire.StatusBusy || got.Wait != recheckEvery*3/4 {
			t.Errorf("a second recheck: %v, wait %v", got, got.Wait)
		}
	})
}

// What is under way when a server begins to stop is answered whole, also
// requests of which nothing was read yet.
func TestStopKeepsTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(128<<10, 1)
		w, _, c := served(t, data, Config{Limit: 500 << 10})
		var streams []*fakeStream
		for range 8 {
			streams = append(streams, c.request(all(data)))
		}
		time.Sleep(time.Millisecond) // most of them wait for the limit
		w.srv.stop()
		w.unwatch()
		for i, st := range streams {
			if got, err := hostile.ReadSpans(bytes.NewReader(st.end()), all(data).Spans); err != nil || !bytes.Equal(got[0].Data, data) {
				t.Errorf("range %d: %d bytes, %v, %v, want it whole", i, len(got[0].Data), got[0].Failed, err)
			}
		}
		w.stop()
		<-c.done
	})
}

// At the end of a server each span that is left is answered by that.
func TestStopUnderSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1<<20, 1)
		w, _, c := served(t, data, Config{Limit: 100 << 10})
		spans := []wire.Span{{Checksum: sumOf(data), Length: 1 << 20}, {Checksum: sumOf(data), Length: 5}}
		st := c.request(wire.RangesRequest{Spans: spans})
		time.Sleep(2 * time.Second)
		w.srv.stop()
		w.stop()
		got, err := hostile.ReadSpans(bytes.NewReader(st.end()), spans)
		if err != nil || len(got[0].Data) == 0 || statusOf(got[0]) != wire.StatusStopping || statusOf(got[1]) != wire.StatusStopping {
			t.Errorf("%d bytes, %v, %v, %v; want both stopping", len(got[0].Data), got[0].Failed, got[1].Failed, err)
		}
		if <-c.done; c.code != wire.CloseStopping {
			t.Errorf("closed with code %d", c.code)
		}
	})
}

// A client that takes nothing holds no large buffer for long, and is reset in
// the end.
func TestStalledSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(1<<20, 1)
		w, _, c := served(t, data, Config{})
		began := time.Now()
		st := c.ask(false, 100<<10, true, wire.AppendRequest(nil, all(data)))
		time.Sleep(10 * time.Second)
		if held := w.srv.book.Charged(); held > 200<<10+admission.LeastBuffer {
			t.Errorf("%d bytes are held", held)
		}
		st.end()
		if got := time.Since(began); st.reset != wire.StreamStalled || got != pieceTime+DefaultStallTimeout {
			t.Errorf("reset with code %d after %v", st.reset, got)
		}
	})
}

// A client that asks for a version before the first one is hashed, as after a
// restart, is told to come again, and not that it is another one.
func TestAskedBeforeHashed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := numbers(2*oneChunk, 1)
		hold := make(chan struct{})
		file := newMemFile(data)
		file.reading = func() { <-hold }
		w := newWorld(t, file, Config{})
		c := w.open()
		values := wire.ValuesRequest{Checksum: sumOf(data), Count: 2}
		want := wire.Refusal{Status: wire.StatusBusy, Wait: statWait, Text: textHashing}
		if reply := c.request(values).end(); !bytes.Equal(reply, want.Append(nil)) {
			t.Errorf("values: got %q, want %q", reply, want.Append(nil))
		}
		got, err := hostile.ReadSpans(bytes.NewReader(c.request(all(data)).end()), all(data).Spans)
		if err != nil || len(got) != 1 || got[0].Failed == nil || *got[0].Failed != want {
			t.Errorf("a range: got %+v, %v", got, err)
		}
		close(hold)
		w.srv.index.release(readyVersion(t.Context(), w.file()))
		if reply := c.request(values).end(); bytes.Equal(reply, want.Append(nil)) {
			t.Error("is still told to come again")
		}
		if _, why := w.srv.index.hold([32]byte{1}); why == nil || why.Status != wire.StatusChanged {
			t.Errorf("another version: %+v", why)
		}
	})
}
