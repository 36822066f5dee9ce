package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

// received returns how many bytes of the file were taken from the network so
// far, wasted ones included.
func received(s fetch.Snapshot) (n int64) {
	for _, r := range s.Servers {
		n += r.Arrived
	}
	return n
}

// A look is what a run has received at one time, and what is under way.
type look struct {
	at      time.Time
	taken   int64 // bytes of the file
	wire    int64 // bytes of packets that the links delivered
	fetches int   // ranges
	seconds int   // of these, second copies
}

// looks runs Get, and takes a look every 100 ms while it fetches. Each time
// react is told the time since the fetching began, and how things stand.
func (w *world) looks(cfg getConfig, react func(past time.Duration, now fetch.Snapshot)) (o *outcome, looks []look) {
	w.t.Helper()
	cfg.Interval = tickTime / 2
	o = w.watch(cfg, func(p fetch.Snapshot) {
		if len(looks) > 0 && looks[len(looks)-1].at.Equal(p.Taken) {
			return
		}
		l := look{at: p.Taken, taken: received(p), fetches: len(p.Ranges)}
		for _, f := range p.Ranges {
			if f.Second {
				l.seconds++
			}
		}
		for _, s := range w.servers {
			l.wire += s.links[0].way(fromServer).carried
		}
		looks = append(looks, l)
		react(l.at.Sub(looks[0].at), p)
	})
	return o, looks
}

// A trouble disturbs a world's servers in the course of a run.
type trouble func(w *world, past time.Duration, now fetch.Snapshot)

// stallInTurn makes one server after the other silent for 2.5 s of 3. Two of
// them fall silent for good in the middle of their first chunk after 22 s, so
// that it is fetched twice.
func stallInTurn(w *world, past time.Duration, now fetch.Snapshot) {
	const turn = 3 * time.Second
	for i, s := range w.servers {
		mine := i == int(past/turn)%len(w.servers) && past%turn < 2500*time.Millisecond
		s.links[0].set(func(l *link) {
			l.hole = mine || (i == 1 || i == 2) && past > 22*time.Second && (l.hole || isAmid(now, i))
		})
	}
}

// stallTogether makes all servers silent for 2 s of every 7.
func stallTogether(w *world, past time.Duration, _ fetch.Snapshot) {
	for _, s := range w.servers {
		s.links[0].set(func(l *link) { l.hole = past%(7*time.Second) >= 5*time.Second })
	}
}

// dieAndReturn kills the last server every 8 s.
func dieAndReturn(w *world, past time.Duration, _ fetch.Snapshot) {
	if int(past/(8*time.Second)) > len(w.ended) {
		w.servers[len(w.servers)-1].kill()
	}
}

// Whatever the servers do, no window of 5 s has more than 1.02 times the limit.
// While they send as they can, none has less than 0.98 times.
func TestLimitIsExact(t *testing.T) {
	withoutRace(t)
	stall, together, die := []trouble{stallInTurn}, []trouble{stallTogether}, []trouble{dieAndReturn}
	for _, test := range []struct {
		name        string
		rate        int64
		size        int64 // of the file, in seconds of the rate
		servers     int
		connections int
		troubles    []trouble
		want        counts
	}{
		{"one server", 256 << 10, 20, 1, 0, nil, counts{fetches: 1}},
		{"four servers", 256 << 10, 28, 4, 0, nil, counts{fetches: 4}},
		{"four connections each", 2 << 20, 12, 2, 4, nil, counts{fetches: 8}},
		{"stalls", 256 << 10, 28, 4, 0, stall, counts{fetches: 4, seconds: 1, eaten: 20}},
		{"all stall", 256 << 10, 20, 4, 0, together, counts{fetches: 4, eaten: 20}},
		{"all stall, four connections each", 1 << 20, 12, 2, 4, together, counts{fetches: 4, eaten: 20}},
		{"one dies and returns", 256 << 10, 28, 4, 0, die, counts{fetches: 4, killed: 3, lost: 2}},
		// Of two connections one may be replaced before the other dies.
		// Then the server was never lost.
		{"all of it", 256 << 10, 28, 4, 2, append(stall, die...), counts{fetches: 4, eaten: 20, killed: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, w *world) {
				data := file(int(test.size*test.rate), 1)
				var servers []*server
				for range test.servers {
					servers = append(servers, w.holders(data)...)
				}
				cfg := getConfig{Targets: targetsOf(servers...), Limit: test.rate, Connections: test.connections}
				o, looks := w.looks(cfg, func(past time.Duration, now fetch.Snapshot) {
					for _, disturb := range test.troubles {
						disturb(w, past, now)
					}
				})
				o.has("data.bin", data)
				got := counts{killed: len(w.ended), lost: len(events[fetch.Lost](o))}
				_, got.eaten = servers[0].links[0].dropped()
				for _, l := range looks {
					got.fetches, got.seconds = max(got.fetches, l.fetches), max(got.seconds, l.seconds)
				}
				if !got.reach(test.want) {
					t.Errorf("the run had %+v, want %+v at least", got, test.want)
				}
				wantLimit(t, looks, test.rate, int64(test.servers), len(test.troubles) == 0)
			})
		})
	}
}

// counts are the events that make it hard to keep the limit.
type counts struct {
	fetches, seconds int // the most at one time, and those of them that are second copies
	eaten            int // packets to and from the first server
	killed, lost     int // processes, and events that tell so
}

func (c counts) reach(least counts) bool {
	return c.fetches >= least.fetches && c.seconds >= least.seconds && c.eaten >= least.eaten && c.killed >= least.killed && c.lost >= least.lost
}

// wantLimit fails the test unless every window keeps to the limit, but for
// those that begin in the first second.
func wantLimit(t *testing.T, looks []look, rate, servers int64, steady bool) {
	t.Helper()
	const window = 5 * time.Second
	most, least, wire, windows := 0.0, 2.0, 0.0, 0
	for i, j := 0, 0; j < len(looks); j++ {
		for looks[j].at.Sub(looks[i].at) > window {
			i++
		}
		a, b := looks[i], looks[j]
		if b.at.Sub(a.at) < window || a.at.Sub(looks[0].at) < time.Second {
			continue
		}
		windows++
		full := float64(rate) * window.Seconds()
		most = max(most, float64(b.taken-a.taken)/full)
		least = min(least, float64(b.taken-a.taken)/full)
		wire = max(wire, float64(b.wire-a.wire)/full)
	}
	t.Logf("%d windows, %.3f to %.3f of the limit, and up to %.3f on the wire", windows, least, most, wire)
	if windows < 50 {
		t.Errorf("%d windows, want 50 at least", windows)
	}
	if most > 1.02 {
		t.Errorf("%.3f of the limit in a window, want 1.02 at most", most)
	}
	if steady && least < 0.98 {
		t.Errorf("%.3f of the limit in a window, want 0.98 at least", least)
	}
	// Requests run ahead by a second of the limit, or by a chunk a server.
	if ahead := float64(max(rate, servers*chunk)) / (float64(rate) * window.Seconds()); wire > 1.1+ahead {
		t.Errorf("%.3f of the limit on the wire in a window, want %.3f at most", wire, 1.1+ahead)
	}
}
