package serve

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/certs"
	"malcolm/transfer/localfile"
	"malcolm/transfer/scan"
)

// noSource is a source that is not there.
type noSource struct{ localfile.Source }

func (noSource) Open() (localfile.File, error) { return nil, fs.ErrNotExist }

// TestReloadFile: another file takes the place of the one that is offered once
// it is hashed, and not before; who has the old one goes on. One that cannot be
// hashed changes nothing.
func TestReloadFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data, other := filled(oneChunk+1, 1), filled(oneChunk+1, 2)
		told := make(chan Event, 10)
		ix := newIndex(newMemFile(data), "x", Hashes{}, func(e Event) { told <- e })
		stop := runIndex(t, ix)
		first := readyVersion(t.Context(), ix)
		next := func() Event {
			select {
			case e := <-told:
				return e
			case <-time.After(time.Hour): // tried again and again, and nobody is told
				t.Error("nobody is told")
				return nil
			}
		}
		next()
		if err := ix.offer(Change{Source: noSource{}, Name: "gone"}); err != nil {
			t.Fatal(err)
		}
		if e, ok := next().(Unreadable); !ok || !e.Kept || !errors.Is(e.Err, fs.ErrNotExist) {
			t.Errorf("told %+v", e)
		}
		if v := readyVersion(t.Context(), ix); v != first || ix.version(first.offer.Checksum) == nil {
			t.Error("what was offered is not any more")
		}
		if err := ix.offer(Change{Source: newMemFile(other), Name: "y"}); err != nil {
			t.Fatal(err)
		}
		if v, _, _ := ix.acquire(t.Context()); v == nil {
			t.Error("nothing is offered while the new file is hashed")
		}
		if e, _ := next().(Ready); e.Name != "y" || e.Checksum != sumOf(other) {
			t.Errorf("told %+v", e)
		}
		if v := readyVersion(t.Context(), ix); v.offer.Name != "y" || v.offer.Checksum != sumOf(other) {
			t.Errorf("offered is %+v", v.offer)
		}
		if v := ix.version(sumOf(data)); v != first {
			t.Error("the version before is not held")
		}
		if err := ix.offer(Change{Tree: &Tree{}}); err != ErrOtherKind {
			t.Errorf("a directory in place of a file: %v", err)
		}
		stop()
	})
}

// TestReloadTree is the same for a directory.
func TestReloadTree(t *testing.T) {
	w := newTreeWorld(t, map[string][]byte{"a": []byte("1")})
	other := newTreeWorld(t, map[string][]byte{"b": []byte("2")})
	ready := func() Ready {
		for {
			if e, ok := (<-w.told).(Ready); ok {
				return e
			}
		}
	}
	first := ready()
	source, err := localfile.OfferDirectory(filepath.Join(other.dir, "absent"))
	if err == nil {
		t.Fatal("found a directory that is not there")
	}
	broken := scan.Part{Path: other.dir, Open: func() (scan.Dir, error) { return nil, fs.ErrNotExist }}
	change := Change{Tree: &Tree{Scan: scan.Config{Parts: []scan.Part{broken}}}, Name: "other"}
	if err := w.srv.Reload(change); err != nil {
		t.Fatal(err)
	}
	for {
		if e, ok := (<-w.told).(Unreadable); ok {
			if !e.Kept {
				t.Errorf("told %+v", e)
			}
			break
		}
	}
	if v, _, _ := w.tree.acquire(t.Context()); v == nil || v.offer.Checksum != first.Checksum {
		t.Error("what was offered is not any more")
	}
	if source, err = localfile.OfferDirectory(other.dir); err != nil {
		t.Fatal(err)
	}
	part := scan.Part{Path: other.dir, Open: func() (scan.Dir, error) { return source.Open() }}
	change.Tree = &Tree{Scan: scan.Config{Parts: []scan.Part{part}}}
	if err := w.srv.Reload(change); err != nil {
		t.Fatal(err)
	}
	if e := ready(); e.Name != "other" || e.Checksum == first.Checksum || w.srv.title() != "other" {
		t.Errorf("told %+v", e)
	}
	if _, why := w.tree.hold(first.Checksum); why != nil {
		t.Errorf("the version before is not held: %+v", why)
	}
	if err := w.srv.Reload(Change{Source: newMemFile(nil)}); err != ErrOtherKind {
		t.Errorf("a file in place of a directory: %v", err)
	}
}

// TestReloadTreeRefused: a tree that cannot be scanned leaves the one before as
// it was: how often it is scanned, that it is to be soon, and what of it is to
// be hashed anew.
func TestReloadTreeRefused(t *testing.T) {
	var told []Event
	ix := newTreeIndex(&Tree{Rescan: 3 * time.Second}, "x", func(e Event) { told = append(told, e) })
	ix.scans.doubts, ix.scans.soon = []string{"a"}, true
	broken := scan.Part{Path: "b", Open: func() (scan.Dir, error) { return nil, fs.ErrNotExist }}
	if err := ix.offer(Change{Tree: &Tree{Scan: scan.Config{Parts: []scan.Part{broken}}, Rescan: 9 * time.Second}}); err != nil {
		t.Fatal(err)
	}
	if ix.rescan != 3*time.Second {
		t.Errorf("scanned each %s before another tree is there", ix.rescan)
	}
	if err := ix.scan(t.Context()); err != nil || len(told) != 1 {
		t.Errorf("%v, told %+v", err, told)
	}
	if ix.rescan != 3*time.Second || !ix.scans.soon || len(ix.scans.doubts) != 1 || ix.scans.doubts[0] != "a" || ix.name != "x" {
		t.Errorf("scanned each %s, soon: %t, doubts %q, as %q", ix.rescan, ix.scans.soon, ix.scans.doubts, ix.name)
	}
}

// TestReloadIsWhole: tokens and limits change together with the offer, or not
// at all; connections stay.
func TestReloadIsWhole(t *testing.T) {
	w := newWorld(t, newMemFile(filled(10, 1)), Config{})
	w.open()
	w.srv.index.release(readyVersion(t.Context(), w.file()))
	one := token(t, "a token that is long enough, for a test")
	wrong := []Change{
		{Tokens: []certs.Token{{}}, Limit: 5},
		{Tokens: []certs.Token{one}, Limits: Limits{Places: -1}, Limit: 5},
		{Tokens: []certs.Token{one}, Tree: &Tree{}, Limit: 5},
	}
	for _, c := range wrong {
		if err := w.srv.Reload(c); err == nil || len(w.srv.tokens()) != 0 || !w.srv.limit.IsOff() {
			t.Errorf("%+v: %v, and took something of it", c, err)
		}
	}
	places := w.srv.book.Len()
	if err := w.srv.Reload(Change{Tokens: []certs.Token{one}, Limit: 5}); err != nil {
		t.Fatal(err)
	}
	if len(w.srv.tokens()) != 1 || w.srv.limit.IsOff() || w.srv.book.Len() != places {
		t.Error("what was to change has not, or a connection went")
	}
	if err := w.srv.Reload(Change{}); err != nil || !w.srv.limit.IsOff() || len(w.srv.tokens()) != 0 {
		t.Errorf("and back again: %v", err)
	}
}
