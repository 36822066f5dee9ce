package serve

import (
	"sync"
	"time"
)

// leaveTime is how long a server that has drained waits for work on connections
// that it has closed. A read of a disk that hangs may never end.
const leaveTime = 2 * time.Second

// drain refuses new requests and waits for those under way.
func (s *Server) drain() {
	for _, e := range s.endpoints() {
		e.current().StopAccepting()
	}
	s.stop()
	s.web.drain()
	s.events.emit(Stopping{Requests: s.active.count(), Within: s.limits.DrainTime})
	waitFor(s.active.idle(), s.limits.DrainTime)
}

func (s *Server) isStopping() bool { return s.stopping.Err() != nil }

// leave waits, at most leaveTime, for what has been told to end.
func leave(wg *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	waitFor(ended, leaveTime)
}

// waitFor waits until c is closed, but at most for most.
func waitFor(c <-chan struct{}, most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}

// activity counts what is under way and tells when nothing is. Any goroutine
// may call its methods.
type activity struct {
	mu      sync.Mutex
	n       int
	waiting []chan struct{}
}

func (a *activity) begin() {
	a.mu.Lock()
	a.n++
	a.mu.Unlock()
}

func (a *activity) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n--; a.n == 0 {
		for _, c := range a.waiting {
			close(c)
		}
		a.waiting = nil
	}
}

func (a *activity) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// idle returns a channel that is closed once nothing is under way.
func (a *activity) idle() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan struct{})
	if a.n == 0 {
		close(c)
	} else {
		a.waiting = append(a.waiting, c)
	}
	return c
}
