package fetch

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// version returns a tree without some of its files.
func (m sample) without(paths ...string) sample {
	other := maps.Clone(m)
	for _, path := range paths {
		delete(other, path)
	}
	return other
}

// getVersions copies a tree from servers that hold versions of it.
func getVersions(t *testing.T, out Output, versions ...sample) (*Result, []Event, error) {
	t.Helper()
	var sources []source.Source
	for i, m := range versions {
		listing, files := m.listing(t)
		sources = append(sources, sourcetest.HolderOfTree(place(i), listing, files, nil))
	}
	var events []Event
	s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) { events = append(events, e) }})
	defer s.Close()
	r, err := s.Get(Ballot{}, out)
	return r, events, err
}

// eventsOf returns the events of one type.
func eventsOf[E Event](events []Event) (list []E) {
	for _, e := range events {
		if e, ok := e.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// A server that is a file behind has no vote for the tree, and sends all files
// that are the same: here one that the others have no longer.
func TestServerWithAnOlderTreeStillHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sample{}
		for i := range 40 {
			m[string(rune('A'+i))] = file(chunk+i, uint64(i))
		}
		listing, files := m.listing(t)
		now := slices.DeleteFunc(files, func(data []byte) bool { return len(data) == chunk+25 }) // Z
		behind, old := m.without("C").listing(t)
		sources := []source.Source{
			sourcetest.HolderOfTree(place(0), listing, now, nil),
			sourcetest.HolderOfTree(place(1), behind, old, slowly),
			sourcetest.HolderOfTree(place(2), listing, now, nil),
		}
		var events []Event
		s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) { events = append(events, e) }})
		defer s.Close()
		dir := t.TempDir()
		r, err := s.Get(Ballot{}, Output{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		m.has(t, filepath.Join(dir, "tree"))
		if r.Servers[1].Bytes < chunk+25 || r.Servers[1].State != StateServing {
			t.Errorf("the server behind sent %d bytes, and is %v", r.Servers[1].Bytes, r.Servers[1].State)
		}
		if joined := eventsOf[Joined](events); len(joined) != 1 || !joined[0].Other || joined[0].Target.Host != "hostb" {
			t.Errorf("joined: %+v, want the server behind", joined)
		}
		if lost := eventsOf[Lost](events); len(lost) > 0 {
			t.Errorf("lost: %+v", lost)
		}
		told := 0
		for i, missing := range []string{"Z", "C", "Z"} {
			if l := r.Servers[i].Lacked; len(l) > 0 {
				told++
				if !slices.Equal(l, []string{missing}) {
					t.Errorf("server %d lacked %q, want %q", i, l, missing)
				}
			}
		}
		if lacking := eventsOf[Lacking](events); told == 0 || told != len(lacking) {
			t.Errorf("%d servers lacked something in the result, and %d in events: %+v", told, len(lacking), lacking)
		}
	})
}

// slowly makes each range of a source late, so that others are asked for most.
func slowly(c *sourcetest.Conn) {
	serve := c.OnRange
	c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
		time.Sleep(time.Second)
		return serve(ctx, spans)
	}
}

// What no server has any longer is named, and nothing gets the final name.
func TestFileIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := varied()
		listing, files := m.listing(t)
		held := files[:0:0]
		for _, data := range files {
			if len(data) != 200 { // a/run.sh
				held = append(held, data)
			}
		}
		var sources []source.Source
		for i := range 2 {
			sources = append(sources, sourcetest.HolderOfTree(place(i), listing, held, nil))
		}
		var events []Event
		s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) { events = append(events, e) }})
		defer s.Close()
		dir := t.TempDir()
		r, err := s.Get(Ballot{}, Output{Dir: dir})
		gone, ok := errors.AsType[*GoneError](err)
		if !ok || gone.Path != "a/run.sh" || KindOf(err) != KindChanged || r.Part == "" || r.Path != "" {
			t.Errorf("error = %v, %+v, want that a file is gone", err, r)
		}
		if lacking := eventsOf[Lacking](events); len(lacking) != 2 || lacking[0].Path != "a/run.sh" {
			t.Errorf("lacking: %+v, want one of each server", lacking)
		}
	})
}

// A server with nothing of the tree is not asked for ever.
func TestServerWithAnotherTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, other := sample{}, sample{"x": file(10, 99)}
		for i := range 3 * mostLacking {
			m[string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})] = file(10+i, uint64(i))
		}
		dir := t.TempDir()
		r, _, err := getVersions(t, Output{Dir: dir}, m, other, m)
		if err != nil {
			t.Fatal(err)
		}
		m.has(t, filepath.Join(dir, "tree"))
		if r.Servers[1].Bytes > 0 || r.Servers[1].State != StateChanged {
			t.Errorf("the other server sent %d bytes, and is %v, want it out", r.Servers[1].Bytes, r.Servers[1].State)
		}
	})
}
