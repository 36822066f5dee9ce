package transfer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/fetch"
	"malcolm/transfer/paths"
	"malcolm/transfer/serve"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transfer/source/sourcetest"
)

// shortWay runs f in a world in which a server's round trip is 2 ms. Its QUIC
// carries 2 MiB a second, and each connection over TCP overTCP bytes a second.
// The file takes 12 s over QUIC.
func shortWay(t *testing.T, overTCP float64, f func(t *testing.T, w *world, s *server, data []byte)) {
	t.Helper()
	bothWays(t, func(t *testing.T, w *world) {
		data := file(96*chunk, 1)
		s := w.holders(data)[0]
		s.isShort(overTCP)
		f(t, w, s, data)
	})
}

func (s *server) isShort(overTCP float64) {
	for i, l := range s.links {
		l.set(func(l *link) { l.delay, l.rate = time.Millisecond, 2<<20 })
		s.overTCP(i).Set(func(p *sourcetest.TCPPath) { p.Delay, p.Rate = time.Millisecond, overTCP })
	}
}

// across returns what was told of other transports, in order.
func across(o *outcome) (told []string) {
	for _, e := range o.events {
		switch e := e.Event.(type) {
		case fetch.TransportChanged:
			told = append(told, fmt.Sprintf("over %v: %d", e.Transport, e.Why))
		case fetch.Decision:
			if e.What == fetch.AcrossTried {
				told = append(told, "tried")
			} else if e.What == fetch.AcrossKept {
				told = append(told, "kept")
			}
		}
	}
	return told
}

func (o *outcome) told(want ...string) {
	o.t.Helper()
	if got := across(o); !slices.Equal(got, want) {
		o.t.Errorf("told of transports: %q, want %q", got, want)
	}
}

// wastes fails the test if more was fetched for nothing than a trial may cost.
func (o *outcome) wastes(most int64) {
	o.t.Helper()
	if o.Duplicate > most {
		o.t.Errorf("%d bytes were fetched for nothing, want at most %d", o.Duplicate, most)
	}
}

// Where TCP carries more it is used from the third second on, and what it costs
// to find out is no more than what runs.
func TestTCPCarriesMore(t *testing.T) {
	shortWay(t, 4<<20, func(t *testing.T, w *world, s *server, data []byte) {
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		o.told("tried", "over tcp: 0")
		o.carriedBy(source.TCP)
		o.wastes(2 * chunk)
		if most := 7 * time.Second; o.Elapsed > most {
			t.Errorf("took %v, want at most %v", o.Elapsed, most)
		}
		e, at := only[fetch.TransportChanged](o)
		if e.Rate < 1.5*e.Before || e.Before < 1<<20 {
			t.Errorf("rates %.0f and %.0f before, want what the paths carry", e.Rate, e.Before)
		}
		if got := at.Sub(o.events[0].at); got > 4*time.Second {
			t.Errorf("changed after %v", got)
		}
	})
}

// Servers of one network follow the first.
func TestServersFollow(t *testing.T) {
	withoutRace(t)
	bothWays(t, func(t *testing.T, w *world) {
		data := file(160*chunk, 1)
		servers := w.holders(data, data, data)
		for _, s := range servers {
			s.isShort(4 << 20)
		}
		o := w.get(getConfig{Targets: targetsOf(servers...)})
		o.has("data.bin", data)
		o.carriedBy(source.TCP)
		o.wastes(6 * chunk)
		if got := len(events[fetch.TransportChanged](o)); got != 3 {
			t.Errorf("%d servers changed, want all", got)
		}
	})
}

// Where QUIC carries more it stays.
func TestQUICCarriesMore(t *testing.T) {
	withoutRace(t)
	shortWay(t, 512<<10, func(t *testing.T, w *world, s *server, data []byte) {
		o := w.get(getConfig{Targets: s.targets})
		o.has("data.bin", data)
		o.told("tried", "kept")
		o.carriedBy(source.QUIC)
		o.wastes(4 * chunk)
		if most := 15 * time.Second; o.Elapsed > most {
			t.Errorf("took %v, want at most %v", o.Elapsed, most)
		}
	})
}

