package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

var (
	here    = source.Target{Host: "a.example", Port: 1}
	errTest = &source.Fault{What: source.Lost, Words: "a test has ended it"}
)

// holder returns a source that counts its connections.
func holder(at source.Target, data []byte, dialled *atomic.Int64, change func(*sourcetest.Conn)) source.Source {
	return sourcetest.Holder(at, data, func(c *sourcetest.Conn) {
		dialled.Add(1)
		if change != nil {
			change(c)
		}
	})
}

func get(t *testing.T, sources []source.Source, dir, name string) error {
	t.Helper()
	s := fetch.Open(context.Background(), fetch.Servers{Sources: sources}, fetch.Watch{})
	defer s.Close()
	_, err := s.Get(fetch.Ballot{}, fetch.Output{Dir: dir, Name: name})
	return err
}

// Many sessions, one after the other and some at once, share few connections.
func TestSessionsShareConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("malcolm"), 100_000)
		var dialled atomic.Int64
		p := New()
		defer p.Close()
		dir := t.TempDir()
		const sessions = 4
		var wg sync.WaitGroup
		for w := range sessions {
			wg.Go(func() {
				for i := range 10 {
					src := p.Source(holder(here, data, &dialled, nil)) // each line has a source of its own
					if err := get(t, []source.Source{src}, dir, fmt.Sprintf("%d-%d", w, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := dialled.Load(); n < 1 || n > sessions {
			t.Errorf("%d connections for 40 files, want at most %d", n, sessions)
		}
		if got, _ := filepath.Glob(filepath.Join(dir, "*")); len(got) != 40 {
			t.Errorf("%d files, want 40", len(got))
		}
	})
}

// connect returns a lease, and what lies under it.
func connect(t *testing.T, src source.Source) *lease {
	t.Helper()
	c, err := src.Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c.(*lease)
}

// A connection is kept only while it is whole, and for a while.
func TestWhatIsKept(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name  string
		use   func(*lease, *sourcetest.Conn)
		later time.Duration
		kept  bool
	}{
		{"unused", func(*lease, *sourcetest.Conn) {}, 0, true},
		{"just before the end", func(*lease, *sourcetest.Conn) {}, idleTime - 1, true},
		{"too long", func(*lease, *sourcetest.Conn) {}, idleTime + 1, false},
		{"read to its end", func(l *lease, _ *sourcetest.Conn) {
			b, _ := l.Range(ctx, []source.Span{{Length: 3}})
			io.Copy(io.Discard, b)
			b.Close()
			b.Close()
		}, 0, true},
		{"a range is under way", func(l *lease, _ *sourcetest.Conn) { l.Range(ctx, []source.Span{{Length: 3}}) }, 0, false},
		{"a range has failed", func(l *lease, c *sourcetest.Conn) {
			c.OnRange = func(context.Context, []source.Span) (source.Body, error) { return nil, errTest }
			l.Range(ctx, nil)
		}, 0, false},
		{"a body has failed", func(l *lease, c *sourcetest.Conn) {
			c.OnRange = func(context.Context, []source.Span) (source.Body, error) {
				return sourcetest.NewBody(failing{}), nil
			}
			b, _ := l.Range(ctx, nil)
			b.Read(make([]byte, 1))
			b.Close()
		}, 0, false},
		{"an offer has failed", func(l *lease, c *sourcetest.Conn) {
			c.OnStat = func(context.Context, source.Ask, func(int64, int64)) (o source.Offer, err error) { return o, errTest }
			l.Stat(ctx, source.Ask{}, nil)
		}, 0, false},
		{"given up by the session", func(l *lease, c *sourcetest.Conn) {
			over, cancel := context.WithCancel(ctx)
			cancel()
			c.OnStat = func(context.Context, source.Ask, func(int64, int64)) (o source.Offer, err error) { return o, errTest }
			l.Stat(over, source.Ask{}, nil)
		}, 0, true},
		{"it has ended", func(_ *lease, c *sourcetest.Conn) { c.End(errTest) }, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dialled atomic.Int64
				p := New()
				defer p.Close()
				src := p.Source(holder(here, []byte("abc"), &dialled, nil))
				l := connect(t, src)
				under := l.Conn.(*sourcetest.Conn)
				test.use(l, under)
				l.Close()
				l.Close() // as a contact does behind hangUp
				time.Sleep(test.later)
				synctest.Wait()
				if ended := hasEnded(under); ended == test.kept {
					t.Errorf("it has ended: %v, want %v", ended, !test.kept)
				}
				connect(t, src).Close()
				if again := dialled.Load() == 1; again != test.kept {
					t.Errorf("used again: %v, want %v", again, test.kept)
				}
			})
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errTest }

// A connection belongs to one session: who has given it back is told that it
// is over, and asks for nothing on it.
func TestConnectionGivenBackIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled atomic.Int64
		p := New()
		src := p.Source(holder(here, []byte("abc"), &dialled, nil))
		first := connect(t, src)
		first.Close()
		first.Close()
		second := connect(t, src)
		third := connect(t, src)
		defer third.Close()
		if third.Conn == second.Conn {
			t.Fatal("two sessions have one connection")
		}
		if first.Conn != second.Conn {
			t.Fatal("another connection")
		}
		if !hasEnded(first) || first.Err() == nil {
			t.Error("the first session's connection goes on")
		}
		if _, err := first.Stat(context.Background(), source.Ask{}, nil); !errors.Is(err, errGivenBack) {
			t.Errorf("asked: %v", err)
		}
		if hasEnded(second) || second.Err() != nil {
			t.Error("the second session's connection has ended")
		}
		p.Close() // does not end what is in use
		if hasEnded(second) {
			t.Error("the pool ended a connection in use")
		}
		second.Close()
		if synctest.Wait(); !hasEnded(second.Conn) {
			t.Error("a closed pool keeps connections")
		}
	})
}

