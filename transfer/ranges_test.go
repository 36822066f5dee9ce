package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/admission"
	"malcolm/transfer/hostile"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/serve"
	"malcolm/transport"
	"malcolm/wire"
)

// wantSpan fails the test unless a span has all of the bytes that it is of, or,
// with a status, some of them and then fails with it.
func wantSpan(t *testing.T, i int, got hostile.SpanReply, data []byte, status wire.Status) {
	t.Helper()
	switch {
	case status == 0 && (got.Failed != nil || !bytes.Equal(got.Data, data)):
		t.Errorf("span %d: %d bytes, failed with %v, want all %d", i, len(got.Data), got.Failed, len(data))
	case status != 0 && (got.Failed == nil || got.Failed.Status != status || !bytes.HasPrefix(data, got.Data)):
		t.Errorf("span %d: %d bytes, failed with %v, want %v", i, len(got.Data), got.Failed, status)
	}
}

// A request has up to 256 spans, which are answered in their order: anywhere in
// the file, over each other, of one byte each.
func TestManySpans(t *testing.T) {
	t.Parallel()
	data := file(5*chunk+3, 1)
	sum := checksum(data)
	rng := rand.New(rand.NewPCG(1, 2))
	scattered, single := spansOf(sum, 5*chunk+2, 1), spansOf(sum)
	for len(scattered) < wire.MaxSpans {
		at := rng.Int64N(5 * chunk)
		scattered = append(scattered, spansOf(sum, at, 1+rng.Int64N(min(20000, 5*chunk+3-at)))...)
	}
	for i := range int64(wire.MaxSpans) {
		single = append(single, spansOf(sum, i*i, 1)...)
	}
	for name, spans := range map[string][]wire.Span{"scattered": scattered, "of one byte": single, "the same": spansOf(sum, 9, 9, 9, 9, 0, 5*chunk, 9, 9)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				s := w.ready(data, serve.Config{})
				conn := w.dial(s.targets[0], 0)
				defer conn.Close(0, "")
				for range 2 { // with open ahead of it, and without
					got, err := hostile.ReadSpans(send(t, conn, request(wire.RangesRequest{Spans: spans})), spans)
					must(t, err)
					for i, span := range spans {
						wantSpan(t, i, got[i], data[span.Offset:][:span.Length], 0)
					}
				}
				more := request(wire.RangesRequest{Spans: append(spans[:len(spans):len(spans)], make([]wire.Span, 257-len(spans))...)})
				if got := readRefusal(t, send(t, conn, more)); got.Status != wire.StatusMalformed {
					t.Errorf("257 spans are refused with %v", got)
				}
			})
		})
	}
}

// A span that fails is answered by that, and all others as if it were not
// there.
func TestFailedSpans(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk+1, 1)
		sum, other := checksum(data), [32]byte{9}
		s := w.ready(data, serve.Config{})
		conn := w.dial(s.targets[0], 0)
		defer conn.Close(0, "")
		ok, changed, outside := wire.StatusOK, wire.StatusChanged, wire.StatusOutOfRange
		for _, want := range [][]wire.Status{
			{ok, changed, ok}, {changed, ok}, {ok, outside}, {outside, outside, ok, changed, ok, outside, ok}, {changed, outside},
		} {
			var spans []wire.Span
			for i, status := range want {
				at := int64(i) * 1000
				switch status {
				case ok:
					spans = append(spans, spansOf(sum, at, chunk)...)
				case changed:
					spans = append(spans, spansOf(other, at, chunk)...)
				case outside:
					spans = append(spans, spansOf(sum, 3*chunk-at, 2+at)...)
				}
			}
			got, err := hostile.ReadSpans(send(t, conn, request(wire.RangesRequest{Spans: spans})), spans)
			must(t, err)
			for i, status := range want {
				wantSpan(t, i, got[i], data[spans[i].Offset:min(spans[i].Offset+chunk, 3*chunk+1)], status)
				if status != ok && len(got[i].Data) > 0 {
					t.Errorf("%v: %d bytes of span %d", want, len(got[i].Data), i)
				}
			}
		}
	})
}

