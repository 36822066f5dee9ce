package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/pace"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// These tests ask one session for several files, while its servers change.

// A fleet is servers whose connections a test can reach.
type fleet struct {
	sources []source.Source
	mu      sync.Mutex
	conns   [][]*sourcetest.Conn // of each server, in the order in which they were made
	told    []Event
}

// newFleet returns n servers that hold data. change is called for each new
// connection; nil: it stays as it is.
func newFleet(n int, data []byte, change func(server int, c *sourcetest.Conn)) *fleet {
	f := &fleet{conns: make([][]*sourcetest.Conn, n)}
	for i := range n {
		f.sources = append(f.sources, sourcetest.Holder(place(i), data, func(c *sourcetest.Conn) {
			f.mu.Lock()
			f.conns[i] = append(f.conns[i], c)
			f.mu.Unlock()
			if change != nil {
				change(i, c)
			}
		}))
	}
	return f
}

// open opens a session that fails after an hour instead of waiting for ever.
func (f *fleet) open(t *testing.T, connections int) *Session {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	told := func(e Event) { f.told = append(f.told, e) }
	return Open(ctx, Servers{Sources: f.sources, Connections: connections}, Watch{Events: told})
}

// last returns the last connection to a server.
func (f *fleet) last(server int) *sourcetest.Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns[server][len(f.conns[server])-1]
}

// alive returns how many connections to a server are open.
func (f *fleet) alive(server int) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns[server] {
		if c.Err() == nil {
			n++
		}
	}
	return n
}

// fetch streams the file and compares it.
func fetchAll(t *testing.T, s *Session, want []byte) *Result {
	t.Helper()
	var out bytes.Buffer
	r, err := s.Stream(Ballot{}, Stream{Out: &out})
	if err != nil || !bytes.Equal(out.Bytes(), want) {
		t.Fatalf("%d bytes, %v; want %d bytes", out.Len(), err, len(want))
	}
	return r
}

// A server whose connection dies between two files is reached anew.
func TestConnectionDiesBetweenFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		f := newFleet(2, data, nil)
		s := f.open(t, 0)
		defer s.Close()
		fetchAll(t, s, data)
		f.last(0).End(&source.Fault{Words: "died"})
		if r := fetchAll(t, s, data); r.Servers[0].State != StateServing {
			t.Errorf("the server is %v, want it back", r.Servers[0].State)
		}
		if n := len(f.conns[0]); n != 2 {
			t.Errorf("dialled %d times, want 2", n)
		}
	})
}

// A server that does not answer again on the connection that it has is asked on
// another one, whatever the fault.
func TestAskedAgainWithoutAnAnswer(t *testing.T) {
	for _, what := range []source.What{source.Lost, source.SlowAnswer, source.Full} {
		synctest.Test(t, func(t *testing.T) {
			data := file(5*chunk+7, 1)
			f := newFleet(2, data, nil)
			s := f.open(t, 0)
			defer s.Close()
			fetchAll(t, s, data)
			f.last(0).OnStat = func(context.Context, source.Ask, func(done, total int64)) (o source.Offer, _ error) {
				return o, &source.Fault{What: what, Words: "no"}
			}
			fetchAll(t, s, data)
			fetchAll(t, s, data)
			if r := fetchAll(t, s, data); r.Servers[0].State != StateServing || f.alive(0) != 1 {
				t.Errorf("fault %d: the server is %v with %d connections, want it back", what, r.Servers[0].State, f.alive(0))
			}
		})
	}
}

// A path that died between two files is no failure of a server: what counts is
// what it says on a new connection.
func TestPathsDieBetweenFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		f := newFleet(2, data, nil)
		s := f.open(t, 0)
		defer s.Close()
		fetchAll(t, s, data)
		for i := range f.conns {
			holder := f.sources[i].(*sourcetest.Source)
			dial := holder.Dial
			holder.Dial = func(ctx context.Context) (source.Conn, error) {
				_ = pace.Sleep(ctx, time.Second)
				return dial(ctx)
			}
			f.last(i).OnStat = func(ctx context.Context, _ source.Ask, _ func(done, total int64)) (o source.Offer, _ error) {
				_ = pace.Sleep(ctx, 5*time.Second)
				return o, &source.Fault{What: source.SlowAnswer, Words: "no complete answer in 5s"}
			}
		}
		r := fetchAll(t, s, data)
		if a, b := r.Servers[0].State, r.Servers[1].State; a != StateServing || b != StateServing {
			t.Errorf("the servers are %v and %v, want both to serve", a, b)
		}
	})
}

