package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// The pauses between two tries double up to longestPause, give or take a
// quarter.
func TestBackOff(t *testing.T) {
	var b backOff
	for i, want := range []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second} {
		got := b.next()
		if got < want-want/4 || got > want+want/4 {
			t.Errorf("pause %d is %v, want about %v", i, got, want)
		}
	}
}

// A server that names a time is left alone for it, but never longer than nine
// tenths of the patience, and than a minute.
func TestServerAsksForAWait(t *testing.T) {
	const days = 24 * time.Hour
	for _, test := range []struct{ wait, patience, want time.Duration }{
		{20 * time.Second, DefaultPatience, 20 * time.Second},
		{49 * days, DefaultPatience, longestAway},
		{49 * days, 10 * time.Second, 9 * time.Second},
		{0, DefaultPatience, secondTry},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			var tries []time.Duration
			src := &sourcetest.Source{Place: place(0), Dial: func(context.Context) (source.Conn, error) {
				tries = append(tries, time.Since(begun))
				return nil, &source.Fault{What: source.Full, Words: "full", Wait: test.wait}
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+time.Second)
			defer cancel()
			s := Open(ctx, Servers{Sources: []source.Source{src}, Patience: test.patience}, Watch{})
			_, err := s.Info(Ballot{})
			s.Close()
			if len(tries) < 2 || tries[1] != test.want {
				t.Errorf("a wait of %v: tried at %v, want again after %v", test.wait, tries, test.want)
			}
			if patient := time.Since(begun) <= test.patience+time.Second; err == nil || !patient && test.patience < time.Minute {
				t.Errorf("a wait of %v: ended after %v with %v", test.wait, time.Since(begun), err)
			}
		})
	}
}

// A server that refuses a range for a time is not asked before, and serves
// afterwards. Meanwhile others take its work.
func TestRangeIsRefusedForATime(t *testing.T) {
	for _, wait := range []time.Duration{7 * time.Second, 49 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			data := file(6*chunk, 1)
			var refused atomic.Int64
			var mu sync.Mutex
			var asked []time.Time
			f := newFleet(1, data, func(_ int, c *sourcetest.Conn) {
				get := c.OnRange
				c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
					mu.Lock()
					asked = append(asked, time.Now())
					mu.Unlock()
					if refused.Add(1) == 1 {
						busy := &source.Fault{What: source.Full, Words: "full", Wait: wait}
						return sourcetest.NewBody(failing{&source.FailedSpan{Fault: busy}}), nil
					}
					return get(ctx, spans)
				}
			})
			s := f.open(t, 1)
			defer s.Close()
			fetchAll(t, s, data)
			mu.Lock()
			defer mu.Unlock()
			if got, want := asked[1].Sub(asked[0]), min(wait, longestAway); got < want || got > want+time.Second {
				t.Errorf("asked again after %v, want after %v", got, want)
			}
		})
	}
}

// failing is a reader with nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A method that copies a file refuses a directory; servers that offer one have
// their votes.
func TestDirectoriesAreOffered(t *testing.T) {
	data, listing := file(3*chunk, 1), file(100, 2)
	for _, test := range []struct {
		trees, files int
		want         error
	}{
		{1, 0, &TreeOfferedError{}},
		{2, 1, &TreeOfferedError{}},
		{1, 1, &UndecidedError{}},
		{1, 2, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			var sources []source.Source
			for i := range test.trees + test.files {
				if i < test.trees {
					sources = append(sources, sourcetest.HolderOfTree(place(i), listing, nil, nil))
				} else {
					sources = append(sources, sourcetest.Holder(place(i), data, nil))
				}
			}
			s := Open(t.Context(), Servers{Sources: sources}, Watch{})
			defer s.Close()
			var out bytes.Buffer
			sha := sha256.Sum256(data) // of one file
			_, err := s.Stream(Ballot{}, Stream{Out: &out, SHA256: &sha})
			if test.want == nil {
				if err != nil || !bytes.Equal(out.Bytes(), data) {
					t.Errorf("%v, want the file of the others", err)
				}
				return
			}
			if reflect.TypeOf(err) != reflect.TypeOf(test.want) || KindOf(err) != KindVote || out.Len() > 0 {
				t.Errorf("%d trees, %d files: error = %v of kind %d, want %T of kind %d", test.trees, test.files, err, KindOf(err), test.want, KindVote)
			}
		})
	}
}
