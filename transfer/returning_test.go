package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

// A connection that dies does not end the run. Its server is dialled again, and
// an interrupted chunk goes on at the byte where it stopped.
func TestServerComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		s := w.holders(data)[0]
		slow(40<<10, s)
		l := s.links[0]
		var away time.Time
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
			p, ok := e.(progress)
			switch {
			case ok && away.IsZero() && p.Good > 2*chunk:
				away = time.Now()
				l.set(func(l *link) { l.hole = true })
			case ok && !away.IsZero() && time.Since(away) > 20*time.Second:
				l.set(func(l *link) { l.hole = false })
			}
		}})
		o.has("data.bin", data)
		if _, eaten := l.dropped(); eaten == 0 {
			t.Fatal("the server was never away")
		}
		lost, _ := only[fetch.Lost](o)
		if lost.State != fetch.StateLost || lost.Left != 0 {
			t.Errorf("lost = %+v, want the only server", lost)
		}
		if back, when := only[fetch.Back](o); back.Target != s.targets[0] || when.Before(away) {
			t.Errorf("back = %+v at %v, want the server", back, when)
		}
		if len(events[fetch.Waiting](o)) == 0 {
			t.Error("nothing said that no server is left")
		}
		inside := 0
		for _, r := range s.src.log() {
			if r.off%chunk != 0 {
				inside++
			}
		}
		if inside == 0 {
			t.Error("no range began inside a chunk")
		}
		if r := o.report(s.targets[0]); r.State != fetch.StateServing || r.Bytes != int64(len(data)) {
			t.Errorf("report = %+v, want all from it", r)
		}
	})
}

// Patience counts from the last chunk, and is told every half minute.
func TestPatienceWithoutServers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		s := w.holders(data)[0]
		slow(100<<10, s)
		var gone time.Time
		o := w.get(getConfig{Targets: s.targets, Patience: 2 * time.Minute, Events: at(0.4, func() {
			gone = time.Now()
			s.links[0].set(func(l *link) { l.hole = true })
		})})
		fails[*fetch.NoServerLeftError](o, fetch.KindNetwork)
		if _, eaten := s.links[0].dropped(); eaten == 0 {
			t.Fatal("the server did not vanish")
		}
		ended := o.events[len(o.events)-1].at
		if waited := ended.Sub(gone); waited < 2*time.Minute-10*time.Second || waited > 2*time.Minute+10*time.Second {
			t.Errorf("gave up %v after it vanished, want 2 minutes after the last chunk", waited)
		}
		if n := len(events[fetch.Waiting](o)); n < 3 || n > 5 {
			t.Errorf("said %d times that it waits, want every 30 seconds", n)
		}
		if o.Part == "" || o.Fetched == 0 {
			t.Errorf("part %q, %d bytes, want them kept", o.Part, o.Fetched)
		}
	})
}

// restart kills a server and starts it again with other settings.
func restart(s *server, change func(s *server)) {
	s.links[0].set(func(l *link) { l.hole = true })
	s.cancel()
	done := s.done
	go func() {
		<-done
		change(s)
		s.start()
		s.links[0].set(func(l *link) { l.hole = false })
	}()
}

// A server that comes back with another identity or file is out.
func TestHostileServerReturnsAsAnother(t *testing.T) {
	t.Parallel()
	data := file(12*chunk, 1)
	for _, test := range []struct {
		name   string
		change func(s *server)
		want   string
	}{
		{"another ID", func(s *server) { s.cfg.Identity = testIDs[2] }, "came back with another server ID"},
		{"another file", func(s *server) { s.src.replace(file(12*chunk, 2)) }, "came back with another file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				servers := w.holders(data, data)
				slow(40<<10, servers...)
				o := w.get(getConfig{Targets: targetsOf(servers...), Events: at(0.2, func() { restart(servers[0], test.change) })})
				o.has("data.bin", data)
				r := o.report(servers[0].targets[0])
				if r.State != fetch.StateChanged || r.Err == nil || r.Err.Error() != test.want {
					t.Errorf("report = %+v, want %v", r, test.want)
				}
				if n := len(events[fetch.Back](o)); n != 0 {
					t.Errorf("told %d times that it is back", n)
				}
			})
		})
	}
}

// A server that could not be reached at first joins later.
func TestServerJoinsLate(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(24*chunk, 1)
		servers := w.holders(data, data)
		slow(40<<10, servers...)
		late := servers[1].links[0]
		late.set(func(l *link) { l.hole = true })
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: at(0.3, func() {
			late.set(func(l *link) { l.hole = false })
		})})
		o.has("data.bin", data)
		if failed, _ := only[fetch.NotReached](o); failed.Target != servers[1].targets[0] {
			t.Errorf("not reached = %+v, want the late one", failed)
		}
		if joined, _ := only[fetch.Joined](o); joined.Target != servers[1].targets[0] {
			t.Errorf("joined = %+v, want the late one", joined)
		}
		if r := o.report(servers[1].targets[0]); r.State != fetch.StateServing || r.Bytes == 0 {
			t.Errorf("report = %+v, want bytes from it", r)
		}
	})
}
