package each

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/vote"
	"malcolm/wire"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A said is a server with what it offers: a host, an ID and a tree, in words
// such as "a=1 b/c=2 d>x e/": files of a content, a link, an empty directory.
type said struct {
	host string
	id   byte
	tree string
}

func entriesOf(words string) (list []wire.Entry) {
	for word := range strings.FieldsSeq(words) {
		var e wire.Entry
		if path, content, ok := strings.Cut(word, "="); ok {
			e = wire.Entry{Path: path, Size: 1, Checksum: [32]byte{content[0]}}
		} else if path, target, ok := strings.Cut(word, ">"); ok {
			e = wire.Entry{Path: path, Kind: wire.EntryLink, Target: target}
		} else {
			e = wire.Entry{Path: strings.TrimSuffix(word, "/"), Kind: wire.EntryDirectory}
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b wire.Entry) int {
		if wire.PathLess(a.Path, b.Path) {
			return -1
		}
		return 1
	})
	return list
}

func wordsOf(list []wire.Entry) string {
	var words []string
	for _, e := range list {
		switch {
		case e.IsFile():
			words = append(words, fmt.Sprintf("%s=%c", e.Path, e.Checksum[0]))
		case e.Kind == wire.EntryLink:
			words = append(words, e.Path+">"+e.Target)
		default:
			words = append(words, e.Path+"/")
		}
	}
	return strings.Join(words, " ")
}

// poll returns the jury of servers, and the listings of its groups. A tree "?"
// is not known.
func poll(o vote.Options, servers []said) (*vote.Jury, []Listing) {
	var list []vote.Server
	for _, s := range servers {
		list = append(list, vote.Server{Host: s.host})
	}
	b := vote.New(list, o)
	trees := make(map[string]byte)
	for i, s := range servers {
		sum, ok := trees[s.tree]
		if !ok {
			sum = byte(1 + len(trees))
			trees[s.tree] = sum
		}
		b.Answer(i, vote.Offer{ID: vote.ID{s.id}, Tree: true, Size: 1, Checksum: [32]byte{sum}, Name: "t"}, start)
	}
	var listings []Listing
	for g, group := range b.Result().Groups {
		if tree := servers[group.Servers[0]].tree; tree != "?" {
			listings = append(listings, Listing{g, entriesOf(tree)})
		}
	}
	return b.Jury(), listings
}

// of returns a server for each tree, each a host with an ID of its own.
func of(trees ...string) (servers []said) {
	for i, tree := range trees {
		servers = append(servers, said{string(rune('a' + i)), byte(1 + i), tree})
	}
	return servers
}

func TestPaths(t *testing.T) {
	tests := []struct {
		trees []string
		want  string // or the error
	}{
		{[]string{"a=1"}, "a=1"},
		{[]string{"a=1 b=1", "a=1 b=2", "a=2 b=1"}, "a=1 b=1"},
		{[]string{"a=1 b=1", "a=1", "a=1"}, "a=1"},
		{[]string{"a=1 b=1", "a=1 b=1", "a=1"}, "a=1 b=1"},
		{[]string{"a=1 b=1", "a=1"}, ErrUndecided.Error()},
		{[]string{"a=1", "a=2", "a=3"}, ErrUndecided.Error()},
		{[]string{"a=1", "a/b=1", "a/b=1"}, "a/b=1"},
		{[]string{"a/", "a/b=1", "a/b=2"}, ErrUndecided.Error()},
		{[]string{"a>x", "a>x", "a=1"}, "a>x"},
		{[]string{"a=1", "", ""}, ""},
		{[]string{"a=1", "?"}, ErrTooFew.Error()},
		{[]string{"a=1", "a=1", "?"}, "a=1"},
		{[]string{"a=1", "a=2", "?"}, ErrUndecided.Error()},
		{[]string{"a=1", "a=2", "?", "?"}, ErrTooFew.Error()},
		{[]string{"?"}, ErrTooFew.Error()},
		{nil, ErrTooFew.Error()},
	}
	for _, test := range tests {
		got := ""
		if entries, err := Paths(poll(vote.Options{}, of(test.trees...))); err != nil {
			got = err.Error()
		} else {
			got = wordsOf(entries)
		}
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.trees, got, test.want)
		}
	}
}

// Hosts, IDs and the quorum count at a path as they do for a file.
func TestRulesOfTheVote(t *testing.T) {
	two := []said{{"a", 1, "x=1"}, {"a", 2, "x=1"}, {"a", 3, "x=1"}, {"b", 4, "x=2"}, {"c", 5, "x=2"}}
	if got, err := Paths(poll(vote.Options{}, two)); err != nil || wordsOf(got) != "x=2" {
		t.Errorf("three servers of a host against two hosts: %s, %v", wordsOf(got), err)
	}
	same := []said{{"a", 1, "x=1"}, {"b", 1, "x=1"}, {"c", 2, "x=2"}, {"d", 3, "x=2"}}
	if got, err := Paths(poll(vote.Options{}, same)); err != nil || wordsOf(got) != "x=2" {
		t.Errorf("one ID at two hosts against two IDs: %s, %v", wordsOf(got), err)
	}
	jury, listings := poll(vote.Options{Quorum: 3}, of("x=1 y=1", "x=1 y=1", "x=1 y=2"))
	if got, err := Paths(jury, listings); !errors.Is(err, ErrUndecided) {
		t.Errorf("two of three votes, the quorum is three: %s, %v", wordsOf(got), err)
	}
	for v, why := range Undecided(jury, listings) {
		if v.Path != "y" || why != vote.TooFewVotes || v.Entries[0].Checksum != [32]byte{'1'} || v.Entries[1].Checksum != [32]byte{'2'} {
			t.Errorf("%q is undecided: %d", v.Path, why)
		}
	}
}

