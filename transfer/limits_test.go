package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
)

// wantDuration fails the test unless size bytes took the time that the rate
// gives.
func wantDuration(t *testing.T, got time.Duration, size, rate int64) {
	t.Helper()
	want := time.Duration(float64(size) / float64(rate) * float64(time.Second))
	// The handshakes take 60 ms, and limitBurst is free.
	if got < want*97/100 || got > want*105/100 {
		t.Errorf("took %v, want %v", got, want)
	}
}

// fetchingTime returns how long the fetching of a run took.
func fetchingTime(o *outcome) time.Duration {
	_, from := only[fetch.Started](o)
	_, to := only[fetch.Finishing](o)
	return to.Sub(from)
}

// A client's limit holds for all its servers together.
func TestClientLimit(t *testing.T) {
	for _, servers := range []int{1, 3} {
		bubble(t, func(t *testing.T, w *world) {
			const rate = 300 << 10
			data := file(8*chunk, 1)
			s := w.serve(newSource(data), 0, servers, serve.Config{})
			o := w.get(getConfig{Targets: s.targets, Limit: rate})
			o.has("data.bin", data)
			wantDuration(t, fetchingTime(o), o.Size+o.Duplicate, rate) // what comes twice is paid for twice
		})
	}
}

// A server's limit holds for all its ports together.
func TestServerLimit(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const rate = 300 << 10
		data := file(8*chunk, 1)
		// One limit for the whole process: two ports are no quicker.
		s := w.serve(newSource(data), 0, 2, serve.Config{Limit: rate})
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		wantDuration(t, fetchingTime(o), o.Size, rate)
	})
}

// A rate at which one chunk takes minutes is no reason to give up a server.
func TestVeryLowLimit(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const rate = 2 << 10
		data := file(2*chunk, 1)
		servers := w.holders(data, data)
		o := w.get(getConfig{Targets: targetsOf(servers...), Limit: rate, Interval: time.Second})
		o.has("data.bin", data)
		none[fetch.Lost](o)
		wantDuration(t, fetchingTime(o), o.Size, rate)
		if got := servers[0].total() + servers[1].total(); got != o.Size {
			t.Errorf("%d bytes were served, want each one once", got)
		}
	})
}
