package names

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"malcolm/wire"
)

func files(paths ...string) (list []wire.Entry) {
	for _, p := range paths {
		list = append(list, wire.Entry{Path: p})
	}
	slices.SortFunc(list, func(a, b wire.Entry) int {
		if wire.PathLess(a.Path, b.Path) {
			return -1
		}
		return 1
	})
	return list
}

func plain(problems []Problem) (text string) {
	for _, p := range problems {
		text += fmt.Sprintf(" %d:%s", p.Fault, p.Path)
		if p.Other != "" {
			text += "=" + p.Other
		}
	}
	return strings.TrimPrefix(text, " ")
}

func TestCollisions(t *testing.T) {
	cases, full := System{Case: FoldsCases}, System{Case: FoldsFully}
	form, both := System{Form: true}, System{Case: FoldsFully, Form: true}
	tests := []struct {
		system System
		paths  string
		want   string
	}{
		{System{}, "a A", ""},
		{cases, "a A", "1:a=A"},
		{cases, "a b/A", ""},
		{cases, "a/b A/c", "1:a=A"},
		{cases, "a/b/x a/B/y c/b", "1:a/b=a/B"},
		{cases, "a/b A/b", "1:a=A"},
		{cases, "a a.b A", "1:a=A"},
		{cases, "aa aA AA", "1:aA=AA 1:aa=aA"},
		{cases, "ä Ä", "1:ä=Ä"},
		{cases, "k K \u212a", "1:k=K 1:\u212a=k"},
		{cases, "ß SS ẞ", "1:ẞ=ß"},
		{full, "ß ss ẞ", "1:ß=ss 1:ẞ=ß"},
		{cases, "\xff\xe4a \xff\xe4A", "1:\xff\xe4a=\xff\xe4A"},
		{cases, "\xffa \xfea", ""},
		{cases, "\u00e4 a\u0308", ""},
		{form, "\u00e4 a\u0308", "2:\u00e4=a\u0308"},
		{form, "\u00e4 A\u0308", ""},
		{both, "\u00e4 A\u0308", "2:\u00e4=A\u0308"},
		{form, "a\u0323\u0307 a\u0307\u0323", "2:a\u0323\u0307=a\u0307\u0323"},
		{form, "a\u0301\u0300 a\u0300\u0301", ""}, // marks of one class keep their order
		{form, "\uac01 \u1100\u1161\u11a8", "2:\uac01=\u1100\u1161\u11a8"},
		{form, "\uac00 \u1100\u1161", "2:\uac00=\u1100\u1161"},
		{form, "\ud7a3 \u1112\u1175\u11c2", "2:\ud7a3=\u1112\u1175\u11c2"},
		{form, "\u1e69 s\u0323\u0307 \u1e61\u0323", "2:\u1e61\u0323=s\u0323\u0307 2:\u1e69=\u1e61\u0323"},
		{form, "\u212b \u00c5", "2:\u212b=\u00c5"},
		{form, "\xff\u00e4 \xffa\u0308", "2:\xff\u00e4=\xffa\u0308"},
	}
	for _, test := range tests {
		got := plain(Problems(files(strings.Fields(test.paths)...), test.system, 10))
		if got != test.want {
			t.Errorf("%+v %q: %q, want %q", test.system, test.paths, got, test.want)
		}
	}
}

func TestNamesOfWindows(t *testing.T) {
	tests := []struct {
		path string
		want Fault
	}{
		{"a", 0},
		{"a b.c", 0},
		{"a:b", BadCharacter},
		{`a\b`, BadCharacter},
		{"a\tb", BadCharacter},
		{"a\x7f", 0},
		{"a?", BadCharacter},
		{"a.", BadEnd},
		{"a ", BadEnd},
		{"...", BadEnd},
		{" a", 0},
		{"nul", Reserved},
		{"Nul.tar.gz", Reserved},
		{"NUL .txt", Reserved},
		{"null", 0},
		{"com1", Reserved},
		{"com1.x", Reserved},
		{"LPT³", Reserved},
		{"com10", 0},
		{"comx", 0},
		{"com", 0},
		{"conin$", Reserved},
		{"con/a", Reserved},
		{"a/con/b", Reserved},
		{"a\xff", NotUTF8},
		{strings.Repeat("ä", 127), 0},
		{strings.Repeat("a", 255), 0},
	}
	for _, test := range tests {
		got := Problems(files(test.path), System{Windows: true}, 10)
		switch {
		case test.want == 0 && len(got) > 0, test.want != 0 && (len(got) != 1 || got[0].Fault != test.want):
			t.Errorf("%q: %q, want %d", test.path, plain(got), test.want)
		}
	}
	if got := windowsFault(strings.Repeat("𝄞", 127) + "ab"); got != TooLong {
		t.Errorf("256 code units: %d, want %d", got, TooLong)
	}
}

func TestOtherLimits(t *testing.T) {
	tests := []struct {
		system System
		entry  wire.Entry
		want   string
	}{
		{System{UTF8: true}, wire.Entry{Path: "a/\xff/b"}, "4:a/\xff"},
		{System{UTF8: true}, wire.Entry{Path: "a"}, ""},
		{System{}, wire.Entry{Path: "\xff"}, ""},
		{System{MaxPart: 3}, wire.Entry{Path: "abc/abcd/e"}, "3:abc/abcd"},
		{System{MaxPart: 3}, wire.Entry{Path: "abc/abc"}, ""},
		{System{Windows: true}, wire.Entry{Path: "l", Kind: wire.EntryLink, Target: "../a/./b"}, ""},
		{System{Windows: true}, wire.Entry{Path: "l", Kind: wire.EntryLink, Target: `a/..\..\b`}, "8:l"},
		{System{Windows: true}, wire.Entry{Path: "l", Kind: wire.EntryLink, Target: "c:"}, "8:l"},
	}
	for _, test := range tests {
		if got := plain(Problems([]wire.Entry{test.entry}, test.system, 10)); got != test.want {
			t.Errorf("%+v %q: %q, want %q", test.system, test.entry.Path, got, test.want)
		}
	}
}

