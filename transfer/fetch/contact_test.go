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

// Servers that offer directories are named so; another one still decides.
func TestDirectoriesAreOffered(t *testing.T) {
	data := file(3*chunk, 1)
	tree := &source.Fault{What: source.Tree, Words: "offers a directory, which this command cannot copy"}
	offersTree := func(c *sourcetest.Conn) {
		c.OnStat = func(context.Context, source.Ask, func(done, total int64)) (o source.Offer, err error) { return o, tree }
	}
	for _, test := range []struct {
		change []func(*sourcetest.Conn)
		want   string
	}{
		{[]func(*sourcetest.Conn){offersTree}, "hosta:9001: offers a directory, which this command cannot copy"},
		{[]func(*sourcetest.Conn){offersTree, offersTree}, "none of 2 servers offers a file"},
		{[]func(*sourcetest.Conn){offersTree, nil}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var sources []source.Source
			for i, change := range test.change {
				sources = append(sources, sourcetest.Holder(place(i), data, change))
			}
			s := Open(t.Context(), Servers{Sources: sources}, Watch{})
			defer s.Close()
			begun := time.Now()
			var out bytes.Buffer
			_, err := s.Stream(Ballot{}, Stream{Out: &out})
			if test.want == "" {
				if err != nil || !bytes.Equal(out.Bytes(), data) {
					t.Errorf("%v, want the file of the other server", err)
				}
				return
			}
			nobody, ok := errors.AsType[*NobodyAnsweredError](err)
			if !ok || nobody.Error() != test.want || KindOf(err) != KindVote {
				t.Errorf("error = %v of kind %d, want %q of kind %d", err, KindOf(err), test.want, KindVote)
			}
			if passed := time.Since(begun); passed > time.Second {
				t.Errorf("ended after %v, want at once", passed)
			}
		})
	}
}
