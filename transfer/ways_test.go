package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// bothWays runs f in a world whose servers are there over QUIC and TCP.
func bothWays(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		w.tcp.on = true
		f(t, w)
	})
}

// eaten has the network lose all packets over UDP from and to servers, or no
// longer.
func eaten(hole bool, servers ...*server) {
	for _, s := range servers {
		for _, l := range s.links {
			l.set(func(l *link) { l.hole = hole })
		}
	}
}

// carriedBy fails the test unless every server was last reached over p.
func (o *outcome) carriedBy(p source.Transport) {
	o.t.Helper()
	for _, s := range o.Servers {
		if s.Transport != p {
			o.t.Errorf("%s was reached over %v, want %v", s.Target, s.Transport, p)
		}
	}
}

// Where QUIC answers, TCP is not tried.
func TestQUICFirst(t *testing.T) {
	withoutRace(t)
	bothWays(t, func(t *testing.T, w *world) {
		data := file(20*chunk, 1)
		servers := w.holders(data, data)
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		o.carriedBy(source.QUIC)
		none[fetch.UDPBlocked](o)
		for _, s := range servers {
			if n := s.overTCP(0).Dialed(); n != 0 {
				t.Errorf("TCP was dialled %d times", n)
			}
		}
	})
}

// The first byte comes soon where UDP is eaten.
func TestFirstByteWithoutUDP(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world) {
		data := file(4*chunk, 1)
		s := w.serve(newSource(data), 0, 1, serve.Config{})
		eaten(true, s)
		time.Sleep(time.Second) // it is hashed
		begun := time.Now()
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		const rtt = 2 * defaultDelay
		if got, most := s.src.log()[0].at.Add(defaultDelay).Sub(begun), 400*time.Millisecond+4*rtt; got > most {
			t.Errorf("the first byte came after %v, want at most %v", got, most)
		}
	})
}

// A network that eats UDP is told of once, and all else stays the same: the
// vote, the checks, and who is refused.
func TestWithoutUDP(t *testing.T) {
	withoutRace(t)
	bothWays(t, func(t *testing.T, w *world) {
		data := file(200*chunk, 1)
		var servers []*server
		for i := range 4 {
			servers = append(servers, w.serve(newSource(data), i, 5, serve.Config{}))
		}
		liar := w.serve(newSource(data), 0, 1, serve.Config{})
		liar.src.flips()
		servers = append(servers, liar)
		eaten(true, servers...)
		o := w.get(getConfig{Targets: targetsOf(servers...), Limit: 10 << 20})
		o.has("data.bin", data)
		o.carriedBy(source.TCP)
		if e, _ := only[fetch.UDPBlocked](o); e.Refused {
			t.Error("UDP is said to be refused, and it is eaten")
		}
		if e, _ := only[fetch.ChunkRefused](o); e.Target != liar.targets[0] {
			t.Errorf("%s sent a wrong chunk, want the liar", e.Target)
		}
		if e, _ := only[fetch.Voted](o); e.Result.Total != 4 {
			t.Errorf("%d votes, want one of each ID", e.Result.Total)
		}
	})
}

// A run that is over before UDP is known to be silent says so all the same.
func TestShortRunWithoutUDP(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world) {
		data := file(chunk, 1)
		s := w.holders(data)[0]
		eaten(true, s)
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		if o.Elapsed >= time.Second {
			t.Fatalf("took %v", o.Elapsed)
		}
		only[fetch.UDPBlocked](o)
	})
}

// When UDP dies in the middle of a run, the run goes on over TCP within 3 s. It
// wastes no more than what was under way.
func TestUDPDies(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world) {
		data := file(100*chunk, 1)
		servers := w.holders(data, data)
		var died, again time.Time
		var good int64
		o := w.watch(getConfig{Targets: targetsOf(servers...), Interval: 20 * time.Millisecond}, func(s fetch.Snapshot) {
			switch {
			case died.IsZero() && s.Good > s.Size/3:
				eaten(true, servers...)
				died = time.Now()
			case !died.IsZero() && time.Since(died) > time.Second && good == 0:
				good = s.Good
			case good > 0 && again.IsZero() && s.Good > good:
				again = time.Now()
			}
		})
		o.has("data.bin", data)
		o.carriedBy(source.TCP)
		none[fetch.Lost](o)
		if got := again.Sub(died); again.IsZero() || got > 3*time.Second {
			t.Errorf("the next chunk was good after %v, want at most 3 s", got)
		}
		if o.Duplicate > 4*chunk {
			t.Errorf("%d bytes were fetched for nothing, want at most those under way", o.Duplicate)
		}
		only[fetch.UDPBlocked](o)
	})
}

// When TCP dies in the middle of a run, it goes on over QUIC if that works now.
func TestTCPDies(t *testing.T) {
	withoutRace(t)
	bothWays(t, func(t *testing.T, w *world) {
		data := file(100*chunk, 1)
		s := w.holders(data)[0]
		eaten(true, s)
		o := w.get(getConfig{Targets: s.targets, Events: at(0.4, func() {
			eaten(false, s)
			s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Refuses = true })
			s.overTCP(0).Reset()
		})})
		o.has("data.bin", data)
		o.carriedBy(source.QUIC)
	})
}

// A connection over TCP that nothing comes through any more is replaced, by one
// over QUIC. Nobody tells of its packets here, so that its silence may be that
// of a server that lives.
func TestTCPFallsSilent(t *testing.T) {
	withoutRace(t)
	bothWays(t, func(t *testing.T, w *world) {
		data := file(100*chunk, 1)
		s := w.holders(data)[0]
		eaten(true, s)
		var silent time.Time
		o := w.get(getConfig{Targets: s.targets, Events: at(0.4, func() {
			eaten(false, s)
			s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Hole = true })
			silent = time.Now()
		})})
		o.has("data.bin", data)
		o.carriedBy(source.QUIC)
		for _, e := range o.events {
			if d, ok := e.Event.(fetch.Decision); ok && d.What == fetch.WayChanged {
				if got := e.at.Sub(silent); got < 10*time.Second || got > 11*time.Second {
					t.Errorf("another way was used after %v, want 10 to 11 s", got)
				}
				return
			}
		}
		t.Error("no other way was used")
	})
}

// A range that waits behind another one on a TCP connection is not silent while
// bytes of that one come: nobody takes its work, and no other way is tried.
func TestRangeBehindAnother(t *testing.T) {
	bothWays(t, func(t *testing.T, w *world) {
		data := file(16*chunk, 1)
		servers := w.holders(data, data)
		eaten(true, servers...)
		for _, s := range servers {
			s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Rate = 64 << 10 }) // a chunk takes 4 s
		}
		o := w.get(getConfig{Targets: targetsOf(servers...), Connections: 1})
		o.has("data.bin", data)
		o.carriedBy(source.TCP)
		none[fetch.ServerSilent](o)
		if ways := waysTold(o); len(ways) > 0 {
			t.Errorf("told of other ways: %v, want none", ways)
		}
		if o.Duplicate > chunk {
			t.Errorf("%d bytes were fetched for nothing", o.Duplicate)
		}
	})
}
