package filter

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"malcolm/wire"
)

// rules reads words such as "+*.jpg" (include) and "-cache/" (exclude).
func rules(t rapid.TB, words ...string) (list []Rule) {
	t.Helper()
	for _, w := range words {
		read := Exclude
		if w[0] == '+' {
			read = Include
		}
		r, err := read(w[1:])
		if err != nil {
			t.Fatalf("%q: %v", w, err)
		}
		list = append(list, r)
	}
	return list
}

// entries returns files; a slash at the end of a path makes an empty directory,
// an "@" a link.
func entries(paths ...string) (list []wire.Entry) {
	for _, p := range paths {
		e := wire.Entry{Path: p}
		if name, ok := strings.CutSuffix(p, "/"); ok {
			e = wire.Entry{Kind: wire.EntryDirectory, Path: name}
		} else if name, ok := strings.CutSuffix(p, "@"); ok {
			e = wire.Entry{Kind: wire.EntryLink, Path: name, Target: "x"}
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

func names(list []wire.Entry) (text string) {
	for _, e := range list {
		text += " " + e.Path
	}
	return strings.TrimPrefix(text, " ")
}

func TestRules(t *testing.T) {
	tree := entries("a.jpg", "a.tmp", "b/c.jpg", "b/d.txt", "b/e.tmp", "build/keep.txt", "build/x/y.jpg", "empty/", "empty.jpg/", "link@")
	tests := []struct{ rules, want string }{
		{"", "a.jpg a.tmp b/c.jpg b/d.txt b/e.tmp build/keep.txt build/x/y.jpg empty empty.jpg link"},
		{"+*.jpg", "a.jpg b/c.jpg build/x/y.jpg empty.jpg"},
		{"-*.tmp", "a.jpg b/c.jpg b/d.txt build/keep.txt build/x/y.jpg empty empty.jpg link"},
		{"+*.jpg -build/", "a.jpg b/c.jpg build/x/y.jpg empty.jpg"},
		{"-build/ +*.jpg", "a.jpg b/c.jpg empty.jpg"},
		{"+build/keep.txt -build/", "build/keep.txt"},
		{"-b/ -build", "a.jpg a.tmp empty empty.jpg link"},
		{"-build/x +build/", "build/keep.txt"},
		{"+b -*.tmp", "b/c.jpg b/d.txt b/e.tmp"},
		{"-*.tmp +b", "b/c.jpg b/d.txt"},
		{"-link/ -empty/", "a.jpg a.tmp b/c.jpg b/d.txt b/e.tmp build/keep.txt build/x/y.jpg empty.jpg link"},
		{"+empty", "empty"},
		{"-**", ""},
		{"+none", ""},
	}
	for _, test := range tests {
		f := New(rules(t, strings.Fields(test.rules)...), nil)
		if got := names(f.Entries(tree)); got != test.want {
			t.Errorf("%s: %s, want %s", test.rules, got, test.want)
		}
	}
}

// A directory is not read when nothing beneath it can be chosen.
func TestDirectoryWithNothingChosenIsNotRead(t *testing.T) {
	tests := []struct {
		rules, dir string
		want       bool
	}{
		{"-a", "a", false},
		{"-a", "b", true},
		{"-a/", "b/a", false},
		{"+*.jpg -a", "a", true}, // a/x.jpg
		{"-a +*.jpg", "a", false},
		{"+a/b", "a", true},
		{"+a/b", "c", false},
		{"+a/b", "a/c", false},
		{"+a/b", "a/b", true},
		{"+a/*/c", "a/x", true},
		{"+a/*/c", "a/x/y", false},
		{"+a/b -a", "a", true},
		{"-a +a/b", "a", false},
		{"-a/** +b", "a", true},
	}
	for _, test := range tests {
		at, some := New(rules(t, strings.Fields(test.rules)...), nil).Root(), true
		for part := range strings.SplitSeq(test.dir, "/") {
			at, some = at.Sub(part)
		}
		if some != test.want {
			t.Errorf("%s: something in %s: %v, want %v", test.rules, test.dir, some, test.want)
		}
	}
}

// A nil filter chooses everything.
func TestNoFilter(t *testing.T) {
	f := New(nil, nil)
	tree := entries("a", "b/c")
	if f != nil || len(f.Entries(tree)) != 2 || f.Missing(tree) != nil {
		t.Error("no rule, and something is left out")
	}
	sub, some := f.Root().Sub("b")
	if !some || !sub.Chooses("c", false) {
		t.Error("no rule, and nothing is chosen")
	}
}

var drawName = rapid.StringMatching(`[ab]{1,2}`)

var drawPath = rapid.Custom(func(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(drawName, 1, 4).Draw(t, "parts"), "/") + rapid.SampledFrom([]string{"", "", "/", "@"}).Draw(t, "kind")
})

var drawPattern = rapid.Custom(func(t *rapid.T) string {
	part := rapid.SampledFrom([]string{"**", "*", "a", "b", "ab", "a*", "*b", "?", "?a", "[!a]", "[a-b]b", "{a,b}", "{a*,**}", `\a`})
	return rapid.SampledFrom([]string{"", "", "/"}).Draw(t, "front") + strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "parts"), "/") +
		rapid.SampledFrom([]string{"", "", "/"}).Draw(t, "end")
})

