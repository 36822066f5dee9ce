package fetch

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// eachOf copies a tree from servers of three versions, with --each or without.
func eachOf(t *testing.T, each bool, out Output, versions ...sample) (*Result, error) {
	t.Helper()
	var sources []source.Source
	for i, m := range versions {
		listing, files := m.listing(t)
		sources = append(sources, sourcetest.HolderOfTree(place(i), listing, files, nil))
	}
	s := Open(t.Context(), Servers{Sources: sources}, Watch{})
	defer s.Close()
	return s.Get(Ballot{Each: each}, out)
}

// Directories that all differ have a majority for each path, which may be that
// it is not there. The tree that they make is copied from all of them.
func TestEachPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sample{"a": file(chunk, 1), "b": file(10, 2), "d/e": file(3*chunk, 3)}
		with := func(path string, what any) sample {
			other := m.without()
			other[path] = what
			return other
		}
		versions := []sample{with("a", file(chunk, 9)), with("extra", []byte("x")), m.without("b")}
		dir := t.TempDir()
		_, err := eachOf(t, false, Output{Dir: dir}, versions...)
		undecided, ok := errors.AsType[*UndecidedError](err)
		if !ok || undecided.Parts.Count != 3 || undecided.Parts.Differ[0].Path != "a" || len(undecided.Parts.Differ[0].Has) != 3 {
			t.Fatalf("error = %v, %+v, want the three paths that differ", err, undecided)
		}
		r, err := eachOf(t, true, Output{Dir: dir}, versions...)
		if err != nil || r.Name != "tree" || r.Checksum != sumOfListing(t, m) {
			t.Fatalf("%+v, %v, want the tree of the majorities", r, err)
		}
		m.has(t, filepath.Join(dir, "tree"))
	})
}

// A path without a majority is named, and nothing is written.
func TestEachPathUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m := sample{"a": file(10, 1)}
		_, err := eachOf(t, true, Output{Dir: dir}, m, sample{"a": file(10, 2)})
		undecided, ok := errors.AsType[*UndecidedError](err)
		if !ok || undecided.Parts.Count != 1 || KindOf(err) != KindVote {
			t.Fatalf("error = %v, want that a path is undecided", err)
		}
		if found, _ := filepath.Glob(filepath.Join(dir, "*")); len(found) > 0 {
			t.Errorf("%q was written", found)
		}
	})
}
