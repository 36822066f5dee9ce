package view

import (
	"sync"
	"time"
)

// drawnInterval is the longest time between two drawn reports. Shorter ones
// would be of no use to the eye.
const drawnInterval = 200 * time.Millisecond

// Pace returns the time between two reports: interval, as the user asked, or
// less when they are drawn; 0 stays 0.
func (t Terminal) Pace(interval time.Duration) time.Duration {
	if t.Drawn {
		return min(interval, drawnInterval)
	}
	return interval
}

// reports asks for the status at an interval and shows it, but never while an
// event is shown. The zero value is ready to use.
type reports struct {
	mu   sync.Mutex
	quit func() // nil: there are no reports
}

// show calls f while nothing else is shown.
func (r *reports) show(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// begin shows report at each interval until end is called; 0: never. One
// goroutine calls begin and end.
func (r *reports) begin(interval time.Duration, report func()) {
	r.quit = every(interval, func() { r.show(report) })
}

// end waits for a report that is being shown. Without a begin it does nothing.
func (r *reports) end() {
	if r.quit != nil {
		r.quit()
		r.quit = nil
	}
}

// every calls f at each interval until stop is called; 0: never. stop waits for
// a call under way.
func every(interval time.Duration, f func()) (stop func()) {
	if interval == 0 {
		return func() {}
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				f()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