var drawRules = rapid.Custom(func(t *rapid.T) (words []string) {
	for _, p := range rapid.SliceOfN(drawPattern, 0, 4).Draw(t, "patterns") {
		sign := rapid.SampledFrom([]string{"+", "-"}).Draw(t, "sign")
		if trimmed := strings.TrimPrefix(p, "/"); sign == "+" && (trimmed == "*/" || trimmed == "**/") {
			sign = "-"
		}
		words = append(words, sign+p)
	}
	return words
})

// drawTree draws entries that make a tree.
var drawTree = rapid.Custom(func(t *rapid.T) (tree []wire.Entry) {
	for _, e := range entries(rapid.SliceOfN(drawPath, 0, 12).Draw(t, "paths")...) {
		if n := len(tree); n == 0 || e.Path != tree[n-1].Path && !strings.HasPrefix(e.Path, tree[n-1].Path+"/") {
			tree = append(tree, e)
		}
	}
	return tree
})

// regular returns the regular expression of what a pattern matches, without
// what lies beneath.
func regular(pattern string) string {
	pattern = strings.TrimSuffix(pattern, "/")
	front := "^"
	if !strings.Contains(pattern, "/") {
		front = "^(?:.*/)?"
	}
	r := strings.NewReplacer("{a,b}", "(?:a|b)", "**/", "(?:[^/]+/)*", "**", "[^/]+(?:/[^/]+)*", "*", "[^/]*", "?", "[^/]", "[!a]", "[^/a]", `\a`, "a")
	return front + r.Replace(strings.TrimPrefix(pattern, "/")) + "$"
}

// naive says of a path whether it is chosen, by the words of the package
// comment.
func naive(words []string, path string, isDir bool) bool {
	chosen := !slices.ContainsFunc(words, func(w string) bool { return w[0] == '+' })
	for _, w := range words {
		texts := []string{w[1:]}
		if before, after, ok := strings.Cut(w[1:], "{a*,**}"); ok {
			texts = []string{before + "a*" + after, before + "**" + after}
		}
		for _, text := range texts {
			re := regexp.MustCompile(regular(text))
			for at := path; at != ""; {
				if re.MatchString(at) && (at != path || isDir || !strings.HasSuffix(text, "/")) {
					return w[0] == '+'
				}
				i := strings.LastIndexByte(at, '/')
				at = at[:max(i, 0)]
			}
		}
	}
	return chosen
}

// isBraced reports whether a pattern has more braces than naive knows.
func isBraced(words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Count(w, "{a*,**}") > 1 })
}

// What a walk chooses is what the rules choose path by path, and nothing lies
// beneath a directory that need not be read.
func TestFilterAgainstWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := drawRules.Filter(func(words []string) bool { return !isBraced(words) }).Draw(t, "rules")
		f := New(rules(t, words...), nil)
		tree := drawTree.Draw(t, "tree")
		var want []wire.Entry
		for _, e := range tree {
			isDir := e.Kind == wire.EntryDirectory
			chosen := naive(words, e.Path, isDir)
			if chosen {
				want = append(want, e)
			}
			if got := scanned(f, e.Path, isDir); got != chosen {
				t.Fatalf("%q: %q chosen by a scan: %v, want %v", words, e.Path, got, chosen)
			}
		}
		if got := f.Entries(tree); !slices.Equal(got, want) {
			t.Fatalf("%q: chosen %q, want %q", words, names(got), names(want))
		}
	})
}

