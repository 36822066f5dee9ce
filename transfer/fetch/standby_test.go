package fetch

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// servicePlace is the place of a server of an SRV name.
func servicePlace(n int, priority uint16) source.Target {
	t := place(n)
	t.Service, t.Priority = "_malcolm._udp.example.com", priority
	return t
}

// serviceStage returns a session over the first servers of an SRV name with
// these priorities, which streams for some seconds.
func serviceStage(t *testing.T, seconds, begin int, priorities []uint16, change func(int, *sourcetest.Conn)) *stage {
	g := &stage{data: file(seconds*chunk+7, 1)}
	g.fleet = newFleet(len(priorities), g.data, change)
	for i, p := range priorities {
		g.sources[i].(*sourcetest.Source).Place = servicePlace(i, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	told := func(e Event) { g.told = append(g.told, e) }
	g.Session = Open(ctx, Servers{Sources: g.sources[:begin:begin], Connections: 1, Limit: chunk, Patience: time.Minute}, Watch{Events: told})
	t.Cleanup(g.Close)
	return g
}

// dead is what leads to a server that is not there.
func dead(context.Context) (source.Conn, error) {
	return nil, &source.Fault{What: source.NoPort, Words: "nobody listens"}
}

// voted returns the vote of a stage.
func (g *stage) voted() (v Voted) {
	for _, e := range g.told {
		if voted, ok := e.(Voted); ok {
			v = voted
		}
	}
	return v
}

// All servers of an SRV name are one host in the vote, and those of a worse
// priority are not even connected while a better one serves.
func TestPriorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := serviceStage(t, 2, 4, []uint16{20, 10, 10, 30}, nil)
		r := fetchAll(t, g.Session, g.data)
		if len(g.conns[0]) != 0 || len(g.conns[1]) == 0 || len(g.conns[2]) == 0 || len(g.conns[3]) != 0 {
			t.Errorf("connections: %d, %d, %d, %d; want some with the second and the third only", len(g.conns[0]), len(g.conns[1]), len(g.conns[2]), len(g.conns[3]))
		}
		if v := g.voted(); v.Result.Total != 1 || len(r.Servers) != 2 {
			t.Errorf("%d votes of %d servers, want one of two", v.Result.Total, len(r.Servers))
		}
	})
}

// If no server of the best priority can be reached, the vote waits for those of
// the next.
func TestPrioritiesInTheVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := serviceStage(t, 2, 5, []uint16{0, 0, 5, 9, 9}, nil)
		for i := range 3 {
			g.sources[i].(*sourcetest.Source).Dial = dead
		}
		r := fetchAll(t, g.Session, g.data)
		if len(r.Servers) != 5 || r.Servers[3].Bytes == 0 || r.Servers[4].Bytes == 0 {
			t.Errorf("servers: %+v", r.Servers)
		}
	})
}

// In a run the servers of the next priority take over when those of a better
// one are gone, and rest when a better one has served again for a while.
func TestPrioritiesInARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := serviceStage(t, 40, 2, []uint16{1, 2}, nil)
		holder := g.sources[0].(*sourcetest.Source)
		var isDead atomic.Bool
		alive := holder.Dial
		holder.Dial = func(ctx context.Context) (source.Conn, error) {
			if isDead.Load() {
				return dead(ctx)
			}
			return alive(ctx)
		}
		time.AfterFunc(5*time.Second, func() {
			isDead.Store(true)
			g.last(0).End(&source.Fault{What: source.Lost, Words: "died"})
		})
		at := func(after time.Duration, first, second bool) {
			time.AfterFunc(after, func() {
				if (g.alive(0) > 0) != first || (g.alive(1) > 0) != second {
					t.Errorf("after %v: %d and %d connections", after, g.alive(0), g.alive(1))
				}
			})
		}
		at(4*time.Second, true, false)
		at(6*time.Second, false, true)
		time.AfterFunc(8*time.Second, func() { isDead.Store(false) })
		at(39*time.Second, true, false)
		r := fetchAll(t, g.Session, g.data)
		if len(r.Servers) != 2 || r.Servers[0].Bytes == 0 || r.Servers[1].Bytes == 0 {
			t.Errorf("servers: %+v", r.Servers)
		}
	})
}

// A server of a better priority that has another file, or lies, does not keep
// those of the next ones waiting.
func TestPrioritiesOfLiars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := serviceStage(t, 2, 2, []uint16{1, 2}, func(i int, c *sourcetest.Conn) {
			if i == 0 {
				lie(c)
			}
		})
		if r := fetchAll(t, g.Session, g.data); r.Servers[0].State != StateWrong || r.Servers[1].Bytes == 0 {
			t.Errorf("servers: %+v", r.Servers)
		}
	})
}

// Servers that DNS names later take their places by priority, and leave.
func TestPrioritiesMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := serviceStage(t, 40, 1, []uint16{3, 3, 1, 7}, nil)
		all := g.sources
		time.AfterFunc(2*time.Second, func() { g.Change(all[1:2], nil) })
		time.AfterFunc(3*time.Second, func() { g.Change(all[2:], nil) })
		time.AfterFunc(25*time.Second, func() {
			if g.alive(0)+g.alive(1)+g.alive(3) > 0 || g.alive(2) == 0 {
				t.Error("the best one does not serve alone")
			}
			g.Change(nil, []source.Target{all[2].Target(), all[0].Target()})
		})
		time.AfterFunc(26*time.Second, func() {
			if g.alive(0)+g.alive(2)+g.alive(3) > 0 || g.alive(1) == 0 {
				t.Error("the one that stays, of the best priority that is left, does not serve alone")
			}
		})
		time.AfterFunc(27*time.Second, func() { g.Change(nil, []source.Target{all[1].Target()}) })
		r := fetchAll(t, g.Session, g.data)
		if r.Servers[len(r.Servers)-1].Target != all[3].Target() || r.Servers[len(r.Servers)-1].Bytes == 0 {
			t.Errorf("servers: %+v", r.Servers)
		}
	})
}

// A server of the best priority that comes and goes does not have those of the
// next one come and go.
func TestPrioritiesFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := serviceStage(t, 30, 2, []uint16{1, 2}, nil)
		for at := 2 * time.Second; at < 30*time.Second; at += 5 * time.Second {
			time.AfterFunc(at, func() { g.last(0).End(&source.Fault{What: source.Lost, Words: "died"}) })
		}
		fetchAll(t, g.Session, g.data)
		if len(g.conns[0]) < 4 || len(g.conns[1]) != 1 {
			t.Errorf("%d and %d connections, want several and one", len(g.conns[0]), len(g.conns[1]))
		}
	})
}

// A server of the best priority that hashes its file for minutes does not keep
// those of the next one waiting.
func TestPrioritiesWhileIndexing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := time.Now().Add(6 * time.Second)
		g := serviceStage(t, 30, 2, []uint16{1, 2}, func(i int, c *sourcetest.Conn) {
			stat := c.OnStat
			c.OnStat = func(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
				if i == 0 && indexing != nil {
					indexing(0, 100)
					time.Sleep(time.Until(ready))
				}
				return stat(ctx, ask, indexing)
			}
		})
		time.AfterFunc(5*time.Second, func() {
			if g.Snapshot().Good == 0 {
				t.Error("nothing has come in 5 s")
			}
		})
		if r := fetchAll(t, g.Session, g.data); len(r.Servers) != 2 || r.Servers[0].Bytes == 0 || r.Servers[1].Bytes == 0 || g.alive(1) > 0 {
			t.Errorf("%d connections to the second one, servers: %+v", g.alive(1), r.Servers)
		}
	})
}
