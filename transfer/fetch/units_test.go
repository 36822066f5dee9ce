package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
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
		cancel(errTest)
		if _, err := p.get(ctx); err != errTest {
			t.Errorf("get = %v, want the cause", err)
		}
	})
}

func TestKindOf(t *testing.T) {
	left := func(states ...State) error {
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
		{left(StateWrong), KindIntegrity},
		{left(StateWrong, StateLeftOut, StateDuplicate, StateNotReached), KindIntegrity},
		{left(StateWrong, StateChanged), KindChanged},
		{left(StateChanged, StateLost, StateWrong), KindNetwork},
		{left(StateLost), KindNetwork},
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

func TestBackOff(t *testing.T) {
	var b backOff
	for i, want := range []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second} {
		got := b.next()
		if got < want-want/4 || got > want+want/4 {
			t.Errorf("pause %d is %v, want about %v", i, got, want)
		}
	}
}

// A server that has another file and no part in the vote is named when the vote
// is over. The vote itself names the others.
func TestLeftOutAtTheClose(t *testing.T) {
	var told []Event
	var sources []source.Source
	for i := range 6 {
		sources = append(sources, &sourcetest.Source{Place: source.Target{Host: "h", Port: uint16(i + 1)}})
	}
	s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) { told = append(told, e) }})
	defer s.Close()
	s.download = newDownload(s, &vote.Group{Size: 5, Checksum: [32]byte{'A'}})
	servers := s.roster.servers
	for i, content := range "AABBAB" {
		v := servers[i]
		v.state, v.contact = StateAnswered, &contact{down: make(chan struct{}, 1), stop: func() {}}
		v.offer.Size, v.offer.Checksum = 5, [32]byte{byte(content)}
	}
	servers[4].state, servers[5].state = StateLost, StateLost
	s.admitAll(vote.Result{Answered: []int{0, 2, 4, 5}})
	want := []Event{Joined{Target: servers[1].target}, LeftOut{Target: servers[3].target, Checksum: [32]byte{'B'}, Size: 5}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
	for i, state := range []State{StateServing, StateServing, StateLeftOut, StateLeftOut, StateLost, StateLeftOut} {
		if got := servers[i].state; got != state {
			t.Errorf("server %d is %v, want %v", i, got, state)
		}
	}
}

// What was received of a chunk that another server has finished is counted as
// wasted.
func TestRestOfAGoodChunk(t *testing.T) {
	data := file(2*chunk, 1)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	part, err := partfile.Open(t.Context(), partfile.Dir(root), partfile.Options{Name: "data.bin", Size: int64(len(data)), ChunkSize: chunk})
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	s := Open(t.Context(), Servers{}, Watch{})
	defer s.Close()
	d := s.download
	d.job = &job{store: partStore{part}}
	for c, marked := range []bool{true, false} {
		first, _ := part.Claim(c)
		if err := first.WriteAt(data[:100], 0); err != nil {
			t.Fatal(err)
		}
		if marked {
			second, _ := part.TakeOver(c)
			if err := errors.Join(second.WriteAt(data[:chunk], 0), second.Mark([16]byte{})); err != nil {
				t.Fatal(err)
			}
		}
		f := &fetch{server: &server{state: StateServing}, rangeRun: &rangeRun{rest: &partial{chunk: c, at: 100, claim: first}}}
		d.keepPartial(f)
		if kept := d.partials[c] != nil; kept == marked {
			t.Errorf("chunk %d marked: %t, what there is of it kept: %t", c, marked, kept)
		}
	}
	if got := d.tally.Duplicate; got != 100 {
		t.Errorf("%d duplicate bytes, want those of the marked chunk", got)
	}
	if got := s.finish().Duplicate; got != 200 {
		t.Errorf("%d duplicate bytes at the end, want all of both", got)
	}
}
