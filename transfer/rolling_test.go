package transfer

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
)

// longestHeld is how long the restart of one of three servers may hold up a
// client.
const longestHeld = 2 * time.Second

// TestRollingRestart: three servers are restarted one after the other under
// eight clients, each once the one before is ready again. No client fails, gets
// a wrong byte, or goes without a byte for longer than longestHeld.
func TestRollingRestart(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		var servers []*server
		for i := range 3 {
			servers = append(servers, w.serve(newSource(data), i, 1, serve.Config{Limit: 512 << 10, Limits: serve.Limits{DrainTime: 2 * time.Second}}))
		}
		var clients sync.WaitGroup
		var held [8]holdUp
		restarted := make(chan struct{})
		for i := range held {
			clients.Go(func() {
				o := w.get(getConfig{Targets: targetsOf(servers...), Events: held[i].event})
				select {
				case <-restarted:
				default:
					t.Errorf("client %d had all before every server was restarted", i)
				}
				if o.err != nil || !bytes.Equal(o.read("data.bin"), data) {
					t.Errorf("client %d: %v, or other bytes", i, o.err)
				}
				if len(events[fetch.Lost](o)) == 0 || len(events[fetch.Back](o)) == 0 {
					t.Errorf("client %d lost no server, or none came back", i)
				}
			})
		}
		for _, s := range servers {
			time.Sleep(time.Second)
			roll(s)
		}
		close(restarted)
		clients.Wait()
		for i, h := range held {
			t.Logf("client %d: %v without a byte", i, h.longest)
			if h.longest > longestHeld {
				t.Errorf("client %d was held up for %v, want at most %v", i, h.longest, longestHeld)
			}
		}
	})
}

// A holdUp is the longest time between two bytes of one client.
type holdUp struct {
	longest time.Duration
	arrived int64
	last    time.Time
}

func (h *holdUp) event(e fetch.Event) {
	p, ok := e.(progress)
	if !ok || p.Phase != fetch.PhaseFetching {
		return
	}
	var arrived int64
	for _, s := range p.Servers {
		arrived += s.Arrived
	}
	if h.arrived > 0 {
		h.longest = max(h.longest, time.Since(h.last))
	}
	if arrived > h.arrived {
		h.arrived, h.last = arrived, time.Now()
	}
}

// roll stops a server in order, starts it again a second later, and waits until
// it is ready.
func roll(s *server) {
	s.cancel()
	<-s.done
	time.Sleep(time.Second)
	before := len(serveEvents[serve.Ready](s))
	s.start()
	for len(serveEvents[serve.Ready](s)) == before {
		time.Sleep(10 * time.Millisecond)
	}
}