// What is no tree is refused, wherever it comes from: here from a listing that
// is none.
func TestResultThatIsNoTreeIsRefused(t *testing.T) {
	jury, listings := poll(vote.Options{}, of("a>b/c b/c=1"))
	if _, err := Paths(jury, listings); err != nil {
		t.Fatal(err)
	}
	listings[0].Entries = entriesOf("a>b/c b>x")
	_, err := Paths(jury, listings)
	noTree, ok := errors.AsType[*NoTreeError](err)
	if !ok || noTree.Path != "a" || !strings.Contains(err.Error(), "through another link") {
		t.Errorf("a link through another one: %v", err)
	}
	listings[0].Entries = entriesOf("a=1 a/b=2")
	if noTree, ok = errors.AsType[*NoTreeError](second(Paths(jury, listings))); !ok || noTree.Path != "a/b" {
		t.Errorf("a file in a file: %v", noTree)
	}
}

func second(_ []wire.Entry, err error) error { return err }

func TestWhole(t *testing.T) {
	// Three trees, of which the filter leaves two.
	jury, listings := poll(vote.Options{}, of("a=1 .x=1", "a=1 .x=2", "a=2"))
	for i := range listings {
		listings[i].Entries = slices.DeleteFunc(listings[i].Entries, func(e wire.Entry) bool { return e.Path == ".x" })
	}
	winner, says, why := Whole(jury, listings)
	if winner != 0 || why != vote.Decided || !slices.Equal(says, []int{0, 0, 2}) {
		t.Errorf("listing %d wins of %v (%d)", winner, says, why)
	}
	if got := jury.Votes(says); !slices.Equal(got, []int{2, 2, 1}) {
		t.Errorf("votes %v", got)
	}
	if winner, _, why := Whole(jury, listings[1:]); winner != -1 || why != vote.NoMajority {
		t.Errorf("listing %d wins (%d), with one vote of three", winner, why)
	}
	if winner, _, why := Whole(jury, nil); winner != -1 || why != vote.NoMajority {
		t.Errorf("listing %d wins (%d), without a listing", winner, why)
	}
}

// A path has the majority that a ballot on it alone would have, and all of them
// are a tree.
func TestPathsAgainstBallots(t *testing.T) {
	trees := rapid.SampledFrom([]string{
		"a=1", "a=2", "a/b=1", "a/b=1 c=1", "a/b=2 c=1", "a/ c=1", "a>c c=1", "c>a/b a/b=1", "c>a/b a/", "", "?", "a>x", "b/c=1 a/b=1 c=2",
	})
	server := rapid.Custom(func(t *rapid.T) said {
		return said{rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "host"), byte(rapid.IntRange(1, 5).Draw(t, "ID")), trees.Draw(t, "tree")}
	})
	rapid.Check(t, func(t *rapid.T) {
		servers := rapid.SliceOfN(server, 1, 7).Draw(t, "servers")
		jury, listings := poll(vote.Options{}, servers)
		got, err := Paths(jury, listings)
		if errors.Is(err, ErrTooFew) {
			return
		}
		want, undecided := ballots(servers)
		for v := range Undecided(jury, listings) {
			if len(undecided) == 0 || undecided[0] != v.Path {
				t.Fatalf("%v: %q is undecided, want %q", servers, v.Path, undecided)
			}
			undecided = undecided[1:]
		}
		_, noTree := errors.AsType[*NoTreeError](err)
		switch {
		case len(undecided) > 0:
			t.Fatalf("%v: %q are undecided too", servers, undecided)
		case err == nil && wordsOf(got) != wordsOf(want):
			t.Fatalf("%v: %s, want %s", servers, wordsOf(got), wordsOf(want))
		case noTree && wire.CheckEntries(want) == nil:
			t.Fatalf("%v: %v, want %s", servers, err, wordsOf(want))
		}
	})
}

// ballots holds a vote on each path of all trees.
func ballots(servers []said) (entries []wire.Entry, undecided []string) {
	all := make(map[string]bool)
	for _, s := range servers {
		for _, e := range entriesOf(strings.TrimSuffix(s.tree, "?")) {
			all[e.Path] = true
		}
	}
	var paths []wire.Entry
	for path := range all {
		paths = append(paths, wire.Entry{Path: path})
	}
	for _, p := range entriesOf(strings.ReplaceAll(wordsOf(paths), "=\x00", "=1")) {
		var list []vote.Server
		for _, s := range servers {
			list = append(list, vote.Server{Host: s.host})
		}
		b := vote.New(list, vote.Options{})
		answers := []wire.Entry{{}, {Path: "?"}} // what was said, the first is absence
		for i, s := range servers {
			var has wire.Entry
			for _, e := range entriesOf(strings.TrimSuffix(s.tree, "?")) {
				if e.Path == p.Path {
					has = e
				}
			}
			if s.tree == "?" {
				has = answers[1]
			}
			n := slices.Index(answers, has)
			if n < 0 {
				n = len(answers)
				answers = append(answers, has)
			}
			b.Answer(i, vote.Offer{ID: vote.ID{s.id}, Checksum: [32]byte{byte(n)}}, start)
		}
		switch r := b.Result(); {
		case r.Winner < 0 || r.Groups[r.Winner].Checksum[0] == 1:
			undecided = append(undecided, p.Path)
		case r.Groups[r.Winner].Checksum[0] > 0:
			entries = append(entries, answers[r.Groups[r.Winner].Checksum[0]])
		}
	}
	return entries, undecided
}
