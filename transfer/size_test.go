package transfer

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/hostile"
	"malcolm/transfer/source"

	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// lies makes a malicious server offer the true checksum with a false size.
func lies(size int64) func(m *hostile.Server) {
	return func(m *hostile.Server) {
		m.Offer.Size, m.Offer.ValuesLen = size, 0
		values := wire.NewValues(manifest.Count(size))
		for i := range min(values.Len(), m.Values.Len()) {
			values.Set(i, m.Values.At(i))
		}
		m.Values = values
		m.Data = append(bytes.Clone(m.Data), make([]byte, max(0, size-int64(len(m.Data))))...)
	}
}

// later makes a server answer after those with the default link.
func later(servers ...*server) {
	for _, s := range servers {
		s.links[0].set(func(l *link) { l.delay = 200 * time.Millisecond })
	}
}

var falseSizes = []int64{3*chunk - 1, 3*chunk + 1, chunk}

// A false size for the user's checksum costs time, and no file, while an honest
// server is there.
func TestFalseSizeThenTheTrueOne(t *testing.T) {
	t.Parallel()
	data := file(3*chunk, 1)
	want := checksum(data)
	for _, size := range falseSizes {
		bubble(t, func(t *testing.T, w *world) {
			m := w.malicious(data, 1, lies(size))
			honest := w.holders(data)
			later(honest...)
			o := w.get(getConfig{Targets: []source.Target{m.Target, honest[0].targets[0]}, Checksum: &want})
			o.has("data.bin", data)
			if r := o.report(m.Target); r.State != fetch.StateWrong {
				t.Errorf("%d: report = %+v, want wrong", size, r)
			}
			if r := o.report(honest[0].targets[0]); r.State != fetch.StateServing || r.Bytes != o.Size {
				t.Errorf("%d: report = %+v, want all of the file", size, r)
			}
		})
	}
}

// Several liars, each with its own size, are refused one after the other.
func TestManyFalseSizes(t *testing.T) {
	data := file(3*chunk, 1)
	want := checksum(data)
	bubble(t, func(t *testing.T, w *world) {
		targets := []source.Target{}
		for i, size := range falseSizes {
			targets = append(targets, w.malicious(data, i%2+1, lies(size)).Target)
		}
		honest := w.holders(data)
		later(honest...)
		o := w.get(getConfig{Targets: append(targets, honest[0].targets...), Checksum: &want})
		o.has("data.bin", data)
	})
}

// A size above the user's limit is not believed either while others may still
// answer.
func TestFalseSizeThatIsTooLarge(t *testing.T) {
	data := file(3*chunk, 1)
	want := checksum(data)
	bubble(t, func(t *testing.T, w *world) {
		m := w.malicious(data, 1, lies(4*chunk))
		honest := w.holders(data)
		later(honest...)
		o := w.get(getConfig{Targets: []source.Target{m.Target, honest[0].targets[0]}, Checksum: &want, MaxSize: 3 * chunk})
		o.has("data.bin", data)
	})
}

// Honest servers are lost before the end, and a liar is tried after them. What
// they gave is kept: the size is proved before the part file is touched.
func TestFalseSizeAfterTheTrueOne(t *testing.T) {
	t.Parallel()
	data := file(40*chunk, 1)
	want := checksum(data)
	bubble(t, func(t *testing.T, w *world) {
		honest := w.holders(data)[0]
		slow(1<<20, honest)
		m := w.malicious(data, 1, lies(40*chunk-1))
		w.link(m.Target).set(func(l *link) { l.delay = 200 * time.Millisecond })
		o := w.get(getConfig{
			Targets: []source.Target{honest.targets[0], m.Target}, Checksum: &want, Patience: 20 * time.Second,
			Events: at(0.5, func() { honest.links[0].set(func(l *link) { l.hole = true }) }),
		})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		if o.Part == "" || o.Fetched < o.Size/3 {
			t.Fatalf("part %q with %d bytes, want what came before", o.Part, o.Fetched)
		}
		again := w.holders(data)[0]
		o = w.get(getConfig{Targets: again.targets, Dir: o.dir, Resume: true, Checksum: &want})
		o.has("data.bin", data)
		if o.Resumed < o.Size/3 {
			t.Errorf("%d bytes were resumed, want what came before", o.Resumed)
		}
	})
}

// A stream goes on where the false size ended it.
func TestFalseSizeOfAStream(t *testing.T) {
	t.Parallel()
	data := file(3*chunk, 1)
	want := checksum(data)
	for _, size := range falseSizes {
		bubble(t, func(t *testing.T, w *world) {
			m := w.malicious(data, 1, lies(size))
			honest := w.holders(data)
			later(honest...)
			var out bytes.Buffer
			o := w.stream(getConfig{Targets: []source.Target{m.Target, honest[0].targets[0]}, Checksum: &want}, &out, 0)
			if o.err != nil || !bytes.Equal(out.Bytes(), data) {
				t.Errorf("%d: error %v, %d bytes, want the file", size, o.err, out.Len())
			}
		})
	}
}

// Verify calls a right file right, whatever size a liar gives for its checksum.
func TestFalseSizeInVerify(t *testing.T) {
	data := file(3*chunk, 1)
	want := checksum(data)
	for _, size := range []int64{3*chunk - 1, 2*chunk + 1} { // the values do not merge with more chunks
		bubble(t, func(t *testing.T, w *world) {
			m := w.malicious(data, 1, lies(size))
			r, err := w.localFile(data).verify(getConfig{Targets: []source.Target{m.Target}, Checksum: &want})
			if err != nil || !r.Right() {
				t.Errorf("%d: %+v, %v, want right", size, r, err)
			}
			var differs *fetch.MismatchError
			if _, err := w.localFile(data[:len(data)-1]).verify(getConfig{Targets: []source.Target{m.Target}, Checksum: &want}); !errors.As(err, &differs) {
				t.Errorf("%d: %v, want a mismatch", size, err)
			}
		})
	}
}

// An interrupt is told as one, also in a later size.
func TestInterruptedInALaterSize(t *testing.T) {
	t.Parallel()
	data := file(30*chunk, 1)
	want := checksum(data)
	bubble(t, func(t *testing.T, w *world) {
		m := w.malicious(data, 1, lies(30*chunk-1))
		honest := w.holders(data)
		later(honest...)
		slow(1<<20, honest...)
		ctx, cancel := context.WithCancelCause(context.Background())
		votes := 0
		o := w.getUnder(ctx, getConfig{Targets: []source.Target{m.Target, honest[0].targets[0]}, Checksum: &want, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Voted); ok {
				votes++
			}
			if p, ok := e.(progress); ok && votes == 2 && p.Phase == fetch.PhaseFetching && p.Good > 0 {
				cancel(errInterrupted)
			}
		}})
		if o.err != errInterrupted || o.Part == "" {
			t.Errorf("error %v, part %q, want the interruption and what came", o.err, o.Part)
		}
	})
}