// scanned goes down to a path only where something may be chosen.
func scanned(f *Filter, path string, isDir bool) bool {
	at := f.Root()
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return at.Chooses(name, isDir)
		}
		var some bool
		if at, some = at.Sub(name); !some {
			return false
		}
		path = rest
	}
}

// A list chooses what is named in it, with all beneath.
func TestListAgainstWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		for _, p := range rapid.SliceOfN(drawPath, 0, 6).Draw(t, "lines") {
			lines = append(lines, strings.TrimSuffix(p, "@"))
		}
		p, err := ParsePaths([]byte(strings.Join(lines, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		words := rapid.SampledFrom([][]string{nil, {"-b"}}).Draw(t, "rules")
		f := New(rules(t, words...), p)
		tree := drawTree.Draw(t, "tree")
		var want []wire.Entry
		found := make(map[string]bool)
		for _, e := range tree {
			isDir := e.Kind == wire.EntryDirectory
			listed := false
			for _, line := range lines {
				name, folder := strings.CutSuffix(line, "/")
				if e.Path == name && (isDir || !folder) || strings.HasPrefix(e.Path, name+"/") {
					listed, found[name] = true, true
				}
			}
			listed = listed && naive(words, e.Path, isDir)
			if listed {
				want = append(want, e)
			}
			if scanned(f, e.Path, isDir) != listed {
				t.Fatalf("%q: %q chosen by a scan: %v", lines, e.Path, !listed)
			}
		}
		if got := f.Entries(tree); !slices.Equal(got, want) {
			t.Fatalf("%q: chosen %q, want %q", lines, names(got), names(want))
		}
		for _, name := range f.Missing(tree) {
			if found[name] {
				t.Fatalf("%q is missing, and is there", name)
			}
			delete(found, name)
			lines = slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSuffix(line, "/") == name })
		}
		for _, line := range lines {
			if !found[strings.TrimSuffix(line, "/")] {
				t.Fatalf("%q is there, and is missing", line)
			}
		}
	})
}

func TestParsePaths(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "[]"},
		{"a\nb/c\n", "[{a false} {b/c false}]"},
		{"b\na", "[{a false} {b false}]"},
		{"a-b\na/b\na/\n", "[{a true} {a/b false} {a-b false}]"},
		{"a/\na\na\n", "[{a false}]"},
		{"\n\n./a\n/b\n.//c\n#d\n", "[{#d false} {a false} {b false} {c false}]"},
		{"a\nb\x00c\x00", "[{a\nb false} {c false}]"},
		{"\xff \r\n", "[{\xff \r false}]"},
	}
	for _, test := range tests {
		if p, err := ParsePaths([]byte(test.text)); err != nil || fmt.Sprint(p.sorted) != test.want {
			t.Errorf("%q: %q, %v, want %q", test.text, fmt.Sprint(p.sorted), err, test.want)
		}
	}
	long := strings.Repeat("a/", 2047) + "ab"
	for text, want := range map[string]string{
		".": "line 1 is the root", "a\n/": "line 2 is the root", "a//b": "empty part", "a/../b": "empty part",
		"a/./b": "empty part", strings.Repeat("a", 256): "longer than a path", long + "c": "longer than a path", long + "cdef": "line 1 has 4100 bytes",
		strings.Repeat("a\n", wire.MaxEntries+1): "over 1048576 paths",
	} {
		if _, err := ParsePaths([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	if _, err := ParsePaths([]byte("./" + long + "\n")); err != nil {
		t.Error(err)
	}
}

// Paths as deep as they can be cost a step for each part that is new.
func TestDeepListing(t *testing.T) {
	const n = 30000
	deep := strings.Repeat("a/", 2000)
	tree := make([]wire.Entry, n)
	for i := range tree {
		tree[i].Path = fmt.Sprintf("%s%06d", deep, i)
	}
	f := New(rules(t, "+**/a/**/x", "-b"), nil)
	if got := f.Entries(tree); len(got) != 0 {
		t.Errorf("%d entries are chosen", len(got))
	}
}
