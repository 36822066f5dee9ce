package fetch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// A directory becomes the tree: what is wrong is replaced, what is missing is
// made, and right files are left alone.
func TestRepairTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir := varied(), t.TempDir()
		m.write(t, dir)
		right, err := os.Stat(dir + "/same")
		err = errors.Join(err,
			os.Remove(dir+"/a/small"),
			os.WriteFile(dir+"/a/big", []byte("x"), 0), os.Chmod(dir+"/a/big", 0o640),
			os.Chmod(dir+"/a/run.sh", 0o600),
			os.Remove(dir+"/b/link"), os.WriteFile(dir+"/b/link", nil, 0o644),
			os.RemoveAll(dir+"/b/deep"),
			os.WriteFile(dir+"/b/extra", nil, 0o644),
		)
		if err != nil {
			t.Fatal(err)
		}
		r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Replaced != 3 || r.Made != 3 || r.Removed != 0 || !slices.Equal(r.Extra, []string{"b/extra"}) || r.Path != dir || r.AlreadyRight {
			t.Errorf("%d replaced, %d made, %d removed, extra %q, %+v", r.Replaced, r.Made, r.Removed, r.Extra, r.Result)
		}
		os.Remove(dir + "/b/extra")
		m.has(t, dir)
		if now, err := os.Stat(dir + "/same"); err != nil || !os.SameFile(right, now) {
			t.Errorf("a right file was replaced: %v", err)
		}
		if info, err := os.Stat(dir + "/a/big"); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("a replaced file has mode %v, %v, want that of the old one", info.Mode(), err)
		}
		if r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{}); err != nil || !r.AlreadyRight || r.Fetched > 0 {
			t.Errorf("a second time: %+v, %v, want that it is right", r, err)
		}
	})
}

// What is not in the tree is removed only if the user says so, and never much
// of it.
func TestRepairTreeDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir := varied(), t.TempDir()
		m.write(t, dir)
		extra := sample{"x/y/z": []byte("z"), "x/link": "../same"}
		extra.write(t, dir)
		_, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{Delete: true})
		if e, ok := errors.AsType[*DeleteError](err); !ok || e.Extra != 2 || e.Allows != 1 || KindOf(err) != KindLocal {
			t.Fatalf("error = %v, want that 2 are too many", err)
		}
		for path := range extra {
			if _, err := os.Lstat(filepath.Join(dir, path)); err != nil {
				t.Error(err)
			}
		}
		r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{Delete: true, MaxDelete: 2})
		if err != nil || r.Removed != 2 {
			t.Fatalf("%+v, %v, want that 2 are removed", r, err)
		}
		m.has(t, dir)
		if _, err := os.Lstat(dir + "/x"); err == nil {
			t.Error("the empty directory is left")
		}
	})
}

// Directories that lack all of their files, or have some of others, are as they
// must be but for these.
func TestRepairTreeFillsDirectories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir := varied(), t.TempDir()
		m.write(t, dir)
		extra := sample{"b/hollow/x": []byte("x")}
		extra.write(t, dir)
		if err := errors.Join(os.Remove(dir+"/b/deep/below"), os.Remove(dir+"/b/deep/again"), os.Chmod(dir+"/b/deep", 0o700)); err != nil {
			t.Fatal(err)
		}
		r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{})
		if err != nil || r.Replaced != 0 || r.Made != 2 || !slices.Equal(r.Extra, []string{"b/hollow/x"}) {
			t.Fatalf("%+v, %v, want that 2 are made, and 1 is extra", r, err)
		}
		if info, err := os.Stat(dir + "/b/deep"); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the directory has mode %v, %v, want its own", info.Mode(), err)
		}
		if b, err := os.ReadFile(dir + "/b/hollow/x"); string(b) != "x" {
			t.Errorf("what is extra has %q, %v", b, err)
		}
		if r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{}); err != nil || !r.AlreadyRight {
			t.Errorf("a second time: %+v, %v, want that it is right", r, err)
		}
		if r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{Delete: true}); err != nil || r.Removed != 1 {
			t.Errorf("%+v, %v, want that 1 is removed", r, err)
		}
		m.has(t, dir)
	})
}

// Something else in the place of an entry is not removed without a word.
func TestRepairTreeInTheWay(t *testing.T) {
	for _, test := range []struct {
		name  string
		there sample
		path  string
	}{
		{"a file above", sample{"a": []byte("x")}, "a"},
		{"a link above", sample{"a": "b"}, "a"},
		{"entries beneath", sample{"same/x": []byte("x")}, "same/x"},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, dir := varied(), t.TempDir()
			test.there.write(t, dir)
			_, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{})
			if e, ok := errors.AsType[*InTheWayError](err); !ok || e.Path != filepath.Join(dir, test.path) {
				t.Errorf("%s: error = %v", test.name, err)
			}
			test.there.has(t, dir)
			if _, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{Delete: true, MaxDelete: 1}); err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			m.has(t, dir)
		})
	}
}

