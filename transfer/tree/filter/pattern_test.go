package filter

import (
	"strings"
	"testing"
)

// oneRule returns the filter of --exclude pattern.
func oneRule(t *testing.T, pattern string) *Filter {
	t.Helper()
	r, err := Exclude(pattern)
	if err != nil {
		t.Fatalf("%q: %v", pattern, err)
	}
	return New([]Rule{r}, nil)
}

// takesIn reports whether the only pattern takes in a path; a slash at the end
// says that it is a directory.
func takesIn(f *Filter, path string) bool {
	path, isDir := strings.CutSuffix(path, "/")
	at := f.Root()
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return !at.Chooses(name, isDir)
		}
		at, _ = at.Sub(name)
		path = rest
	}
}

// Each sentence of the package comment, with paths that are taken in and paths
// that are not.
func TestPatterns(t *testing.T) {
	tests := []struct{ pattern, in, out string }{
		{"*.jpg", "a.jpg b/c.jpg .jpg a.jpg/x", "a.jpeg jpg a.jpgx"},
		{"a", "a b/a a/b c/a/b", "ab ba b"},
		{"a/", "a/ b/a/ a/b b/a/c", "a b/a"},
		{"/a", "a a/b", "b/a"},
		{"/a/", "a/ a/b", "a b/a/"},
		{"a/b", "a/b a/b/c", "c/a/b a/c/b a"},
		{"a/*", "a/b a/b/c a/.x", "a b/a/c"},
		{"a/**", "a/b a/b/c", "a a/ b/a/c"},
		{"a/**/", "a/b/ a/b/c", "a/ a/b"},
		{"**", "a a/b a/", ""},
		{"**/b", "b a/b a/c/b b/x", "a/c ab"},
		{"a/**/b", "a/b a/x/b a/x/y/b a/b/c", "b a/c x/a/b"},
		{"a/**/**/b", "a/b a/x/b", "a"},
		{"a**b", "ab axxb c/ab", "a/b a/x/b"},
		{"?", "a ä \xff x/a", "aa ab/cd"},
		{"a?b", "axb a.b", "ab a/b"},
		{"[a-c]", "a b c x/c", "d A"},
		{"[!a]", "b x/b", "a"},
		{"[^a]", "b", "a"},
		{"x[!a]y", "xby", "xay x/y"},
		{`[\]]`, "]", "a"},
		{`\*`, "* x/*", "a"},
		{`\{a\}`, "{a}", "a"},
		{"{a,b*}", "a b bc x/a", "c"},
		{"{a,b/c}", "a x/a b/c", "x/b/c c"},
		{"a{,b}", "a ab", "b"},
		{"{a,{b,c}d}", "a bd cd", "b d c"},
		{"{x}", "x", "{x}"},
		{"[{]", "{", "a"},
		{`{\,,b}`, ", b", "a"},
		{"[,{]{a,b}", ",a {b", "a b"},
		{"\xff*", "\xff \xffa", "\xfe \ufffd a\xff"},
		{"\ufffd", "\ufffd", "\xff"},
		{"é", "é", "É e"},
		{"*\n", "a\n", "a"},
		{"build/*/x", "build/a/x", "build/x build/a/b/x"},
		{"!a", "!a", "a"},
		{"#a", "#a", "a"},
	}
	for _, test := range tests {
		f := oneRule(t, test.pattern)
		for _, path := range strings.Split(test.in, " ") {
			if !takesIn(f, path) {
				t.Errorf("%q does not take in %q", test.pattern, path)
			}
		}
		for path := range strings.SplitSeq(test.out, " ") {
			if path != "" && takesIn(f, path) {
				t.Errorf("%q takes in %q", test.pattern, path)
			}
		}
	}
}

func TestBadPatterns(t *testing.T) {
	tests := []struct {
		pattern string
		want    error
	}{
		{"", errNothing},
		{"/", errNothing},
		{"//", errNothing},
		{"a//b", errEmptyPart},
		{"{a,}", errNothing},
		{"./a", errDots},
		{"a/..", errDots},
		{"{", errBrace},
		{"{a,b", errBrace},
		{"a}", errBrace},
		{"}{", errBrace},
		{"[", errBracket},
		{"[a", errBracket},
		{"[a/b]", errBracket},
		{`[a\]`, errBracket},
		{"[]", errClass},
		{"[a-]", errClass},
		{"[\xff]", errClass},
		{`a\`, errBackslash},
		{`a\/b`, errBackslash},
		{"a\x00", errNUL},
		{strings.Repeat("a", maxPatternLen), nil},
		{strings.Repeat("a", maxPatternLen+1), errTooLong},
		{strings.Repeat("{a,b}", 8), nil},
		{strings.Repeat("{a,b}", 9), errBraces},
		{strings.Repeat("{a,b}", 800), errBraces},
		{"{" + strings.Repeat(",", maxPatternLen-2) + "}", errBraces},
	}
	for _, test := range tests {
		if _, err := Exclude(test.pattern); err != test.want {
			t.Errorf("%.40q: %v, want %v", test.pattern, err, test.want)
		}
	}
	for _, pattern := range []string{"*/", "/*/", "**/"} {
		if _, err := Include(pattern); err != errAll {
			t.Errorf("--include %q: %v, want %v", pattern, err, errAll)
		}
		if _, err := Exclude(pattern); err != nil {
			t.Errorf("--exclude %q: %v", pattern, err)
		}
	}
}

// Stars and braces that nearly match take no more than (pattern × path) steps.
func TestHostilePatterns(t *testing.T) {
	long := strings.Repeat("a", 255)
	deep := strings.Repeat("a/", 2047) + "a"
	tests := []struct{ pattern, path string }{
		{strings.Repeat("*a", 2000) + "b", long},
		{strings.Repeat("**/a/", 800) + "b", deep},
		{strings.Repeat("*/", 2000) + "b", deep},
		{strings.Repeat("**/*/", 600) + "b", deep},
		{strings.Repeat("{a,a}", 8) + "b", deep},
		{strings.Repeat("{a}", 1300) + "b", deep},
	}
	for _, test := range tests {
		if takesIn(oneRule(t, test.pattern), test.path) {
			t.Errorf("%.40q takes in %.40q", test.pattern, test.path)
		}
	}
}

// The steps that may follow are each held once, however deep a path is.
func TestHostileSteps(t *testing.T) {
	at := oneRule(t, strings.Repeat("**/*/", 100)+"b").Root()
	for range 1000 {
		at, _ = at.Sub("a")
		if len(at.live) > 2*100+2 {
			t.Fatalf("%d steps are held", len(at.live))
		}
	}
}
