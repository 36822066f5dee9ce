package fetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
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

// What a filter does not choose is neither read, compared nor changed, and what
// has the place of something that is chosen is refused first.
func TestRepairTreeOfWhatIsChosen(t *testing.T) {
	unlike := sample{
		"a/big": file(5*chunk+77, 9), "a/run.sh": file(200, 9), "a/extra.o": []byte("o"), "a/extra": []byte("e"), "a/gone": []byte(nil),
		"b/hollow/x.o": []byte("o"), "b/more": []byte("m"), "same": file(100, 2), "b/link": "../a/small",
	}
	for _, test := range []struct {
		name    string
		rules   []filter.Rule
		there   sample
		then    sample // nil: refused
		refused string
	}{
		{
			"by a directory", rules("+a/"), unlike,
			varied().without("b/deep/below", "b/deep/again", "b/hollow").with(sample{"b/hollow/x.o": []byte("o"), "b/more": []byte("m")}), "",
		}, {
			"all but a pattern", rules("-*.o"), unlike,
			varied().without("b/hollow").with(sample{"a/extra.o": []byte("o"), "b/hollow/x.o": []byte("o")}), "",
		}, {
			"one file", rules("+/same"), sample{"same": []byte("x"), "b": []byte("y")}, sample{"same": file(100, 2), "b": []byte("y")}, "",
		},
		{"a file above that is not chosen", rules("+a/*"), sample{"a": []byte("x")}, nil, "a"},
		{"a file beneath that is not chosen", rules("-*.o"), sample{"same/x/y.o": []byte("x"), "same/z": []byte("z")}, nil, "same/x/y.o"},
		{"an empty directory that is not chosen", rules("-same/"), sample{"same": []byte(nil)}, nil, "same"},
		{"a file instead of a chosen directory", rules("+hollow/"), sample{"b/hollow": []byte("x")}, nil, "b/hollow"},
		{"an empty directory beneath that is not chosen", rules("-o/"), sample{"same/o": []byte(nil), "same/z": []byte("z")}, nil, "same/o"},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, dir := varied(), t.TempDir()
			test.there.write(t, dir)
			b, how := Ballot{Filter: filter.New(test.rules, nil)}, MendTree{Delete: true, MaxDelete: 10}
			_, said := treeServers(t, m).RehearseRepairTree(b, dir, how)
			test.there.has(t, dir)
			_, err := treeServers(t, m).RepairTree(b, dir, how)
			if test.then == nil {
				e, ok := errors.AsType[*InTheWayError](err)
				if !ok || e.Path != filepath.Join(dir, test.refused) || !e.Unchosen || said.Error() != err.Error() {
					t.Errorf("%s: %v; its rehearsal: %v", test.name, err, said)
				}
				test.there.has(t, dir)
				return
			}
			if err != nil || !as[*TreeMismatchError](said) {
				t.Errorf("%s: %v; its rehearsal: %v", test.name, err, said)
			}
			test.then.has(t, dir)
			if r, err := treeServers(t, m).VerifyTree(b, dir); err != nil || len(r.Differences) > 0 {
				t.Errorf("%s: after the repair: %v, %+v", test.name, err, r)
			}
			if r, err := treeServers(t, m).RepairTree(b, dir, how); err != nil || !r.AlreadyRight {
				t.Errorf("%s: a second time: %+v, %v", test.name, r, err)
			}
		})
	}
}

// rules are patterns behind + to include and - to exclude.
func rules(patterns ...string) (list []filter.Rule) {
	for _, p := range patterns {
		rule := filter.Exclude
		if p[0] == '+' {
			rule = filter.Include
		}
		r, err := rule(p[1:])
		if err != nil {
			panic(err)
		}
		list = append(list, r)
	}
	return list
}

// with returns the sample and another one.
func (m sample) with(more sample) sample {
	all := maps.Clone(m)
	maps.Copy(all, more)
	return all
}