// What happens to the file of a span while it is sent concerns that version
// only. The spans behind it are answered.
func TestSpanThatChanges(t *testing.T) {
	data, next := file(4*chunk, 1), file(2*chunk, 2)
	for _, test := range []struct {
		name   string
		change func(old *heldFile)
		status wire.Status // of the spans of the changed file
	}{
		{"nothing", func(*heldFile) {}, 0},
		{"rewritten", func(old *heldFile) { old.replace(file(4*chunk, 3)) }, wire.StatusChanged},
		{"truncated", func(old *heldFile) { old.replace(data[:chunk]) }, wire.StatusChanged},
		{"truncated behind the spans", func(old *heldFile) { old.replace(data[:4*chunk-1]) }, wire.StatusChanged},
		{"grown", func(old *heldFile) { old.replace(append(data[:4*chunk:4*chunk], 0)) }, wire.StatusChanged},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				old := newSource(data)
				n := renamableOf(old)
				s := w.serve(old, 0, 1, serve.Config{Source: n})
				slow(200<<10, s)
				time.Sleep(time.Second)
				n.rename(newSource(next))
				conn := w.dial(s.targets[0], 0)
				defer conn.Close(0, "")
				io.ReadAll(send(t, conn, request(wire.StatRequest{}))) // both versions are held
				spans := append(append(spansOf(checksum(data), 0, 3*chunk), spansOf(checksum(next), 5, chunk)...), spansOf(checksum(data), 3, 3)...)
				st := send(t, conn, request(wire.RangesRequest{Spans: spans}))
				time.Sleep(2 * time.Second)
				test.change(old)
				got, err := hostile.ReadSpans(st, spans)
				must(t, err)
				wantSpan(t, 0, got[0], data[:3*chunk], test.status)
				wantSpan(t, 1, got[1], next[5:chunk+5], 0)
				wantSpan(t, 2, got[2], data[3:6], test.status)
				if n := len(got[0].Data); n < 200<<10 {
					t.Errorf("%d bytes came before the change", n)
				}
			})
		})
	}
}

// A file that gets another name's place in the middle of a reply is served to
// its end, and the file that has the name now behind it.
func TestSpanWhoseFileIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data, next := file(4*chunk, 1), file(2*chunk, 2)
		n := renamableOf(newSource(data))
		s := w.serve(n.file.Load(), 0, 1, serve.Config{Source: n})
		slow(200<<10, s)
		time.Sleep(time.Second)
		conn := w.dial(s.targets[0], 0)
		defer conn.Close(0, "")
		spans := append(append(spansOf(checksum(data), 0, 4*chunk), spansOf(checksum(next), 0, 2*chunk)...), spansOf(checksum(data), 7, 7)...)
		st := send(t, conn, request(wire.RangesRequest{Spans: spans}))
		time.Sleep(2 * time.Second)
		n.rename(newSource(next))
		go io.ReadAll(send(t, conn, request(wire.StatRequest{}))) // it is noticed
		got, err := hostile.ReadSpans(st, spans)
		must(t, err)
		wantSpan(t, 0, got[0], data, 0)
		wantSpan(t, 1, got[1], next, 0)
		wantSpan(t, 2, got[2], data[7:14], 0)
	})
}

// A place of the disk that cannot be read fails the span that it is in, and no
// other.
func TestUnreadableSpan(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const bad = 2*chunk + 12345
		data := file(4*chunk, 1)
		s := w.ready(data, serve.Config{})
		s.src.onRange(func(p []byte, off int64) error {
			if off <= bad && bad < off+int64(len(p)) {
				return errors.New("input/output error")
			}
			return nil
		})
		conn := w.dial(s.targets[0], 0)
		defer conn.Close(0, "")
		spans := spansOf(checksum(data), bad+1, 100, 0, 4*chunk, 0, 2*chunk, bad, 1, 3*chunk, chunk)
		got, err := hostile.ReadSpans(send(t, conn, request(wire.RangesRequest{Spans: spans})), spans)
		must(t, err)
		for i, span := range spans {
			status := wire.StatusUnreadable
			if bad < span.Offset || bad >= span.Offset+span.Length {
				status = 0
			}
			wantSpan(t, i, got[i], data[span.Offset:][:span.Length], status)
		}
		if n := int64(len(got[1].Data)); n > bad || n < bad-admission.MostBuffer {
			t.Errorf("%d bytes came before the bad one, which is %d", n, bad)
		}
		s.src.onRange(nil)
		got, err = hostile.ReadSpans(send(t, conn, request(wire.RangesRequest{Spans: spans})), spans)
		must(t, err)
		wantSpan(t, 1, got[1], data, 0)
	})
}

