package malcolm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/wire"
)

var (
	sumA = [32]byte{1}
	sumB = [32]byte{2}
)

func part(sum [32]byte, offset, length int64) source.Span {
	return source.Span{Checksum: sum, Offset: offset, Length: length}
}

// The bytes of all spans come in their order, however they are cut into frames.
func TestSpans(t *testing.T) {
	spans := []source.Span{part(sumA, 5, 1000), part(sumB, 70000, 1), part(sumA, 0, 2500)}
	for _, n := range []int{1, 999, 1000, 1001, 1 << 17} {
		synctest.Test(t, func(t *testing.T) {
			c, f := newFake(generous, serveRanges(n))
			b := ranges(t, c, spans...)
			defer b.Close()
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, contents(spans)) {
				t.Errorf("frames of %d bytes: %d bytes, %v; want those of the spans", n, len(got), err)
			}
			want := []wire.Span{{Checksum: sumA, Offset: 5, Length: 1000}, {Checksum: sumB, Offset: 70000, Length: 1}, {Checksum: sumA, Length: 2500}}
			if asked := f.asked(); len(asked) != 1 || !equal(asked[0].(wire.RangesRequest).Spans, want) {
				t.Errorf("asked %+v, want %+v", asked, want)
			}
		})
	}
}

func equal(a, b []wire.Span) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A span that fails is said once, in place of its rest, and the next one
// follows.
func TestFailedSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := []source.Span{part(sumA, 0, 100), part(sumA, 100, 100), part(sumB, 0, 50), part(sumA, 200, 10)}
		busy := wire.Refusal{Status: wire.StatusBusy, Wait: 3 * time.Second, Text: "x"}
		c, _ := newFake(generous, func(st *fakeStream, _ wire.Request) {
			st.reply(frame(content(0, 130))) // 30 of the second
			st.reply(failed(1, wire.Refusal{Status: wire.StatusChanged}))
			st.reply(failed(2, busy))
			st.reply(frame(content(200, 10)))
		})
		b := ranges(t, c, spans...)
		defer b.Close()
		var got []byte
		var failures []*source.FailedSpan
		p := make([]byte, 64)
		for {
			if err := b.Wait(); err != nil {
				t.Fatal(err)
			}
			n, err := b.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			f, ok := errors.AsType[*source.FailedSpan](err)
			if ok {
				failures = append(failures, f)
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if want := append(content(0, 130), content(200, 10)...); !bytes.Equal(got, want) {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
		if len(failures) != 2 || failures[0].Index != 1 || failures[1].Index != 2 {
			t.Fatalf("failures %+v, want of the spans 1 and 2", failures)
		}
		if source.WhatOf(failures[0]) != source.Changed || failures[0].Error() != "its file changed" {
			t.Errorf("%v, want that its file changed", failures[0])
		}
		if !source.IsFull(failures[1]) || source.WaitOf(failures[1]) != 3*time.Second {
			t.Errorf("%v after %v, want full for 3s", failures[1], source.WaitOf(failures[1]))
		}
	})
}

// Whatever breaks the protocol in a reply is found, and the body ends.
func TestBrokenRanges(t *testing.T) {
	refusal := func(s wire.Status) []byte { return (&wire.Refusal{Status: s, Text: "x"}).Append(nil) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, test := range []struct {
		name  string
		reply []byte
		want  string // the error; empty: what a broken protocol has
		what  source.What
	}{
		{name: "frame of no bytes", reply: join(frame(nil), frames(content(0, 20), 20))},
		{name: "frame of no bytes behind one", reply: join(frame(content(0, 10)), frame(nil), frame(content(10, 10)))},
		{name: "a byte more in the only frame", reply: frame(content(0, 21))},
		{name: "a byte more in another frame", reply: join(frame(content(0, 20)), frame([]byte{0}))},
		{name: "bytes behind the end", reply: join(frame(content(0, 20)), []byte{0})},
		{name: "too few bytes", reply: frame(content(0, 19))},
		{name: "half a frame", reply: frame(content(0, 20))[:15]},
		{name: "nothing"},
		{name: "a frame over the limit", reply: wire.Header{Length: wire.MaxFrameLen + 1}.Append(nil)},
		{name: "a later span fails", reply: join(frame(content(0, 5)), failed(1, wire.Refusal{Status: wire.StatusChanged}))},
		{name: "an earlier span fails", reply: join(frame(content(0, 12)), failed(0, wire.Refusal{Status: wire.StatusChanged}))},
		{name: "a span that was not asked for fails", reply: failed(2, wire.Refusal{Status: wire.StatusChanged})},
		{name: "a span fails behind the last", reply: join(frame(content(0, 20)), failed(1, wire.Refusal{Status: wire.StatusChanged}))},
		{name: "a span fails as denied", reply: failed(0, wire.Refusal{Status: wire.StatusDenied})},
		{name: "a span fails as malformed", reply: failed(0, wire.Refusal{Status: wire.StatusMalformed})},
		{name: "a span fails as ok", reply: failed(0, wire.Refusal{Status: wire.StatusOK})},
		{name: "indexing", reply: append(wire.Header{Status: wire.StatusIndexing, Length: 2}.Append(nil), 0, 1)},
		{name: "denied", reply: refusal(wire.StatusDenied)},
		{name: "not found", reply: refusal(wire.StatusNotFound)},
		{name: "stopping", reply: refusal(wire.StatusStopping), want: "the server is stopping", what: source.Full},
		{name: "changed behind bytes", reply: join(frame(content(0, 5)), refusal(wire.StatusChanged)), want: "its file changed", what: source.Changed},
		{name: "out of range", reply: refusal(wire.StatusOutOfRange), want: wordsOfUs, what: source.Wrong},
		{name: "unknown status", reply: refusal(99), want: `refused: status 99: "x"`, what: source.Lost},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newFake(generous, func(st *fakeStream, _ wire.Request) { st.reply(test.reply) })
				b := ranges(t, c, part(sumA, 0, 10), part(sumA, 10, 10))
				defer b.Close()
				got, err := io.ReadAll(b)
				if test.want == "" {
					test.what = source.Wrong
				}
				if source.WhatOf(err) != test.what || test.want != "" && err.Error() != test.want {
					t.Errorf("%d bytes, error %v (%d), want %q (%d)", len(got), err, source.WhatOf(err), test.want, test.what)
				}
				if _, ok := errors.AsType[*source.Fault](err); !ok {
					t.Errorf("%T is no fault", err)
				}
			})
		})
	}
}