// A directory that is empty only because of the filter is as the tree has it.
func TestVerifyTreeOfWhatIsChosen(t *testing.T) {
	for _, test := range []struct {
		name        string
		tree, there sample
		rules       []filter.Rule
	}{
		{"empty in the tree", sample{"d": []byte(nil), "f": []byte("f")}, sample{"d/x.o": []byte("x"), "f": []byte("f")}, rules("-*.o")},
		{"empty here", sample{"d/x.o": []byte("x"), "f": []byte("f")}, sample{"d": []byte(nil), "f": []byte("f")}, rules("-*.o")},
		{"unread files do not count", sample{"f": []byte("f")}, sample{"f": []byte("f"), "out": "../../x"}, rules("+f")},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			test.there.write(t, dir)
			b := Ballot{Filter: filter.New(test.rules, nil)}
			if r, err := treeServers(t, test.tree).VerifyTree(b, dir); err != nil {
				t.Errorf("%s: %v, %+v", test.name, err, r)
			}
			if r, err := treeServers(t, test.tree).RepairTree(b, dir, MendTree{Delete: true}); err != nil || !r.AlreadyRight {
				t.Errorf("%s: a repair: %+v, %v", test.name, r, err)
			}
			test.there.has(t, dir)
		})
	}
}

// A run that was cut off while it moved is finished by one with a filter.
func TestRepairTreeOfWhatIsChosenFinishesMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir := varied(), t.TempDir()
		m.without("a/small", "b/deep/below", "b/hollow").write(t, dir)
		sample{"a/small": m["a/small"], "b/deep/below": m["b/deep/below"], "b/hollow": []byte(nil)}.write(t, filepath.Join(dir, mendName))
		b := Ballot{Filter: filter.New(rules("+a/"), nil)}
		if _, err := treeServers(t, m).RepairTree(b, dir, MendTree{Delete: true}); err != nil {
			t.Fatal(err)
		}
		m.has(t, dir)
	})
}

// Of a large file only the chunks that differ are fetched, also where it is
// longer or shorter; the rest is copied, and the old file stays until then.
func TestRepairTreeFetchesChunks(t *testing.T) {
	big := file(5*chunk+77, 1)
	for _, test := range []struct {
		name    string
		there   func([]byte) []byte
		fetched int64
	}{
		{"one byte", func(b []byte) []byte { b[2*chunk+5] ^= 1; return b }, chunk},
		{"its end", func(b []byte) []byte { return b[:3*chunk+9] }, 2*chunk + 77},
		{"more behind it", func(b []byte) []byte { return append(b, 1, 2, 3) }, 0},
		{"all of it", func(b []byte) []byte { return file(len(b), 9) }, 5*chunk + 77},
		{"nothing there", func(b []byte) []byte { return nil }, 5*chunk + 77},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, dir := sample{"d/big": big, "f": []byte("f")}, t.TempDir()
			m.with(sample{"d/big": append([]byte{}, test.there(slices.Clone(big))...)}).write(t, dir)
			r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{})
			if err != nil || r.Fetched != test.fetched || r.Resumed != int64(len(big))-test.fetched || r.Replaced != 1 {
				t.Errorf("%s: %+v, %v, want %d bytes fetched", test.name, r, err, test.fetched)
			}
			m.has(t, dir)
		})
	}
}

// A chunk whose value nobody gives is fetched.
func TestRepairTreeWithoutValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := file(5*chunk+77, 1)
		m, dir := sample{"big": big, "f": []byte("f")}, t.TempDir()
		listing, files := m.listing(t)
		refused := 0
		first := func(c *sourcetest.Conn) {
			values := c.OnValues
			c.OnValues = func(ctx context.Context, o source.Offer, came func(int)) (wire.Values, error) {
				if refused++; refused == 1 {
					return wire.Values{}, &source.Fault{What: source.Lost, Words: "not now"}
				}
				return values(ctx, o, came)
			}
		}
		sources := []source.Source{sourcetest.HolderOfTree(place(0), listing, files, first)}
		s := Open(t.Context(), Servers{Sources: sources}, Watch{})
		defer s.Close()
		there := slices.Clone(big)
		there[chunk] ^= 1
		m.with(sample{"big": there}).write(t, dir)
		r, err := s.RepairTree(Ballot{}, dir, MendTree{})
		if err != nil || refused < 2 || r.Fetched != 2*chunk {
			t.Errorf("%+v, %v, asked %d times, want that the first chunk is fetched too", r, err, refused)
		}
		m.has(t, dir)
	})
}
