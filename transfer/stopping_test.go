package transfer

import (
	"errors"
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"

	"malcolm/transport"
	"malcolm/wire"
)

// A stopped server sends what it has begun, and the run goes on with the
// others.
func TestStoppedServer(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		servers := w.holders(data, data)
		// A chunk takes less than the time that ranges have to finish.
		slow(200<<10, servers...)
		stopped := servers[0]
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: at(0.25, stopped.cancel)})
		o.has("data.bin", data)
		lost, _ := only[fetch.Lost](o)
		var peer *transport.PeerError
		if lost.Target != stopped.targets[0] || lost.State != fetch.StateLost || lost.Left != 1 || !errors.As(lost.Err, &peer) ||
			peer.Kind != transport.PeerClosed || wire.CloseCode(peer.Code) != wire.CloseStopping {
			t.Errorf("lost = %+v, want the server that said it is stopping", lost)
		}
		<-stopped.done
		if stopped.err != nil {
			t.Errorf("serve returned %v, want nil", stopped.err)
		}
		stopping := serveEvents[serve.Stopping](stopped)
		if len(stopping) != 1 || stopping[0].Requests == 0 {
			t.Fatalf("stopping = %+v, want ranges under way", stopping)
		}
		// Whatever it had begun to send arrived completely. What a slow
		// client has not taken of a piece is read twice.
		if got, want := o.report(stopped.targets[0]).Bytes, stopped.src.sent(); got > want || want-got > chunk/4 || got == 0 {
			t.Errorf("%d good bytes came from it, it read %d", got, want)
		}
		wantStopped(t, stopped)
	})
}

// wantStopped fails the test unless a server's end is told as a stop.
func wantStopped(t *testing.T, s *server) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.events[len(s.events)-1].(serve.Stopped); !ok {
		t.Errorf("last event = %T, want Stopped", last)
	}
	for _, v := range s.run.Status().Servers {
		if v.State != serve.StateStopped || v.Ranges != 0 {
			t.Errorf("status = %+v, want stopped", v)
		}
	}
}

// A server that stops does not wait for ranges that take too long.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, w *world) {
		s := w.holders(file(4*chunk, 1))[0]
		slow(10<<10, s)
		var begun time.Time
		stopped := make(chan time.Time, 1)
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
			p, ok := e.(progress)
			if ok && begun.IsZero() && p.Phase == fetch.PhaseFetching && p.Servers[0].Rate > 0 {
				begun = time.Now()
				s.cancel()
				go func() {
					<-s.done
					stopped <- time.Now()
				}()
			}
		}})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		if got := (<-stopped).Sub(begun); got < drainSpan || got > drainSpan+2*time.Second {
			t.Errorf("serve returned after %v, want %v and the linger", got, drainSpan)
		}
		if s.err != nil {
			t.Errorf("serve returned %v, want nil", s.err)
		}
		wantStopped(t, s)
	})
}

// A server that was killed and restarts under its identity tells its former
// clients at once.
func TestRestartedServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(24*chunk, 1)
		servers := w.holders(data, data)
		slow(100<<10, servers...)
		var restarted time.Time
		o := w.get(getConfig{Targets: targetsOf(servers...), Connections: 1, Events: at(0.2, func() {
			servers[0].kill()
			restarted = time.Now()
		})})
		o.has("data.bin", data)
		lost, when := only[fetch.Lost](o)
		var peer *transport.PeerError
		if !errors.As(lost.Err, &peer) || peer.Kind != transport.PeerRestarted || lost.State != fetch.StateLost || lost.Target != servers[0].targets[0] {
			t.Errorf("lost = %+v, want that it was restarted", lost)
		}
		// The client's next packet tells it: one that asks whether the
		// server is there, a second later at most. No other way to it
		// is tried before.
		if after := when.Sub(restarted); restarted.IsZero() || after < 0 || after > 1500*time.Millisecond {
			t.Errorf("told %v after the restart, want within a second", after)
		}
	})
}