// A directory's name is one problem, whatever is in it; and there are no more
// than were asked for.
func TestFewProblems(t *testing.T) {
	tree := files("A/x", "a/y", "b./x", "b./y", "b./z/x", "c./x", "d:", "e", "E", "f", "F")
	s := System{Windows: true, Case: FoldsCases}
	const all = "6:b. 6:c. 5:d: 1:a=A 1:e=E 1:f=F"
	for most := range 8 {
		want := strings.Join(strings.Fields(all)[:min(most, 6)], " ")
		if got := plain(Problems(tree, s, most)); got != want {
			t.Errorf("at most %d: %q, want %q", most, got, want)
		}
	}
}

func TestErrorsQuote(t *testing.T) {
	for fault := SameCase; fault <= BadTarget; fault++ {
		p := Problem{Fault: fault, Path: strings.Repeat("\n", 4096), Other: strings.Repeat("\x1b", 4096)}
		if text := p.Error(); strings.ContainsAny(text, "\n\x1b") || len(text) > 1200 || !strings.Contains(text, `\n"`) {
			t.Errorf("fault %d: %q", fault, text)
		}
	}
	p := Problem{Fault: SameCase, Path: "a", Other: "A"}
	if got, want := p.Error(), `"A" and "a" differ only by case, and are one name here`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Names are one if what they are folded to is one, and none is missed.
func TestProblemsAgainstPairs(t *testing.T) {
	name := rapid.StringOfN(rapid.RuneFrom([]rune("aAäÄ\u0308\u0323ßsS\u00e5\u030a\u0130i\u0307")), 1, 3, -1)
	path := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(name, 1, 3).Draw(t, "parts"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		s := System{Case: Folding(rapid.IntRange(0, 2).Draw(t, "case")), Form: rapid.Bool().Draw(t, "form")}
		var tree []wire.Entry
		names := make(map[string]bool) // of entries and directories
		for _, e := range files(rapid.SliceOfN(path, 0, 12).Draw(t, "paths")...) {
			if n := len(tree); n > 0 && (e.Path == tree[n-1].Path || strings.HasPrefix(e.Path, tree[n-1].Path+"/")) {
				continue
			}
			tree = append(tree, e)
			for i := range e.Path + "/" {
				if i == len(e.Path) || e.Path[i] == '/' {
					names[e.Path[:i]] = true
				}
			}
		}
		groups := make(map[string]int) // by directory and fold
		for path := range names {
			i := strings.LastIndexByte(path, '/') + 1
			groups[path[:i]+string(s.fold(nil, path[i:]))]++
		}
		want := len(names) - len(groups)
		found := Problems(tree, s, 1000)
		for _, p := range found {
			i := strings.LastIndexByte(p.Path, '/') + 1
			if !names[p.Path] || !names[p.Other] || !wire.PathLess(p.Other, p.Path) ||
				string(s.fold(nil, p.Path[i:])) != string(s.fold(nil, p.Other[i:])) || p.Path[:i] != p.Other[:i] {
				t.Fatalf("%+v: %q and %q are no one name", s, p.Path, p.Other)
			}
		}
		if len(found) != want {
			t.Fatalf("%+v: %d problems %q, want %d", s, len(found), plain(found), want)
		}
	})
}

// Folding what is folded changes nothing.
func TestFoldTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := System{Case: Folding(rapid.IntRange(0, 2).Draw(t, "case")), Form: rapid.Bool().Draw(t, "form")}
		name := rapid.String().Draw(t, "name") + string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		once := string(s.fold(nil, name))
		if twice := string(s.fold(nil, once)); once != twice {
			t.Fatalf("%+v %q: %q, then %q", s, name, once, twice)
		}
	})
}

// The tables are whole.
func TestTablesAreWhole(t *testing.T) {
	for _, test := range []struct{ got, want int }{{len(decompositions()), 2061}, {len(classes()), 912}, {len(foldings()), 104}} {
		if test.got != test.want {
			t.Errorf("%d characters, want %d", test.got, test.want)
		}
	}
}

// A million names in one directory cost a hash each.
func TestManyNames(t *testing.T) {
	tree := make([]wire.Entry, 1<<18)
	for i := range tree {
		tree[i].Path = fmt.Sprintf("n%08d", i)
	}
	tree[len(tree)-1].Path = "ä"
	tree[0].Path = "A\u0308"
	if got := Problems(tree, System{Case: FoldsCases, Form: true}, 10); len(got) != 1 {
		t.Errorf("%q, want one problem", plain(got))
	}
}

// Two names with one hash are compared.
func TestNamesWithOneHashAreCompared(t *testing.T) {
	c := collisions{system: System{Case: FoldsCases}, entries: files("a", "b"), most: 10}
	c.open = []directory{{names: []name{{key: 1, entry: 0}, {key: 1, entry: 1}}}}
	if c.close(); len(c.found) != 0 {
		t.Errorf("%q, want no problem", plain(c.found))
	}
}