// A TCP that is refused, falls silent or leads to somebody else costs the trial
// alone.
func TestTrialFails(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	tests := []struct {
		name   string
		happen func(w *world, s *server)
		other  bool // somebody else was there
	}{
		{"refused", func(w *world, s *server) {
			s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Refuses = true })
		}, false},
		{"a hole", func(w *world, s *server) {
			s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Hole = true })
		}, false},
		{"silent once it is open", func(w *world, s *server) {
			time.AfterFunc(20*time.Millisecond, func() { s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Hole = true }) })
		}, false},
		{"reset in the trial", func(w *world, s *server) {
			time.AfterFunc(100*time.Millisecond, func() {
				s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Refuses = true })
				s.overTCP(0).Reset()
			})
		}, false},
		{"somebody else", func(w *world, s *server) {
			w.mu.Lock()
			defer w.mu.Unlock()
			at, there := addrOf(s.targets[0]).AddrPort(), addrOf(w.servers[1].targets[0]).AddrPort()
			w.tcp.ports[at] = w.tcp.ports[there]
		}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			shortWay(t, 4<<20, func(t *testing.T, w *world, s *server, data []byte) {
				w.serve(newSource(data), 1, 1, serve.Config{})
				o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
					if d, ok := e.(fetch.Decision); ok && d.What == fetch.AcrossTried {
						test.happen(w, s)
					}
				}})
				o.has("data.bin", data)
				o.told("tried", "kept")
				o.carriedBy(source.QUIC)
				o.wastes(4 * chunk)
				none[fetch.Lost](o)
				if most := 20 * time.Second; o.Elapsed > most {
					t.Errorf("took %v, want at most %v", o.Elapsed, most)
				}
				if got := len(events[fetch.WayRefused](o)); (got == 1) != test.other {
					t.Errorf("told %d times of somebody else, want that: %t", got, test.other)
				}
			})
		})
	}
}

// When TCP falls far below what QUIC carried, QUIC takes over again.
func TestTCPFalls(t *testing.T) {
	withoutRace(t)
	shortWay(t, 3<<20, func(t *testing.T, w *world, s *server, data []byte) {
		o := w.get(getConfig{Targets: s.targets, Events: func(e fetch.Event) {
			if c, ok := e.(fetch.TransportChanged); ok && c.Transport == source.TCP {
				time.AfterFunc(500*time.Millisecond, func() {
					s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Rate = 256 << 10 })
				})
			}
		}})
		o.has("data.bin", data)
		o.told("tried", "over tcp: 0", "tried", "over quic: 2")
		o.carriedBy(source.QUIC)
	})
}

// Small files, a fixed transport, a limit and a long path leave all as it is.
func TestTransportIsNotTriedWithoutNeed(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	tests := []struct {
		name   string
		chunks int
		change func(s *server, cfg *getConfig)
	}{
		{"a small file", 16, func(*server, *getConfig) {}},
		{"QUIC alone", 96, func(_ *server, cfg *getConfig) { cfg.Transport = source.QUIC }},
		{"a limit", 32, func(_ *server, cfg *getConfig) { cfg.Limit = 1 << 20 }},
		{"a long path", 96, func(s *server, _ *getConfig) { s.links[0].set(func(l *link) { l.delay = 10 * time.Millisecond }) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, w *world) {
				data := file(test.chunks*chunk, 1)
				s := w.holders(data)[0]
				s.isShort(4 << 20)
				cfg := getConfig{Targets: s.targets}
				test.change(s, &cfg)
				o := w.get(cfg)
				o.has("data.bin", data)
				o.told()
				o.carriedBy(source.QUIC)
				if n := s.overTCP(0).Dialed(); n > 0 {
					t.Errorf("TCP was dialled %d times", n)
				}
			})
		})
	}
}

// On a long path TCP with BBR is compared where QUIC lacks connections to make
// up for losses, and nowhere else.
func TestBBROnALongPath(t *testing.T) {
	withoutRace(t)
	for _, test := range []struct {
		name   string
		chunks int
		loss   float64
		over   source.Transport
		told   []string
	}{
		{"without loss", 100, 0, source.QUIC, nil},
		{"with loss", 400, 0.1, source.TCP, []string{"tried", "over tcp: 0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, w *world) {
				data := file(test.chunks*chunk, 1)
				s := w.serve(newSource(data), 0, 1, serve.Config{TCP: serve.TCP{Congestion: "bbr"}})
				s.links[0].set(func(l *link) { l.delay, l.rate, l.loss = 100*time.Millisecond, 8<<20, test.loss })
				s.overTCP(0).Set(func(p *sourcetest.TCPPath) { p.Delay, p.Rate = 100*time.Millisecond, 8<<20 })
				o := w.get(getConfig{Targets: s.targets})
				o.has("data.bin", data)
				o.told(test.told...)
				o.carriedBy(test.over)
			})
		})
	}
}

// pinned trusts a server by its ID, which is so known before it has answered.
func pinned(id int) malcolm.Trust { return malcolm.Trust{Pins: certs.Pins{{ID: testIDs[id].ID()}}} }