// Each connection of a server goes on to serve, or is closed.
func TestConnectionsOfSeveralFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(40*chunk, 1)
		f := newFleet(1, data, func(_ int, c *sourcetest.Conn) {
			c.Can.MoreConns = true
			next := c.OnRange
			c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
				if err := pace.Sleep(ctx, time.Second); err != nil {
					return nil, err
				}
				return next(ctx, spans)
			}
		})
		s := f.open(t, 3)
		defer s.Close()
		for range 3 {
			fetchAll(t, s, data)
		}
		list := s.roster.servers[0].conns.list
		if len(list) != 3 || f.alive(0) != 3 {
			t.Errorf("%d connections in use and %d alive, want 3", len(list), f.alive(0))
		}
		for _, c := range list {
			if c.fetches != 0 || c.retired {
				t.Errorf("connection %+v, want it at rest", c)
			}
		}
	})
}

// A connection that is retired while a range ends with its run is closed.
func TestRetiredAtTheEnd(t *testing.T) {
	f := newFleet(1, file(chunk, 1), nil)
	s := f.open(t, 0)
	defer s.Close()
	way, _ := f.sources[0].Connect(t.Context())
	v := s.roster.servers[0]
	c := &connection{way: way, fetches: 1, retired: true}
	v.conns.list = []*connection{{way: sourcetest.NewConn(source.Peer{})}, c}
	s.download.fetches[1] = &fetch{rangeRun: &rangeRun{}, server: v, conn: c}
	s.finish()
	if len(v.conns.list) != 1 || f.alive(0) != 0 {
		t.Errorf("%d connections in the list, want the retired one closed", len(v.conns.list))
	}
	v.conns.list = nil
}

// A server that is refused for one file delays no other.
func TestRefusedForEachFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		f := newFleet(2, data, nil)
		f.sources[1].(*sourcetest.Source).Dial = func(context.Context) (source.Conn, error) {
			return nil, &source.Fault{What: source.Untrusted, Words: "is not accepted"}
		}
		s := f.open(t, 0)
		defer s.Close()
		fetchAll(t, s, data)
		if r := fetchAll(t, s, data); r.Servers[1].State != StateRefused {
			t.Errorf("the server is %v, want it refused", r.Servers[1].State)
		}
	})
}

// A server that was down for one file is asked for the next one: what failed in
// between does not count.
func TestDownForOneFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		f := newFleet(2, data, nil)
		holder := f.sources[1].(*sourcetest.Source)
		var down atomic.Bool
		down.Store(true)
		dial := holder.Dial
		holder.Dial = func(ctx context.Context) (source.Conn, error) {
			if down.Load() {
				return nil, &source.Fault{What: source.NoPort, Words: "connection refused"}
			}
			return dial(ctx)
		}
		s := f.open(t, 0)
		defer s.Close()
		fetchAll(t, s, data)
		time.Sleep(10 * time.Minute)
		begun := time.Now()
		fetchAll(t, s, data)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("waited %v for the server that is down", took)
		}
		time.Sleep(10 * time.Minute)
		down.Store(false)
		if r := fetchAll(t, s, data); r.Servers[1].State != StateServing {
			t.Errorf("the server is %v, want it to serve", r.Servers[1].State)
		}
	})
}

// A run that ends while a wrong chunk is looked into leaves nothing to wait
// for.
func TestJudgingEndsWithItsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(8*chunk, 1)
		var lies atomic.Bool
		lies.Store(true)
		f := newFleet(2, data, func(server int, c *sourcetest.Conn) {
			next, stat := c.OnRange, c.OnStat
			c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
				switch {
				case !lies.Load():
				case server == 0:
					return sourcetest.NewBody(bytes.NewReader(file(int(spans[0].Length), 2))), nil
				default:
					<-ctx.Done()
				}
				return next(ctx, spans)
			}
			c.OnStat = func(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
				if !ask.Values {
					<-ctx.Done()
				}
				return stat(ctx, ask, indexing)
			}
		})
		s := f.open(t, 0)
		defer s.Close()
		reader, writer := io.Pipe()
		time.AfterFunc(time.Minute, func() { reader.CloseWithError(errTest) })
		s.loop.sample = func(now time.Time) {
			if s.sample(now); s.judging() {
				s.loop.fail(errTest)
			}
		}
		if _, err := s.Stream(Ballot{}, Stream{Out: writer}); !errors.Is(err, errTest) {
			t.Fatalf("error = %v, want that of the test", err)
		}
		s.loop.sample = s.sample
		lies.Store(false)
		begun := time.Now()
		fetchAll(t, s, data)
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("the next file took %v", took)
		}
	})
}

// What ends before it has begun has a result of its own, and changes no other.
func TestResultOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		f := newFleet(1, data, nil)
		s := f.open(t, 0)
		defer s.Close()
		dir := t.TempDir()
		first, err := s.Get(Ballot{}, Output{Dir: dir, Name: "one"})
		if err != nil {
			t.Fatal(err)
		}
		elapsed := first.Elapsed
		time.Sleep(time.Minute)
		second, err := s.Get(Ballot{}, Output{Dir: filepath.Join(dir, "missing"), Name: "two"})
		if err == nil || second.Path != "" || second.Fetched != 0 {
			t.Errorf("get: %+v, %v; want an empty result", second, err)
		}
		third, err := s.Repair(Ballot{}, Local{Path: filepath.Join(dir, "missing")}, Mend{})
		if err == nil || third.Path != "" || third.Fetched != 0 {
			t.Errorf("repair: %+v, %v; want an empty result", third, err)
		}
		if first.Elapsed != elapsed {
			t.Errorf("the first result changed from %v to %v", elapsed, first.Elapsed)
		}
	})
}

