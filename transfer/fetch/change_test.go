package fetch

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// A stage is a session whose sources change while it streams data in virtual
// time, at 1 MiB a second.
type stage struct {
	*fleet
	*Session
	data []byte
}

// stageOf returns a session over the first servers of a fleet. change is for
// newFleet.
func stageOf(t *testing.T, servers, begin int, change func(int, *sourcetest.Conn)) *stage {
	g := &stage{data: file(24*chunk+7, 1)}
	g.fleet = newFleet(servers, g.data, change)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	told := func(e Event) { g.told = append(g.told, e) }
	g.Session = Open(ctx, Servers{Sources: g.sources[:begin:begin], Connections: 1, Limit: 1 << 20, Patience: time.Minute}, Watch{Events: told})
	t.Cleanup(g.Close)
	return g
}

// after changes the sources once some time has passed.
func (g *stage) after(d time.Duration, add, remove []int) {
	time.AfterFunc(d, func() {
		var sources []source.Source
		var targets []source.Target
		for _, i := range add {
			sources = append(sources, g.sources[i])
		}
		for _, i := range remove {
			targets = append(targets, place(i))
		}
		g.Change(sources, targets)
	})
}

func fromTo(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// Servers join and leave in the middle, and come back. Nobody is asked who has
// left.
func TestSourcesMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := stageOf(t, 2, 1, nil)
		g.after(time.Second, []int{1}, nil)
		g.after(2*time.Second, nil, []int{0})
		time.AfterFunc(3*time.Second, func() {
			if g.alive(0) != 0 || g.alive(1) == 0 {
				t.Errorf("%d and %d connections, want those of the second only", g.alive(0), g.alive(1))
			}
		})
		g.after(4*time.Second, []int{0}, []int{1})
		r := fetchAll(t, g.Session, g.data)
		if len(r.Servers) != 2 || r.Servers[0].Bytes == 0 || r.Servers[1].Bytes == 0 {
			t.Errorf("servers: %+v", r.Servers)
		}
		if r.Servers[0].State != StateServing || !errors.Is(r.Servers[1].Err, errGone) {
			t.Errorf("states: %v, %v (%v)", r.Servers[0].State, r.Servers[1].State, r.Servers[1].Err)
		}
		if r := fetchAll(t, g.Session, g.data); r.Servers[1].Bytes != g.Snapshot().Servers[1].Bytes || g.alive(1) != 0 {
			t.Error("the next file was asked of who has left")
		}
	})
}

// Before the vote has closed, who joins votes, and the vote of who leaves is
// withdrawn.
func TestSourcesMoveInTheVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := stageOf(t, 4, 2, nil)
		other := file(3*chunk, 2)
		g.sources[0].(*sourcetest.Source).Dial = sourcetest.Holder(place(0), other, nil).Dial
		never := func(ctx context.Context) (source.Conn, error) {
			<-ctx.Done()
			return nil, &source.Fault{What: source.Lost, Err: ctx.Err()}
		}
		g.sources[1].(*sourcetest.Source).Dial = never
		g.after(time.Second, []int{2, 3}, []int{0})
		g.after(20*time.Second, nil, []int{1})
		r := fetchAll(t, g.Session, g.data)
		var voted Voted
		for _, e := range g.told {
			if v, ok := e.(Voted); ok {
				voted = v
			}
		}
		if len(voted.Result.Groups) != 1 || voted.Result.Total != 2 || len(r.Servers) != 4 {
			t.Errorf("vote: %+v", voted.Result)
		}
	})
}

// A hundred at once join and leave.
func TestSourcesMoveByTheHundred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := stageOf(t, 201, 1, nil)
		g.after(time.Second, fromTo(1, 101), []int{0})
		g.after(2*time.Second, fromTo(101, 201), fromTo(1, 101))
		g.after(3*time.Second, []int{0}, fromTo(101, 201))
		fetchAll(t, g.Session, g.data)
		for i := range 201 {
			if alive := g.alive(i) > 0; alive != (i == 0) {
				t.Errorf("server %d is connected: %v", i, alive)
			}
		}
	})
}