// Wait returns when a byte of a span is there, and not with the head of its
// frame.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		c, _ := newFake(generous, func(st *fakeStream, _ wire.Request) {
			st.pause(time.Second)
			all := frame(content(0, 100))
			st.reply(all[:3])
			st.pause(time.Second)
			st.reply(all[3:4])
			st.pause(time.Second)
			st.reply(all[4:])
		})
		b := ranges(t, c, part(sumA, 0, 100))
		defer b.Close()
		if passed := time.Since(begun); passed != 0 {
			t.Errorf("asked for after %v, want at once", passed)
		}
		if err := b.Wait(); err != nil || time.Since(begun) != 2*time.Second {
			t.Errorf("%v after %v, want bytes after 2s", err, time.Since(begun))
		}
		if n, err := b.Read(make([]byte, 50)); n != 1 || err != nil {
			t.Errorf("read %d, %v; want the byte that is there", n, err)
		}
	})
}

// What is longer than a server allows is asked for piece by piece, one after
// the other; what has failed is not asked for again.
func TestSplitRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := wire.Limits{Streams: 1, Flight: wire.LeastLongest, Longest: wire.LeastLongest, Wasted: 100}
		const m = 1 << 20
		spans := []source.Span{part(sumA, 0, 10*m), part(sumB, 3, 30*m+1), part(sumA, 11*m, 5), part(sumB, 50*m, 40*m), part(sumA, 1, m)}
		c, f := newFake(limits, func(st *fakeStream, req wire.Request) {
			for i, s := range req.(wire.RangesRequest).Spans {
				if s.Checksum == sumB && s.Offset >= 50*m {
					st.reply(frame(content(s.Offset, 7)))
					st.reply(failed(i, wire.Refusal{Status: wire.StatusUnreadable}))
					continue
				}
				st.reply(frames(content(s.Offset, s.Length), wire.MaxFrameLen))
			}
		})
		b := ranges(t, c, spans...)
		defer b.Close()
		var got bytes.Buffer
		_, err := got.ReadFrom(b)
		if f, ok := errors.AsType[*source.FailedSpan](err); !ok || f.Index != 3 {
			t.Fatalf("error = %v, want that span 3 failed", err)
		}
		if _, err := got.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		want := contents(spans[:3])
		want = append(append(want, content(50*m, 7)...), contents(spans[4:])...)
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes, want %d others", got.Len(), len(want))
		}
		var lengths []int64
		for _, r := range f.asked() {
			lengths = append(lengths, requestBytes(r))
		}
		if len(lengths) != 4 || lengths[0] != wire.LeastLongest || lengths[1] != wire.LeastLongest || lengths[2] != wire.LeastLongest || lengths[3] != m {
			t.Errorf("asked for %d bytes, want three times %d, and what is behind the failed span", lengths, wire.LeastLongest)
		}
	})
}

func requestBytes(r wire.Request) (n int64) {
	for _, s := range r.(wire.RangesRequest).Spans {
		n += s.Length
	}
	return n
}

// A request names at most 256 spans.
func TestManySpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spans []source.Span
		for i := range 600 {
			spans = append(spans, part(sumA, wire.MaxFileSize-1000-int64(i), 3))
		}
		c, f := newFake(generous, serveRanges(1000))
		b := ranges(t, c, spans...)
		defer b.Close()
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, contents(spans)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if asked := f.asked(); len(asked) != 3 || len(asked[0].(wire.RangesRequest).Spans) != wire.MaxSpans {
			t.Errorf("%d requests, want 3", len(asked))
		}
	})
}