// Servers whose file changes between two files, or during one, vote for what
// they have then.
func TestChangedVotesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := file(5*chunk, 1), file(6*chunk, 2)
		now := sourcetest.Holder(place(0), after, nil)
		var changed atomic.Bool
		f := newFleet(3, before, func(server int, c *sourcetest.Conn) {
			stat, get := c.OnStat, c.OnRange
			later, _ := now.Dial(context.Background())
			c.OnStat = func(ctx context.Context, ask source.Ask, indexing func(done, total int64)) (source.Offer, error) {
				if changed.Load() && server > 0 {
					return later.Stat(ctx, ask, indexing)
				}
				return stat(ctx, ask, indexing)
			}
			c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
				switch {
				case changed.Load() && server > 0 && spans[0].Offset+spans[0].Length > int64(len(before)):
					return later.Range(ctx, spans)
				case changed.Load() && server > 0:
					return nil, &source.Fault{What: source.Changed, Words: "its file changed"}
				}
				return get(ctx, spans)
			}
		})
		s := f.open(t, 0)
		defer s.Close()
		fetchAll(t, s, before)
		for _, v := range s.roster.servers[1:] { // during a file
			s.leave(v, StateChanged, &source.Fault{What: source.Changed, Words: "its file changed"})
		}
		changed.Store(true)
		var out bytes.Buffer
		r, err := s.Stream(Ballot{}, Stream{Out: &out})
		if r.Size != int64(len(after)) {
			t.Errorf("%d bytes won, %v; want what most servers have now", r.Size, err)
		}
	})
}

// A server that is back for another file has the ID that it had.
func TestOtherIDForAnotherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(5*chunk+7, 1)
		f := newFleet(2, data, func(_ int, c *sourcetest.Conn) {})
		other := certs.ServerID{1}
		s := f.open(t, 0)
		defer s.Close()
		fetchAll(t, s, data)
		holder := f.sources[0].(*sourcetest.Source)
		dial := holder.Dial
		holder.Dial = func(ctx context.Context) (source.Conn, error) {
			way, err := dial(ctx)
			way.(*sourcetest.Conn).Is.ID = other
			return way, err
		}
		f.last(0).End(&source.Fault{Words: "died"})
		if r := fetchAll(t, s, data); r.Servers[0].State == StateServing || r.Servers[0].ID == other {
			t.Errorf("the server is %v as %v, want it out", r.Servers[0].State, r.Servers[0].ID)
		}
		want := NotReached{Target: place(0), Err: errOtherID}
		if !slices.Contains(f.told, Event(want)) {
			t.Errorf("told %+v, want why", f.told)
		}
	})
}

// What a contact tells behind its end is dropped: nobody waits for it any more.
func TestToldBehindTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(chunk, 1)
		f := newFleet(1, data, nil)
		s := f.open(t, 0)
		defer s.Close()
		fetchAll(t, s, data)
		v := s.roster.servers[0]
		way, _ := f.sources[0].Connect(t.Context())
		offer := v.offer
		s.leaveOut(v)
		v.contact.tell.answered(way, offer)
		if err := s.loop.until(func() bool { return len(s.loop.inbox) == 0 }); err != nil {
			t.Error(err)
		}
		if v.state != StateLeftOut || len(v.conns.list) != 0 {
			t.Errorf("the server is %v with %d connections, want it left out", v.state, len(v.conns.list))
		}
	})
}

// Records of ours that cannot be used end the run, and are not the server's
// fault.
func TestUnusableRecordsEndTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := file(chunk, 1)
		var broken atomic.Bool
		broken.Store(true)
		f := newFleet(2, data, func(server int, c *sourcetest.Conn) {
			if server == 0 && broken.Load() {
				c.OnStat = func(context.Context, source.Ask, func(done, total int64)) (o source.Offer, _ error) {
					return o, &source.Fault{What: source.Here, Words: "broken", Err: errTest}
				}
			}
		})
		s := f.open(t, 0)
		defer s.Close()
		if _, err := s.Stream(Ballot{}, Stream{Out: io.Discard}); err != errTest {
			t.Errorf("error = %v, want that of the records", err)
		}
		for _, e := range f.told {
			if _, ok := e.(NotReached); ok {
				t.Errorf("told %+v of a server", e)
			}
		}
		broken.Store(false)
		if r := fetchAll(t, s, data); r.Servers[0].State != StateServing {
			t.Errorf("the server is %v, want it to serve the next file", r.Servers[0].State)
		}
	})
}
