package mend

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"malcolm/wire"
)

// Trees and what is found are words: "a=1" is a file of a content, "a*1" one
// that may be executed, "a>b" a link, "a/" a directory, "a!" a special file,
// "a?" a file that cannot be read.

func cutWord(word string) (path string, sign byte, rest string) {
	i := strings.IndexAny(word, "=*>!?")
	if i < 0 {
		return strings.TrimSuffix(word, "/"), '/', ""
	}
	return word[:i], word[i], word[i+1:]
}

func treeOf(words string) (list []wire.Entry) {
	for word := range strings.FieldsSeq(words) {
		path, sign, rest := cutWord(word)
		e := wire.Entry{Path: path}
		switch sign {
		case '=', '*':
			e.Size, e.Checksum = int64(len(rest)), [32]byte{rest[0]}
			if sign == '*' {
				e.Kind = wire.EntryExecutable
			}
		case '>':
			e.Kind, e.Target = wire.EntryLink, rest
		default:
			e.Kind = wire.EntryDirectory
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b wire.Entry) int { return order(a.Path, b.Path) })
	return list
}

func order(a, b string) int {
	if wire.PathLess(a, b) {
		return -1
	}
	return 1
}

// foundOf returns what words say is there, with the directories above it.
func foundOf(words string, tree []wire.Entry) (list []Found) {
	seen := make(map[string]bool)
	for word := range strings.FieldsSeq(words) {
		path, sign, rest := cutWord(word)
		for i := range path {
			if path[i] == '/' && !seen[path[:i]] {
				seen[path[:i]] = true
				list = append(list, Found{Path: path[:i], Kind: Directory})
			}
		}
		f := Found{Path: path}
		switch sign {
		case '=', '*', '?':
			f.Kind, f.Executable, f.Size = File, sign == '*', int64(len(rest))
			for _, e := range tree {
				if e.Path != path || sign == '?' {
					continue
				}
				if f.Bytes = Wrong; e.Checksum == [32]byte{rest[0]} {
					f.Bytes = Right
				}
			}
		case '>':
			f.Kind, f.Target = Link, rest
		case '!':
			f.Kind = Special
		default:
			f.Kind = Directory
			if seen[path] {
				continue
			}
		}
		seen[path] = true
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Found) int { return order(a.Path, b.Path) })
	return list
}

var actions = map[Action]string{Leave: "leave", SetMode: "mode", Replace: "replace", Fetch: "fetch", Make: "make", Extra: "extra", Keep: "keep"}

func wordsOf(steps iter.Seq[Step]) string {
	var words []string
	for s := range steps {
		word := actions[s.Action] + ":"
		if s.Entry != nil {
			word += s.Entry.Path
		} else {
			word += s.Found.Path
		}
		if s.InWay {
			word += "!"
		}
		if s.Full {
			word += "/"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestPlan(t *testing.T) {
	tests := []struct{ tree, found, want string }{
		{"", "", ""},
		{"a=1", "", "fetch:a"},
		{"a=1", "a=1", "leave:a"},
		{"a=1", "a=2", "replace:a"},
		{"a=1", "a=11", "replace:a"},
		{"a=1", "a?", "replace:a"},
		{"a=1", "a*1", "mode:a"},
		{"a*1", "a=1", "mode:a"},
		{"a*1", "a=2", "replace:a"},
		{"a=1", "a>x", "replace:a"},
		{"a=1", "a/", "replace:a"},
		{"a>x", "", "make:a"},
		{"a>x", "a>x", "leave:a"},
		{"a>x", "a>y", "make:a"},
		{"a>x", "a=1", "make:a"},
		{"a/", "", "make:a"},
		{"a/", "a/", "leave:a"},
		{"a/", "a/b=1", "leave:a/ extra:a/b"},
		{"a/", "a>b", "make:a"},
		{"", "a=1 b/c=1 d/", "extra:a extra:b/ extra:b/c extra:d"},
		{"a/b=1", "a/b=1 a/c=1 a-b=1", "leave:a/b extra:a/c extra:a-b"},
		{"a-b=1 a/b=1", "a/b=1 a-b=1", "leave:a/b leave:a-b"},
		{"b=1", "a=1 c=1", "extra:a fetch:b extra:c"},
		// in the way
		{"a/b=1 c=1", "a=1 c=1", "extra:a! fetch:a/b leave:c"},
		{"a/b/c=1", "a/b>x", "extra:a/b! fetch:a/b/c"},
		{"a=1 ab=1", "a/b/c=1 a/d=1 ab=1", "extra:a!/ fetch:a extra:a/b!/ extra:a/b/c! extra:a/d! leave:ab"},
		{"a>x", "a/b=1 b=1", "extra:a!/ make:a extra:a/b! extra:b"},
		{"a/b=1", "a/", "fetch:a/b"},
		// special files
		{"", "a!", "keep:a"},
		{"a=1", "a!", "keep:a! fetch:a"},
		{"a/b=1", "a!", "keep:a! fetch:a/b"},
		{"a=1", "a/b!", "extra:a!/ fetch:a keep:a/b!"},
	}
	for _, test := range tests {
		tree := treeOf(test.tree)
		if got := wordsOf(Plan(tree, slices.Values(foundOf(test.found, tree)))); got != test.want {
			t.Errorf("%q where there is %q: %s, want %s", test.tree, test.found, got, test.want)
		}
	}
}

var (
	drawPath = rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "a-"}), 1, 3).Draw(t, "parts"), "/")
	})
	drawTree  = rapid.Map(drawWords("=1", "=2", "*1", "=11", ">x", ">y", "/"), treeOf)
	drawFound = drawWords("=1", "=2", "*1", "=11", ">x", ">y", "/", "!", "?")
)