// If all have left, the run waits for somebody, and not for ever.
func TestAllSourcesLeave(t *testing.T) {
	for _, comes := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			g := stageOf(t, 2, 1, nil)
			g.after(time.Second, nil, []int{0})
			if comes {
				g.after(50*time.Second, []int{1}, nil)
				fetchAll(t, g.Session, g.data)
				return
			}
			begun := time.Now()
			var out bytes.Buffer
			_, err := g.Stream(Ballot{}, Stream{Out: &out})
			if !as[*NoServerLeftError](err) || KindOf(err) != KindNetwork || time.Since(begun) < time.Minute {
				t.Errorf("after %v: %v", time.Since(begun), err)
			}
		})
	}
}

// A server that has sent wrong bytes is out, also after it has left and come
// back.
func TestLiarLeavesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := stageOf(t, 2, 2, func(i int, c *sourcetest.Conn) {
			if i == 1 {
				lie(c)
			}
		})
		for at := time.Second; at < 6*time.Second; at += time.Second {
			g.after(at, nil, []int{1})
			g.after(at+500*time.Millisecond, []int{1}, nil)
		}
		r := fetchAll(t, g.Session, g.data)
		if v := r.Servers[1]; v.State != StateWrong || v.Bytes > 0 || v.BadChunks == 0 || len(g.conns[1]) > 1 {
			t.Errorf("the liar is %v with %d bytes, %d wrong chunks and %d connections", v.State, v.Bytes, v.BadChunks, len(g.conns[1]))
		}
	})
}

// lie makes a connection send wrong bytes.
func lie(c *sourcetest.Conn) {
	right := c.OnRange
	c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
		b, err := right(ctx, spans)
		if err != nil {
			return nil, err
		}
		return lying{b}, nil
	}
}

// A lying body has a wrong bit in each byte.
type lying struct{ source.Body }

func (l lying) Read(p []byte) (int, error) {
	n, err := l.Body.Read(p)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

// Sources come and go at random, some of them die and one lies. What lands is
// right.
func TestSourcesMoveAtRandom(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 17))
			g := stageOf(t, 8, 3, func(i int, c *sourcetest.Conn) {
				switch i {
				case 3:
					lie(c)
				case 4, 5:
					time.AfterFunc(700*time.Millisecond, func() { c.End(&source.Fault{What: source.Lost, Words: "died"}) })
				}
			})
			for range 60 {
				at := time.Duration(rng.Int64N(int64(6 * time.Second)))
				n := []int{rng.IntN(8)}
				if rng.IntN(2) == 0 {
					g.after(at, n, nil)
				} else {
					g.after(at, nil, n)
				}
			}
			g.after(6*time.Second+1, fromTo(0, 8), nil)
			r := fetchAll(t, g.Session, g.data)
			if t.Failed() {
				t.Logf("seed %d: %+v", seed, r.Servers)
			}
		})
	}
}

// A host that was spread over its addresses leaves with all of them, and nobody
// else does: also not another host of the same SRV name.
func TestIsNamed(t *testing.T) {
	of := func(service, name, host string, port uint16) source.Target {
		return source.Target{Service: service, Name: name, Host: host, Port: port}
	}
	for _, test := range []struct {
		t, by source.Target
		want  bool
	}{
		{of("", "", "a", 1), of("", "", "a", 1), true},
		{of("", "a", "10.0.0.1", 1), of("", "", "a", 1), true},
		{of("", "a", "10.0.0.1", 1), of("", "", "a", 2), false},
		{of("", "a", "10.0.0.1", 1), of("", "", "b", 1), false},
		{of("s", "", "a", 1), of("s", "", "a", 1), true},
		{of("s", "", "a", 1), of("s", "", "b", 1), false},
		{of("s", "a", "10.0.0.1", 1), of("s", "", "a", 1), true},
		{of("s", "a", "10.0.0.1", 1), of("s", "", "b", 1), false},
		{of("s", "a", "10.0.0.1", 1), of("", "", "a", 1), false},
		{source.Target{URL: "https://a/b"}, source.Target{URL: "https://a/b"}, true},
		{source.Target{URL: "https://a/b"}, source.Target{URL: "https://a/c"}, false},
	} {
		if got := isNamed(test.t, test.by); got != test.want {
			t.Errorf("%+v by %+v: got %v", test.t, test.by, got)
		}
	}
}
