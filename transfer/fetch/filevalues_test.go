package fetch

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/content"
	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

// A valuesWorld is files of 3 chunks, of 1 and of 2, and a way to a source of
// their values.
type valuesWorld struct {
	*treeValues
	lists []wire.Values
	way   *sourcetest.Conn
	asked atomic.Int32
}

func newValuesWorld(t *testing.T) *valuesWorld {
	t.Helper()
	w := &valuesWorld{}
	var files []content.File
	for i, chunks := range []int{3, 1, 2} {
		data := file(chunks*chunk, uint64(i))
		values, sum, err := manifest.Build(t.Context(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, content.File{Size: int64(len(data)), Checksum: sum})
		w.lists = append(w.lists, values)
	}
	c, err := content.Of(files...)
	if err != nil {
		t.Fatal(err)
	}
	w.treeValues = newTreeValues(c, func() []source.Conn { return nil })
	w.way = w.answering(func(o source.Offer) error { return nil })
	return w
}

// answering returns a way to a source that fails as fails says.
func (w *valuesWorld) answering(fails func(source.Offer) error) *sourcetest.Conn {
	way := sourcetest.NewConn(source.Peer{})
	way.OnValues = func(_ context.Context, o source.Offer, _ func(int)) (wire.Values, error) {
		w.asked.Add(1)
		if err := fails(o); err != nil {
			return wire.Values{}, err
		}
		for i := range w.lists {
			if w.content.File(i).Checksum == o.Checksum {
				return w.lists[i], nil
			}
		}
		return wire.Values{}, errors.New("unknown checksum")
	}
	return way
}

func (w *valuesWorld) want(t *testing.T, chunk, file, at int) {
	t.Helper()
	got, err := w.of(t.Context(), w.way, chunk)
	if err != nil || got != w.lists[file].At(at) {
		t.Errorf("value of chunk %d: %x, %v, want that of chunk %d of file %d", chunk, got, err, at, file)
	}
}

// The values of a file are asked for once, and only while one is wanted; those
// of a file of one chunk are known.
func TestTreeValues(t *testing.T) {
	w := newValuesWorld(t)
	w.want(t, 3, 1, 0)
	if w.asked.Load() != 0 {
		t.Errorf("asked %d times for a checksum that is known", w.asked.Load())
	}
	for _, chunk := range []int{1, 0, 2} {
		w.want(t, chunk, 0, chunk)
	}
	w.want(t, 5, 2, 1)
	if w.asked.Load() != 2 || len(w.held) != 2 {
		t.Errorf("asked %d times, %d lists are held, want 2", w.asked.Load(), len(w.held))
	}
	for _, chunk := range []int{3, 4, 0, 1, 2} {
		w.good(chunk)
	}
	if len(w.held) != 1 || len(w.left) != 1 || w.held[2] == nil {
		t.Errorf("%d lists are held, want that of the last file", len(w.held))
	}
}

// One request for the values is enough for all that wait. When it fails, that
// is the fault of its source, and another one is asked.
func TestTreeValuesShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newValuesWorld(t)
		broken := errors.New("broken")
		slow := w.answering(func(source.Offer) error {
			time.Sleep(time.Second)
			return broken
		})
		var wg sync.WaitGroup
		for file := range 3 {
			if w.lacks(file) {
				wg.Go(func() { w.expect(t.Context(), slow, file) })
			}
		}
		synctest.Wait()
		if w.asked.Load() != 2 {
			t.Errorf("asked %d times, want once for each file of several chunks", w.asked.Load())
		}
		begun := time.Now()
		w.want(t, 0, 0, 0)
		if got := time.Since(begun); got != time.Second || w.asked.Load() != 3 {
			t.Errorf("asked %d times in %v, want once more when the first request has failed", w.asked.Load(), got)
		}
		wg.Wait()
	})
}

// A source that does not answer is not waited for.
func TestTreeValuesHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newValuesWorld(t)
		never, end := context.WithCancel(t.Context())
		silent := w.answering(func(source.Offer) error {
			<-never.Done()
			return never.Err()
		})
		go w.expect(never, silent, 0)
		synctest.Wait()
		begun := time.Now()
		w.want(t, 0, 0, 0)
		if got := time.Since(begun); got != hedgeTime {
			t.Errorf("took %v, want %v", got, hedgeTime)
		}
		end()
		synctest.Wait()
		w.want(t, 1, 0, 1)
		if w.asked.Load() != 2 {
			t.Errorf("asked %d times, want 2", w.asked.Load())
		}
	})
}
