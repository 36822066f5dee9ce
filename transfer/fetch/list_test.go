package fetch

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/partfile"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// choosing returns a filter of patterns, those with a "!" in front excluded.
func choosing(t *testing.T, patterns ...string) *filter.Filter {
	t.Helper()
	var rules []filter.Rule
	for _, p := range patterns {
		read := filter.Include
		if rest, excluded := strings.CutPrefix(p, "!"); excluded {
			p, read = rest, filter.Exclude
		}
		rule, err := read(p)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, rule)
	}
	return filter.New(rules, nil)
}

// pathList returns a filter of a list of paths.
func pathList(t *testing.T, paths ...string) *filter.Filter {
	t.Helper()
	list, err := filter.ParsePaths([]byte(strings.Join(paths, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return filter.New(nil, list)
}

// What a filter chooses is copied, and nothing else; the result proves it.
func TestGetChosen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := varied()
		dir := t.TempDir()
		s := treeServers(t, m)
		r, err := s.Get(Ballot{Filter: choosing(t, "a/", "b/link", "!*")}, Output{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		want := sample{}
		for _, path := range []string{"a/empty", "a/small", "a/run.sh", "a/big", "b/link"} {
			want[path] = m[path]
		}
		want.has(t, filepath.Join(dir, "tree"))
		whole, _ := m.listing(t)
		part, _ := want.listing(t)
		if r.Checksum != sumOf(t, whole) || r.Tree.Chosen != sumOf(t, part) || len(r.Tree.Entries) != 5 || r.Tree.Totals.Files != 4 {
			t.Errorf("result %+v", r.Tree)
		}
		// The journal names what is copied, not the whole directory.
		if s.download.treeSum() != r.Tree.Chosen {
			t.Error("the unfinished copy is named after the whole directory")
		}
		if r.Tree.FilesDone != 4 {
			t.Errorf("%d files are done, want 4", r.Tree.FilesDone)
		}
	})
}

func TestChosenIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := treeServers(t, varied())
		for want, f := range map[string]*filter.Filter{
			"nothing of the directory is chosen":                     choosing(t, "*.none"),
			`the directory has no "a/none"`:                          pathList(t, "a/small", "a/none"),
			`the directory lacks 2 of the paths, the first is "c/d"`: pathList(t, "c/d", "c/e", "same"),
		} {
			dir := t.TempDir()
			_, err := s.Get(Ballot{Filter: f}, Output{Dir: dir})
			if err == nil || err.Error() != want || KindOf(err) != KindVote {
				t.Errorf("got %v, want %s", err, want)
			}
			sample{}.has(t, dir)
		}
		file := Open(t.Context(), Servers{Sources: []source.Source{sourcetest.Holder(place(0), []byte("x"), nil)}}, Watch{})
		defer file.Close()
		if _, err := file.Get(Ballot{Filter: choosing(t, "a")}, Output{Dir: t.TempDir()}); !as[*FileOfferedError](err) {
			t.Errorf("of a file: got %v", err)
		}
	})
}

// The times of what is chosen are its own.
func TestTimesAmong(t *testing.T) {
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	all := []wire.Entry{{Path: "a"}, {Path: "b/a"}, {Path: "c/a/b"}, {Path: "c/a/c"}, {Path: "c/b/a"}, {Path: "d/a"}}
	times := &wire.Times{Entries: []time.Time{at(1), at(2), at(3), at(4), at(5), at(6)}}
	for i := range 6 { // of "", b, c, c/a, c/b; one server says nothing of d
		times.Directories = append(times.Directories, at(int64(10+i)))
	}
	times.Directories = times.Directories[:5]
	got := timesAmong(times, all, []wire.Entry{all[1], all[4], all[5]})
	if want := []time.Time{at(2), at(5), at(6)}; !slices.Equal(got.Entries, want) {
		t.Errorf("got %v, want %v", got.Entries, want)
	}
	if want := []time.Time{at(10), at(11), at(12), at(14)}; !slices.Equal(got.Directories, want) {
		t.Errorf("of directories: got %v, want %v", got.Directories, want)
	}
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := varied()
		s := treeServers(t, m)
		r, err := s.List(Ballot{})
		if err != nil || !r.Tree || r.Name != "tree" || len(r.Entries) != len(m) {
			t.Fatalf("got %+v, %v", r, err)
		}
		if r, err = s.List(Ballot{Filter: choosing(t, "same")}); err != nil || len(r.Entries) != 1 || r.Entries[0].Path != "same" {
			t.Errorf("chosen: got %+v, %v", r, err)
		}
		file := Open(t.Context(), Servers{Sources: []source.Source{sourcetest.Holder(place(0), []byte("x"), nil)}}, Watch{})
		defer file.Close()
		if r, err = file.List(Ballot{}); err != nil || r.Tree || len(r.Entries) != 1 || r.Entries[0].Path != "data.bin" || r.Entries[0].Size != 1 {
			t.Errorf("of a file: got %+v, %v", r, err)
		}
	})
}

// A plan writes nothing, and says what Get would do.
func TestPlanOfTrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := treeServers(t, varied())
		p, err := s.Plan(Ballot{}, Output{Dir: dir})
		if err != nil || p.Action != partfile.Fetch || p.Missing != p.Size || len(p.Tree.Entries) != 9 || p.Path != filepath.Join(dir, "tree") {
			t.Errorf("got %+v, %v", p, err)
		}
		sample{}.has(t, dir)
		if _, err := s.Get(Ballot{}, Output{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Plan(Ballot{}, Output{Dir: dir}); !as[*TargetError](err) {
			t.Errorf("got %v, want that something is in the way", err)
		}
	})
}

// One stray file that nobody asked for does not decide: what is chosen is voted
// on, and comes from all who have it.
func TestVoteOnChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sources := []source.Source{sourcetest.Holder(place(0), []byte("a file"), nil)}
		for i, stray := range []string{"x", "y", "z", "u"} {
			m := varied()
			m[".stray"] = []byte(stray)
			if i == 0 {
				m["same"] = []byte("another one")
			}
			listing, files := m.listing(t)
			sources = append(sources, sourcetest.HolderOfTree(place(i+1), listing, files, nil))
		}
		var voted []Voted
		s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) {
			if e, ok := e.(Voted); ok {
				voted = append(voted, e)
			}
		}})
		defer s.Close()
		dir := t.TempDir()
		if _, err := s.Get(Ballot{}, Output{Dir: dir}); !as[*UndecidedError](err) {
			t.Fatalf("of all: got %v", err)
		}
		if _, err := s.Get(Ballot{Filter: choosing(t, ".stray")}, Output{Dir: dir}); !as[*UndecidedError](err) {
			t.Fatalf("of what differs: got %v", err)
		}
		sample{}.has(t, dir)
		if _, err := s.Get(Ballot{Filter: choosing(t, "same", "a/small")}, Output{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		m := varied()
		sample{"same": m["same"], "a/small": m["a/small"]}.has(t, filepath.Join(dir, "tree"))
		if len(voted) != 1 || voted[0].Choice != 3 || voted[0].Result.Winner != 2 {
			t.Errorf("got %+v", voted)
		}
	})
}
