package serve

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/wire"
)

// numbers returns a file of n bytes in which bytes differ from their
// neighbours; others for each seed.
func numbers(n int, seed byte) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i) + byte(i>>8)*3 + byte(i>>16)*5 + seed
	}
	return data
}

// statusOf returns why a span failed; 0: it did not.
func statusOf(r hostile.SpanReply) wire.Status {
	if r.Failed == nil {
		return 0
	}
	return r.Failed.Status
}

// Whatever spans are asked for, and however the client takes the reply, it is
// the bytes of the spans, or a failure of each that has none.
func TestSpans(t *testing.T) {
	files := map[[32]byte][]byte{}
	var sums [][32]byte
	for i, n := range []int{300000, 700001} {
		data := numbers(n, byte(i))
		files[sumOf(data)] = data
		sums = append(sums, sumOf(data))
	}
	unknown := [32]byte{1}
	rapid.Check(t, func(rt *rapid.T) {
		var spans []wire.Span
		for range rapid.SampledFrom([]int{1, 2, 5, 40, wire.MaxSpans}).Draw(rt, "spans") {
			sum := rapid.SampledFrom([][32]byte{sums[0], sums[1], sums[1], unknown}).Draw(rt, "file")
			spans = append(spans, wire.Span{
				Checksum: sum, Offset: rapid.Int64Range(0, 700000).Draw(rt, "offset"),
				Length: rapid.SampledFrom([]int64{1, 100, 4096, 16384, 200000}).Draw(rt, "length"),
			})
		}
		room := rapid.SliceOfN(rapid.SampledFrom([]int{1, 2, 3, 500, 5000, 70000, 1 << 20}), 1, 20).Draw(rt, "room")
		synctest.Test(t, func(t *testing.T) {
			name := &memName{file: newMemFile(files[sums[0]])}
			w := newWorld(t, name, Config{})
			w.srv.index.release(readyVersion(t.Context(), w.file()))
			name.rename(newMemFile(files[sums[1]]))
			w.srv.index.release(readyVersion(t.Context(), w.file()))
			c := w.open()
			st := c.ask(false, 0, true, wire.AppendRequest(nil, wire.RangesRequest{Spans: spans}))
			for i := 0; !isClosed(st.gone); i++ {
				more := room[i%len(room)]
				if i > 200 { // enough of it
					more = unread
				}
				st.change(func() { st.room = more })
				time.Sleep(1500 * time.Millisecond) // longer than a buffer is held
				synctest.Wait()
			}
			got, err := hostile.ReadSpans(bytes.NewReader(st.end()), spans)
			if err != nil || st.reset != 0 {
				rt.Fatalf("reply of %d bytes, reset with %d: %v", len(st.reply), st.reset, err)
			}
			for i, span := range spans {
				data := files[span.Checksum]
				var want wire.Status
				switch {
				case data == nil:
					want = wire.StatusChanged
				case span.Offset+span.Length > int64(len(data)):
					want = wire.StatusOutOfRange
				case !bytes.Equal(got[i].Data, data[span.Offset:][:span.Length]):
					rt.Fatalf("span %d has other bytes", i)
				}
				if status := statusOf(got[i]); status != want {
					rt.Fatalf("span %d: %v, want %v", i, status, want)
				}
			}
			if n := c.place; w.srv.book.State(n) != admission.Idle {
				rt.Fatalf("the connection is in state %d", w.srv.book.State(n))
			}
			w.stop()
			<-c.done
		})
	})
}