// A kept connection goes only to a source of the same place that may have its
// ID.
func TestWhoseConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled atomic.Int64
		p := New()
		defer p.Close()
		plain := holder(here, []byte("abc"), &dialled, nil)
		connect(t, p.Source(plain)).Close()
		var id certs.ServerID
		copy(id[:], here.String())
		for _, test := range []struct {
			name string
			src  source.Source
			new  int64
		}{
			{"another place", holder(source.Target{Host: "a.example", Port: 2}, []byte("abc"), &dialled, nil), 1},
			{"another ID", named{plain, certs.ServerID{9}}, 1},
			{"its ID", named{plain, id}, 0},
		} {
			before := dialled.Load()
			l := connect(t, p.Source(test.src))
			if got := dialled.Load() - before; got != test.new {
				t.Errorf("%s: %d new connections, want %d", test.name, got, test.new)
			}
			defer l.Close()
		}
	})
}

type named struct {
	source.Source
	id certs.ServerID
}

func (n named) Voter() (source.Voter, bool) {
	return source.Voter{Host: "a.example", IDs: []certs.ServerID{n.id}}, true
}

// What is kept is bounded.
func TestKeptConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled, ended atomic.Int64
		p := New()
		var leases []*lease
		for i := range 2 * mostKept {
			at := source.Target{Host: "a.example", Port: uint16(i + 1)}
			leases = append(leases, connect(t, p.Source(holder(at, []byte("abc"), &dialled, nil))))
		}
		for _, l := range leases {
			l.Close()
		}
		for i, l := range leases {
			if hasEnded(l.Conn) {
				if ended.Add(1); i >= mostKept {
					t.Errorf("connection %d has ended, which is among the youngest", i)
				}
			}
		}
		if n := ended.Load(); n != mostKept {
			t.Errorf("%d have ended, want %d", n, mostKept)
		}
		p.Close()
	})
}
