package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/admission"
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

// A spanReply is what a client makes of a reply to a request for ranges.
type spanReply struct {
	bodies [][]byte // of the spans, as far as they came
	failed map[int]wire.Status
	frames int
}

// readSpans reads a whole reply to a request for spans.
func readSpans(reply []byte, spans []wire.Span) (spanReply, error) {
	got := spanReply{bodies: make([][]byte, len(spans)), failed: make(map[int]wire.Status)}
	r, at := bytes.NewReader(reply), 0
	for {
		h, err := wire.ReadHeader(r)
		switch {
		case err == io.EOF && at == len(spans):
			return got, nil
		case err != nil:
			return got, fmt.Errorf("within span %d: %w", at, err)
		case at == len(spans):
			return got, errors.New("more than was asked for")
		}
		switch h.Status {
		case wire.StatusFailedSpan:
			f, err := wire.ReadFailedSpan(r, h)
			if err != nil || f.Index != at {
				return got, fmt.Errorf("span %d failed: %v, want %d", f.Index, err, at)
			}
			got.failed[at] = f.Refusal.Status
			at++
		case wire.StatusOK:
			got.frames++
			if h.Length < 1 || h.Length > wire.MaxFrameLen {
				return got, fmt.Errorf("a frame of %d bytes", h.Length)
			}
			for left := h.Length; left > 0; {
				if at == len(spans) {
					return got, errors.New("more bytes than were asked for")
				}
				part := make([]byte, min(int64(left), spans[at].Length-int64(len(got.bodies[at]))))
				if _, err := io.ReadFull(r, part); err != nil {
					return got, err
				}
				got.bodies[at] = append(got.bodies[at], part...)
				left -= len(part)
				if int64(len(got.bodies[at])) == spans[at].Length {
					at++
				}
			}
		default:
			return got, wire.ReadRefusal(r, h)
		}
	}
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
			w.srv.index.release(readyVersion(t.Context(), w.srv.index))
			name.rename(newMemFile(files[sums[1]]))
			w.srv.index.release(readyVersion(t.Context(), w.srv.index))
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
			got, err := readSpans(st.end(), spans)
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
				case !bytes.Equal(got.bodies[i], data[span.Offset:][:span.Length]):
					rt.Fatalf("span %d has other bytes", i)
				}
				if got.failed[i] != want {
					rt.Fatalf("span %d: %v, want %v", i, got.failed[i], want)
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