// The requests of a connection keep its server's limits, at every moment, and
// all are answered.
func TestLimitsAreKept(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			limits := wire.Limits{Streams: 1 + rng.IntN(4), Longest: wire.LeastLongest, Wasted: 100}
			limits.Flight = limits.Longest + rng.Int64N(limits.Longest/4)
			var known wire.Limits
			if rng.IntN(2) == 0 { // else they are heard with the first reply
				known = limits
			}
			var c *conn
			var f *fakeConn
			look := func() {
				streams, flight := f.underWay()
				bound := limits
				if !isOpened(c) {
					bound = least
				}
				if streams > bound.Streams || flight > bound.Flight {
					t.Errorf("seed %d: %d streams and %d bytes under way, allowed are %+v", seed, streams, flight, bound)
				}
			}
			c, f = newFake(known, func(st *fakeStream, req wire.Request) {
				look()
				time.Sleep(100 * time.Millisecond)
				if !isOpened(c) {
					c.room.open(limits)
				}
				st.reply(frames(make([]byte, requestBytes(req)), wire.MaxFrameLen))
			})
			ended := make(chan bool)
			const bodies = 6
			for i := range bodies {
				n := 1 + rng.Int64N(8<<20)
				if i == 1 {
					n += wire.LeastLongest
				}
				go func() {
					b := ranges(t, c, part(sumA, 0, n))
					got, err := drain(b)
					b.Close()
					ended <- got == n && err == nil
				}()
			}
			for range bodies {
				if !<-ended {
					t.Errorf("seed %d: a range is not whole", seed)
				}
			}
			if c.room.streams != 0 || c.room.flight != 0 || len(c.room.queue) != 0 {
				t.Errorf("seed %d: behind all: %+v", seed, &c.room)
			}
		})
	}
}

// drain reads all of a body.
func drain(b source.Body) (n int64, err error) {
	p := make([]byte, 128<<10)
	for err == nil {
		var got int
		got, err = b.Read(p)
		n += int64(got)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func isOpened(c *conn) bool {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	return c.room.opened
}

// underWay counts the requests that are not over, and their bytes.
func (c *fakeConn) underWay() (streams int, flight int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.streams {
		st.mu.Lock()
		if len(st.left) == 0 && st.request != nil {
			streams++
			flight += requestBytes(st.request) - st.read
		}
		st.mu.Unlock()
	}
	return streams, flight
}

// A range that waits for its turn ends with its context, and with the
// connection. A request for no bytes does not wait for bytes.
func TestWaitingForTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := wire.Limits{Streams: 3, Flight: wire.LeastLongest, Longest: wire.LeastLongest, Wasted: 100}
		c, f := newFake(limits, func(st *fakeStream, _ wire.Request) { st.pause(time.Hour) })
		whole := part(sumA, 0, wire.LeastLongest)
		first := ranges(t, c, whole)
		defer first.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if _, err := c.Range(ctx, []source.Span{part(sumA, 0, 1)}); err == nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v, want an error with the context", err, time.Since(begun))
		}
		go func() {
			time.Sleep(time.Minute)
			f.Close(0, "")
		}()
		begun = time.Now()
		_, err := c.Range(t.Context(), []source.Span{part(sumA, 0, 1)})
		if err == nil || err.Error() != "the connection was closed here" || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v, want an error with the connection", err, time.Since(begun))
		}
		if n := len(f.asked()); n != 1 {
			t.Errorf("%d requests, want only the first", n)
		}
		if p := c.room.enter(t.Context(), nil, 0); p == nil || c.room.streams != 2 {
			t.Error("a request for no bytes has no place")
		}
	})
}

// Closing a body tells how many bytes are left of its request.
func TestCloseTellsWhatIsLeft(t *testing.T) {
	for _, test := range []struct{ read, want int64 }{{0, 1000}, {999, 1}, {400, 600}} {
		synctest.Test(t, func(t *testing.T) {
			c, f := newFake(generous, serveRanges(300))
			b := ranges(t, c, part(sumA, 0, 1000))
			if _, err := io.CopyN(io.Discard, b, test.read); err != nil {
				t.Fatal(err)
			}
			b.Close()
			if left, ok := f.streams[0].cancelled(); !ok || left != test.want {
				t.Errorf("%d bytes read: cancelled %t with %d left, want %d", test.read, ok, left, test.want)
			}
			if _, err := b.Read(make([]byte, 1)); err == nil {
				t.Error("a closed body is read")
			}
			b.Close() // may come again
			if c.room.streams != 0 || c.room.flight != 0 {
				t.Errorf("behind Close: %+v", &c.room)
			}
		})
	}
}

// The end of the context ends a body that is read.
func TestContextEndsABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newFake(generous, func(st *fakeStream, _ wire.Request) {
			st.reply(frame(content(0, 10)))
			st.pause(time.Hour)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		b, err := c.Range(ctx, []source.Span{part(sumA, 0, 20)})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if n, err := io.Copy(io.Discard, b); n != 10 || err == nil || time.Since(begun) != time.Minute {
			t.Errorf("%d bytes, %v after %v; want the context's end", n, err, time.Since(begun))
		}
	})
}