// drawWords draws paths of which none lies beneath another.
func drawWords(kinds ...string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		paths := rapid.SliceOfNDistinct(drawPath, 0, 7, rapid.ID[string]).Draw(t, "paths")
		slices.SortFunc(paths, order)
		var words []string
		last := "/"
		for _, p := range paths {
			if !isBeneath(p, last) {
				last = p
				words = append(words, p+rapid.SampledFrom(kinds).Draw(t, "kind"))
			}
		}
		return strings.Join(words, " ")
	})
}

// A disk is what lies in a directory, by path, without directories that have
// something in them.
type disk map[string]string

func diskOf(found []Found) disk {
	d := make(disk)
	for i, f := range found {
		if i+1 < len(found) && isBeneath(found[i+1].Path, f.Path) {
			continue
		}
		d[f.Path] = fmt.Sprint(f.Kind, f.Size, f.Executable, f.Target, f.Bytes == Right)
	}
	return d
}

// Carried out with --delete, a plan leaves what the tree says, and special
// files. Without it nothing goes that is not at the path of an entry.
func TestPlanLeavesTheTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := drawTree.Draw(t, "tree")
		words := drawFound.Draw(t, "found")
		found := foundOf(words, tree)
		var totals Totals
		after := diskOf(found)
		for _, e := range tree { // directories that are as they must be are no steps
			for i := range e.Path {
				if e.Path[i] == '/' && after[e.Path[:i]] == wanted(&wire.Entry{Kind: wire.EntryDirectory}) {
					delete(after, e.Path[:i])
				}
			}
		}
		there := len(after)
		for s := range Plan(tree, slices.Values(found)) {
			totals.Add(s)
			switch {
			case s.Action == Extra && !s.Full:
				if s.Entry != nil || after[s.Found.Path] == "" {
					t.Fatalf("%q: %q is extra", words, s.Found.Path)
				}
				delete(after, s.Found.Path)
			case s.Entry != nil:
				after[s.Entry.Path] = wanted(s.Entry)
			}
		}
		if totals.Found != there {
			t.Fatalf("%q: %d entries found, want %d", words, totals.Found, there)
		}
		want := make(disk)
		for i := range tree {
			want[tree[i].Path] = wanted(&tree[i])
		}
		stuck := 0
		for _, f := range found {
			if f.Kind != Special {
				continue
			}
			if want[f.Path] == "" {
				want[f.Path] = diskOf([]Found{f})[f.Path]
			}
			for _, e := range tree {
				if f.Path == e.Path || isBeneath(e.Path, f.Path) || isBeneath(f.Path, e.Path) && e.Kind != wire.EntryDirectory {
					stuck++
					break
				}
			}
		}
		if fmt.Sprint(after) != fmt.Sprint(want) {
			t.Fatalf("%q becomes %v, want %v", words, after, want)
		}
		if totals.Stuck != stuck {
			t.Fatalf("%q: %d special files in the way, want %d", words, totals.Stuck, stuck)
		}
	})
}

// wanted says of an entry what diskOf says of what is there.
func wanted(e *wire.Entry) string {
	f := Found{Path: e.Path, Kind: File, Size: e.Size, Executable: e.Kind == wire.EntryExecutable, Target: e.Target, Bytes: Right}
	if !e.IsFile() {
		f.Bytes = Unread
		if f.Kind = Directory; e.Kind == wire.EntryLink {
			f.Kind = Link
		}
	}
	return diskOf([]Found{f})[e.Path]
}

func TestCheckDelete(t *testing.T) {
	tests := []struct {
		extra, keep, found, most int
		allowed                  int // -1: it may be
	}{
		{0, 0, 0, ByDefault, -1},
		{0, 0, 1000, ByDefault, -1},
		{100, 0, 1000, ByDefault, -1},
		{101, 0, 1010, ByDefault, 100},
		{100, 0, 999, ByDefault, -1},
		{100, 0, 990, ByDefault, 99},
		{101, 0, 1 << 20, ByDefault, 100},
		{1, 0, 2, ByDefault, -1},
		{2, 0, 10, ByDefault, 1},
		{1, 0, 1, ByDefault, 0},
		{1, 1, 2, ByDefault, 0},
		{0, 2, 2, ByDefault, -1},
		{1, 0, 1, 1, -1},
		{1, 0, 1000, 0, 0},
		{500, 0, 500, 500, -1},
		{501, 0, 5000, 500, 500},
	}
	for _, test := range tests {
		totals := Totals{Extra: test.extra, Keep: test.keep, Found: test.found}
		err := totals.CheckDelete(test.most)
		tooMany, _ := err.(*TooManyError)
		switch {
		case test.allowed < 0 && err != nil, test.allowed >= 0 && (tooMany == nil || tooMany.Allowed != test.allowed):
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// Whoever has seen enough may stop.
func TestPlanStops(t *testing.T) {
	tree := treeOf("a=1 c=1 d=1")
	found := foundOf("b=1 c=1 e=1", tree)
	for n := range 6 {
		for range Plan(tree, slices.Values(found)) {
			if n--; n < 0 {
				break
			}
		}
	}
}