// Replies of many spans that nobody reads hold the smallest buffer, for two of
// a connection's ranges, and 48 bytes a span.
func TestHostileSpansNeverRead(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		const conns, span = 4, 16 << 10
		data := file(16*chunk, 1)
		s := w.ready(data, serve.Config{})
		var spans []wire.Span
		for i := range int64(wire.MaxSpans) {
			spans = append(spans, spansOf(checksum(data), i*span, span)...)
		}
		ask := request(wire.RangesRequest{Spans: spans})
		var streams []transport.Stream
		for range conns {
			conn := w.attack(s.targets[0], 1, 64<<10)
			for range transport.DefaultMaxStreams {
				streams = append(streams, send(t, conn, ask))
			}
		}
		time.Sleep(5 * bufferSpan)
		const request, window, packet, free = 10<<10 + wire.MaxSpans*48, 64 << 10, 1452, 48 << 10
		most := int64(conns * (transport.DefaultMaxStreams*request + window*4/3 + 2*packet + rangeSlots*admission.LeastBuffer - free))
		least := int64(conns * transport.DefaultMaxStreams * request)
		if got := s.run.Status().Load.Held; got > most || got < least {
			t.Errorf("%d bytes are held for spans that nobody reads, want %d to %d", got, least, most)
		}
		if read := s.src.sent(); read > conns*transport.DefaultMaxStreams*2*(64<<10) {
			t.Errorf("%d bytes were read for them", read)
		}
		s.honest(data)
		for _, st := range streams {
			st.CancelRead(uint64(wire.StreamCancelled), transport.LeftUnknown)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if st := s.run.Status(); st.Load.Held > conns*(window*4/3+2*packet) || st.Requests != 0 {
			t.Errorf("%d bytes are held and %d requests are under way when all were given up", st.Load.Held, st.Requests)
		}
	})
}

// A blank is a source of n zero bytes, and its file.
type blank int64

func (b blank) Stat() (fs.FileInfo, error) {
	return fileInfo{size: int64(b), mtime: time.Unix(1e9, 0)}, nil
}
func (b blank) Open() (localfile.File, error) { return b, nil }
func (b blank) Close() error                  { return nil }

func (b blank) ReadAt(p []byte, off int64) (int, error) {
	n := max(0, min(int64(len(p)), int64(b)-off))
	clear(p[:n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// Values are asked for by the number of the first, and how many. They come in
// one frame up to 4,096 of them, and with the offer up to 2,048.
func TestValuesEdges(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	for _, chunks := range []int{0, 1, 2, 2048, 4096} {
		t.Run(fmt.Sprintf("%d chunks", chunks), func(t *testing.T) {
			src := blank(max(chunks*chunk-1, 0))
			want, sum, err := manifest.Build(context.Background(), src, int64(src), manifest.BuildOptions{})
			must(t, err)
			bubble(t, func(t *testing.T, w *world) {
				s := w.serve(newSource(nil), 0, 1, serve.Config{Source: src})
				conn := w.dial(s.targets[0], 0)
				defer conn.Close(0, "")
				st := send(t, conn, request(wire.StatRequest{Values: true}))
				for {
					h, err := wire.ReadHeader(st)
					must(t, err)
					if h.Status == wire.StatusIndexing {
						io.CopyN(io.Discard, st, int64(h.Length))
						continue
					}
					offer, err := wire.ReadOffer(st, h)
					must(t, err)
					if inline := chunks > 1 && chunks <= 2048; offer.Checksum != sum || (offer.ValuesLen > 0) != inline {
						t.Errorf("offer = %+v, want values: %t", offer, inline)
					}
					break
				}
				for _, ask := range [][2]int{
					{0, 1}, {0, chunks}, {0, chunks + 1}, {chunks / 2, chunks - chunks/2}, {chunks / 2, chunks - chunks/2 + 1},
					{chunks - 1, 1}, {chunks - 1, 2}, {chunks, 1}, {wire.MaxChunks - 1, 1}, {0, wire.MaxChunks},
				} {
					first, count := ask[0], ask[1]
					if first < 0 || count < 1 {
						continue
					}
					reply, err := io.ReadAll(send(t, conn, request(wire.ValuesRequest{Checksum: sum, First: first, Count: count})))
					must(t, err)
					if chunks < 2 || first+count > chunks {
						if got := readRefusal(t, bytes.NewReader(reply)); got.Status != wire.StatusOutOfRange {
							t.Errorf("values %d to %d are refused with %v, want out of range", first, first+count-1, got)
						}
					} else if frame := want.AppendFrames(nil, first, count); !bytes.Equal(reply, frame) {
						t.Errorf("values %d to %d: %d bytes, want %d", first, first+count-1, len(reply), len(frame))
					}
				}
			})
		})
	}
}
