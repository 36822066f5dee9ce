package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/synctest"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/vote"
)

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
		{&localfile.Error{Err: fs.ErrPermission}, KindLocal},
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