// A file with other names is replaced only if the user says so.
func TestRepairTreeLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir, other := varied(), t.TempDir(), filepath.Join(t.TempDir(), "other")
		m.write(t, dir)
		if err := errors.Join(os.WriteFile(dir+"/a/small", []byte("x"), 0o644), os.Link(dir+"/a/small", other)); err != nil {
			t.Fatal(err)
		}
		if _, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{}); !as[*LinksError](err) {
			t.Errorf("error = %v, want that it has another name", err)
		}
		if _, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{SplitLinks: true}); err != nil {
			t.Fatal(err)
		}
		m.has(t, dir)
		if b, err := os.ReadFile(other); string(b) != "x" {
			t.Errorf("the other name has %q, %v", b, err)
		}
	})
}

// A run that was cut off when all was fetched is finished without any bytes.
func TestRepairTreeFinishesMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir := varied(), t.TempDir()
		m.without("a/small", "b/deep/below", "b/hollow").write(t, dir)
		sample{"a/small": m["a/small"], "b/deep/below": m["b/deep/below"], "b/hollow": []byte(nil)}.write(t, filepath.Join(dir, mendName))
		listing, _ := m.listing(t)
		s := Open(t.Context(), Servers{Sources: []source.Source{sourcetest.HolderOfTree(place(0), listing, nil, nil)}}, Watch{})
		defer s.Close()
		if _, err := s.RehearseRepairTree(Ballot{}, dir, MendTree{Delete: true}); !as[*TreeMismatchError](err) {
			t.Errorf("rehearsal: %v, want only that it differs", err)
		}
		if _, err := s.RepairTree(Ballot{}, dir, MendTree{}); err != nil {
			t.Fatal(err)
		}
		m.has(t, dir)
		if _, err := os.Lstat(filepath.Join(dir, mendName)); err == nil {
			t.Error("the tree of what was fetched is left")
		}
	})
}

// What is not ours under that name is left alone.
func TestRepairTreeForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir := varied(), t.TempDir()
		m.without("a/small").write(t, dir)
		mine := sample{mendName + "/mine": []byte("x")}
		mine.write(t, dir)
		_, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{Delete: true})
		if !as[*InTheWayError](err) {
			t.Errorf("error = %v", err)
		}
		if _, err := treeServers(t, m).RehearseRepairTree(Ballot{}, dir, MendTree{Delete: true}); !as[*InTheWayError](err) {
			t.Errorf("rehearsal: error = %v", err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, mendName, "mine")); string(b) != "x" {
			t.Errorf("it has %q, %v", b, err)
		}
	})
}

// Any directory becomes any tree.
func TestAnyTreeIsRepaired(t *testing.T) {
	draw := func(t *rapid.T, label string) sample {
		m := sample{}
		for i := range rapid.IntRange(0, 8).Draw(t, label) {
			path := rapid.SampledFrom([]string{"a", "b", "a/b", "a/c", "b/a", "b/c/d", "c", "c/d"}).Draw(t, "path")
			what := rapid.IntRange(0, 3).Draw(t, "what")
			clash := false
			for other := range m {
				clash = clash || other == path || isBeneath(other, path) || isBeneath(path, other)
			}
			switch {
			case clash:
			case what == 0:
				m[path] = []byte(nil)
			case what == 1:
				m[path] = "x" // a dangling link
			default:
				m[path] = []byte(fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "bytes"), i%2))
			}
		}
		return m
	}
	rapid.Check(t, func(r *rapid.T) {
		want, have := draw(r, "tree"), draw(r, "directory")
		if len(want) == 0 {
			return
		}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		have.write(t, dir)
		how := MendTree{Delete: rapid.Bool().Draw(r, "delete"), MaxDelete: rapid.IntRange(0, 3).Draw(r, "most")}
		_, said := treeServers(t, want).RehearseRepairTree(Ballot{}, dir, how)
		if as[*TreeMismatchError](said) {
			said = nil
		}
		if _, did := treeServers(t, want).RepairTree(Ballot{}, dir, how); fmt.Sprint(did) != fmt.Sprint(said) {
			r.Fatalf("repair: %v; its rehearsal: %v; of %q to %q", did, said, have, want)
		}
		if _, err := treeServers(t, want).RepairTree(Ballot{}, dir, MendTree{Delete: true, MaxDelete: 100}); err != nil {
			r.Fatalf("%v of %q to %q", err, have, want)
		}
		if result, err := treeServers(t, want).VerifyTree(Ballot{}, dir); err != nil {
			r.Fatalf("%v: %+v", err, result)
		}
	})
}

func isBeneath(path, dir string) bool {
	return len(path) > len(dir) && path[:len(dir)] == dir && path[len(dir)] == '/'
}
