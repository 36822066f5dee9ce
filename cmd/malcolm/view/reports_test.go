package view

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/serve"
)

// TestPace: what is drawn is asked for more often than what is written.
func TestPace(t *testing.T) {
	drawn, written := Terminal{Drawn: true}, Terminal{}
	for _, test := range []struct {
		on             Terminal
		interval, want time.Duration
	}{
		{written, time.Second, time.Second}, {drawn, time.Second, drawnInterval},
		{drawn, 50 * time.Millisecond, 50 * time.Millisecond}, {drawn, 0, 0},
	} {
		if got := test.on.Pace(test.interval); got != test.want {
			t.Errorf("%v: %v, want %v", test.interval, got, test.want)
		}
	}
}

// A recorder is a serveWatcher that writes down what it is told.
type recorder struct{ told []string }

func (r *recorder) event(e serve.Event) { r.told = append(r.told, fmt.Sprintf("%T", e)) }

func (r *recorder) status(st serve.Status, _ time.Time) {
	r.told = append(r.told, fmt.Sprint(st.Panics))
}

func (r *recorder) ended() { r.told = append(r.told, "ended") }

// TestServeReports: a server is asked at the interval while it listens, and
// once before it is said to have stopped. Without an interval, only then.
func TestServeReports(t *testing.T) {
	for interval, want := range map[time.Duration][]string{
		time.Second: {"serve.Listening", "1", "2", "serve.Ready", "3", "serve.Stopping", "4", "serve.Stopped", "ended"},
		0:           {"serve.Listening", "serve.Ready", "serve.Stopping", "1", "serve.Stopped", "ended"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{}
			s := &Serve{file: newShownFile("data"), watchers: []serveWatcher{r}, pace: interval}
			var asked int64
			s.Ask(func() serve.Status { asked++; return serve.Status{Panics: asked} })
			s.Event(serve.Listening{})
			time.Sleep(2500 * time.Millisecond)
			s.Event(serve.Ready{})
			time.Sleep(time.Second)
			s.Event(serve.Stopping{})
			time.Sleep(5 * time.Second)
			s.Event(serve.Stopped{})
			s.Ended()
			if !slices.Equal(r.told, want) {
				t.Errorf("interval %v: told %q, want %q", interval, r.told, want)
			}
		})
	}
}
