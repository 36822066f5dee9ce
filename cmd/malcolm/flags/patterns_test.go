package flags

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

type patternFlags struct {
	Include Includes
	Exclude Excludes
	Other   string
}

func parsePatterns(t *testing.T, args ...string) (patternFlags, error) {
	t.Helper()
	var f patternFlags
	parser, err := kong.New(&f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return f, err
}

// Both flags keep their order relative to each other, however they are written.
func TestPatternsInOrder(t *testing.T) {
	tree := []wire.Entry{{Path: "a"}, {Path: "b"}, {Path: "c"}}
	tests := []struct{ args, want string }{
		{"", "abc"},
		{"--include a --exclude a", "a"},
		{"--exclude a --include a", ""},
		{"--exclude=a --include=a", ""},
		{"--include=a --exclude=a", "a"},
		{"--include b --other x --exclude a --exclude=b --include=?", "bc"},
		{"--exclude a --include b --include a", "b"},
		{"--include a,b", ""},
		{"--include={a,b}", "ab"},
	}
	for _, test := range tests {
		f, err := parsePatterns(t, strings.Fields(test.args)...)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		got := ""
		for _, e := range filter.New(Rules(f.Include, f.Exclude), nil).Entries(tree) {
			got += e.Path
		}
		if got != test.want {
			t.Errorf("%s: %s is chosen, want %s", test.args, got, test.want)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	tests := []struct{ args, want string }{
		{"--include [", `--include: "[" has a "[" without`},
		{"--exclude a//b", `--exclude: "a//b" has two slashes`},
		{"--include */", `--include: "*/" takes in all directories`},
		{"--include", "a pattern is missing"},
		{"--include --exclude", `a pattern is missing before "--exclude"`},
	}
	for _, test := range tests {
		if _, err := parsePatterns(t, strings.Fields(test.args)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.args, err, test.want)
		}
	}
}
