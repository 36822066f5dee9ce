package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/partfile"
	"malcolm/transfer/vote"
)

func TestLimiterShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 10_000
		l := newLimiter(rate)
		begun := time.Now()
		done := make(chan error)
		for range 3 {
			go func() {
				var err error
				for left := 10_000; left > 0 && err == nil; {
					n := l.piece(left)
					err = l.wait(t.Context(), n)
					left -= n
				}
				done <- err
			}()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got, want := time.Since(begun), 3*time.Second-limitBurst; got.Round(time.Millisecond) != want {
			t.Errorf("30000 bytes at %d a second took %v, want %v", rate, got, want)
		}
	})
}

func TestLimiterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := l.wait(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("wait = %v after %v, want the context's end", err, time.Since(begun))
		}
		if err := newLimiter(1<<40).wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait = %v, want the context's end although there is nothing to wait for", err)
		}
	})
}

func TestNoLimiter(t *testing.T) {
	for _, rate := range []int64{0, -1} {
		l := newLimiter(rate)
		if l != nil {
			t.Fatalf("newLimiter(%d) = %v, want nil", rate, l)
		}
		if got := l.piece(1 << 30); got != 1<<30 {
			t.Errorf("piece = %d, want all", got)
		}
		ctx, cancel := context.WithCancel(context.Background())
		if err := l.wait(ctx, 1<<30); err != nil {
			t.Error(err)
		}
		cancel()
		if err := l.wait(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("wait = %v, want the context's end", err)
		}
	}
}

func TestLimiterPiece(t *testing.T) {
	for _, test := range []struct {
		rate    int64
		n, want int
	}{
		{1 << 20, 1 << 20, 1 << 20 / limitSteps},
		{1 << 20, 100, 100},
		{1, 1 << 20, minPiece},
		{1, 10, 10},
		{1 << 50, 1 << 20, 1 << 20},
	} {
		if got := newLimiter(test.rate).piece(test.n); got != test.want {
			t.Errorf("piece(%d) at %d = %d, want %d", test.n, test.rate, got, test.want)
		}
	}
}

func TestBufferPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newBufferPool(2, 100)
		a, errA := p.get(t.Context())
		b, errB := p.get(t.Context())
		if errA != nil || errB != nil || len(*a) != 100 || len(*b) != 100 || &(*a)[0] == &(*b)[0] {
			t.Fatalf("two buffers = %v, %v, want different ones of 100 bytes", errA, errB)
		}
		got := make(chan error, 1)
		go func() {
			c, err := p.get(t.Context())
			got <- err
			p.put(c)
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("a third buffer was given out")
		default:
		}
		p.put(a)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c, err := p.get(t.Context()); err != nil || len(*c) != 100 {
			t.Fatalf("get = %v, want the buffer back", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errInterrupted)
		if _, err := p.get(ctx); err != errInterrupted {
			t.Errorf("get = %v, want the cause", err)
		}
	})
}

func TestActivity(t *testing.T) {
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var a activity
	if !closed(a.idle()) || a.count() != 0 {
		t.Error("busy at first, want idle")
	}
	a.begin()
	a.begin()
	first, second := a.idle(), a.idle()
	a.end()
	if closed(first) || closed(second) || a.count() != 1 {
		t.Errorf("idle with %d under way", a.count())
	}
	a.end()
	if !closed(first) || !closed(second) || !closed(a.idle()) {
		t.Error("busy with nothing under way")
	}
	a.begin()
	third := a.idle()
	a.end()
	if !closed(third) {
		t.Error("busy after a second time")
	}
}

func TestKindOf(t *testing.T) {
	left := func(states ...PeerState) error {
		e := &NoServerLeftError{}
		for _, s := range states {
			e.Servers = append(e.Servers, ServerReport{State: s})
		}
		return e
	}
	for _, test := range []struct {
		err  error
		want Kind
	}{
		{nil, KindUnexpected},
		{errors.New("what"), KindUnexpected},
		{context.Canceled, KindUnexpected},
		{left(PeerWrong), KindIntegrity},
		{left(PeerWrong, PeerLeftOut, PeerDuplicate, PeerNotReached), KindIntegrity},
		{left(PeerWrong, PeerChanged), KindChanged},
		{left(PeerChanged, PeerLost, PeerWrong), KindNetwork},
		{left(PeerLost), KindNetwork},
		{&UndecidedError{Result: vote.Result{Reason: vote.NoMajority}}, KindVote},
		{&NobodyAnsweredError{}, KindNetwork},
		{&NameError{}, KindLocal},
		{&TargetError{}, KindLocal},
		{&TooLargeError{}, KindLocal},
		{&NotDirectoryError{}, KindLocal},
		{&FileError{Err: fs.ErrPermission}, KindLocal},
		{&partfile.Error{Err: fs.ErrExist}, KindLocal},
		{&certs.KeyFileError{Err: fs.ErrPermission}, KindLocal},
	} {
		for _, err := range []error{test.err, fmt.Errorf("around: %w", test.err)} {
			if got := KindOf(err); got != test.want {
				t.Errorf("KindOf(%T) = %d, want %d", test.err, got, test.want)
			}
		}
	}
}

func TestStates(t *testing.T) {
	for s := PeerConnecting; s <= PeerWrong; s++ {
		if s.String() == "" {
			t.Errorf("peer state %d has no name", s)
		}
	}
	for s := StateIndexing; s <= StateStopped; s++ {
		if s.String() == "" {
			t.Errorf("state %d has no name", s)
		}
	}
}

func TestTargetString(t *testing.T) {
	for _, test := range []struct {
		target Target
		want   string
	}{
		{Target{Host: "example.org", Port: 1}, "example.org:1"},
		{Target{Host: "::1", Port: 65535}, "[::1]:65535"},
		{Target{Host: "10.0.0.1", Port: 80}, "10.0.0.1:80"},
	} {
		if got := test.target.String(); got != test.want {
			t.Errorf("%#v = %q, want %q", test.target, got, test.want)
		}
	}
}

// TestResetKey: a restart on the same machine has the same reset key, another
// machine with the same identity another one, and so has a run that knows no
// machine.
func TestResetKey(t *testing.T) {
	key := func(id int, machine byte) [32]byte {
		s := &serving{cfg: ServeConfig{Identity: testIDs[id], Machine: [32]byte{machine}}}
		return s.resetKey()
	}
	if once, again := key(0, 1), key(0, 1); once != again {
		t.Error("a restart has another key")
	}
	for i, other := range [][32]byte{key(0, 2), key(1, 1), key(0, 0)} {
		if other == key(0, 1) {
			t.Errorf("case %d has the same key", i)
		}
	}
	if once, again := key(0, 0), key(0, 0); once == again {
		t.Error("two runs that know no machine have the same key")
	}
}