// What a run has found out the next one begins with: it dials TCP at once, and
// QUIC beside it if TCP is gone.
func TestNextRunUsesWhatIsRemembered(t *testing.T) {
	withoutRace(t)
	shortWay(t, 4<<20, func(t *testing.T, w *world, s *server, data []byte) {
		memory := paths.NewMemory(nil, nil)
		w.get(getConfig{Targets: s.targets, Paths: memory}).has("data.bin", data)
		noted := memory.Noted()
		if len(noted) != 1 {
			t.Fatalf("noted: %v, want one path", noted)
		}
		for _, p := range noted {
			if !p.TCP || p.Conns != 2 || p.Rate < 2<<20 || p.Other < 1<<20 || p.Other > 4<<20 || p.When.IsZero() {
				t.Errorf("noted: %+v, want what was found", p)
			}
		}
		again := func(trust malcolm.Trust) (*outcome, *paths.Memory) {
			m := paths.NewMemory(memory.Noted(), nil)
			o := w.get(getConfig{Targets: s.targets, Paths: m, Trust: trust})
			o.has("data.bin", data)
			return o, m
		}
		carried := s.links[0].way(fromServer).carried
		o, m := again(pinned(0))
		o.carriedBy(source.TCP)
		o.told()
		if e, _ := only[fetch.Connected](o); e.Transport != source.TCP {
			t.Errorf("connected over %v, want TCP at once", e.Transport)
		}
		if got := s.links[0].way(fromServer).carried; got != carried {
			t.Errorf("%d bytes came over UDP, want none", got-carried)
		}
		time.Sleep(time.Minute)
		for at, p := range m.Noted() {
			if !p.When.Equal(noted[at].When) {
				t.Errorf("noted again at %v, want %v: nothing was compared", p.When, noted[at].When)
			}
		}
		// Whose ID is not known beforehand is asked over QUIC, and
		// changes at once.
		o, _ = again(malcolm.Trust{})
		o.told("tried", "over tcp: 1")
		if _, at := only[fetch.TransportChanged](o); at.Sub(o.events[0].at) > time.Second {
			t.Errorf("changed after %v, want at once", at.Sub(o.events[0].at))
		}
		// TCP is gone.
		for _, gone := range []func(p *sourcetest.TCPPath){
			func(p *sourcetest.TCPPath) { p.Refuses = true },
			func(p *sourcetest.TCPPath) { p.Refuses, p.Hole = false, true },
		} {
			s.overTCP(0).Set(gone)
			o, _ = again(pinned(0))
			o.carriedBy(source.QUIC)
			none[fetch.NotReached](o)
			e, at := only[fetch.Connected](o)
			if got := at.Sub(o.events[0].at); e.Transport != source.QUIC || got > time.Second {
				t.Errorf("connected over %v after %v, want QUIC soon", e.Transport, got)
			}
		}
	})
}

// A memory with anything in it does no harm: who answers has to prove who he
// is, and the number of connections is bounded.
func TestHostileMemory(t *testing.T) {
	withoutRace(t)
	shortWay(t, 4<<20, func(t *testing.T, w *world, s *server, data []byte) {
		m := paths.NewMemory(nil, nil)
		for _, id := range testIDs {
			m.Note(id.ID(), clientHost, paths.Path{
				TCP: true, Conns: 1 << 30, Rate: 1 << 60, Other: 1 << 60, RTT: time.Hour, Loss: 1, When: time.Now().Add(time.Hour),
			})
		}
		w.serve(newSource(data), 1, 1, serve.Config{})
		w.mu.Lock()
		at, there := addrOf(s.targets[0]).AddrPort(), addrOf(w.servers[1].targets[0]).AddrPort()
		w.tcp.ports[at] = w.tcp.ports[there]
		w.mu.Unlock()
		o := w.get(getConfig{Targets: s.targets, Paths: paths.NewMemory(m.Noted(), nil), Trust: pinned(0)})
		o.has("data.bin", data)
		for _, r := range o.Servers {
			if r.Conns > 48 {
				t.Errorf("%d connections", r.Conns)
			}
		}
	})
}

// A session that copies nothing notes nothing.
func TestSessionWithoutACopyNotesNothing(t *testing.T) {
	shortWay(t, 4<<20, func(t *testing.T, w *world, s *server, data []byte) {
		m := paths.NewMemory(nil, nil)
		cfg := getConfig{Targets: s.targets, Paths: m, Network: w, Dir: t.TempDir()}
		if _, err := Info(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := DryRun(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if noted := m.Noted(); len(noted) > 0 {
			t.Errorf("noted: %v", noted)
		}
	})
}
