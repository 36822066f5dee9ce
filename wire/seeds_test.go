package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestSeedCorpora proves that the seeds of every fuzz target of the package are
// still where go test looks for them, and that some are accepted and some
// refused.
func TestSeedCorpora(t *testing.T) {
	var names []string
	for _, target := range targets() {
		names = append(names, target.name)
		if len(target.seeds) == 0 {
			t.Errorf("%s: no seeds by f.Add", target.name)
		}
		for _, m := range target.seeds {
			if !target.check(t, m.bytes(t)) {
				t.Errorf("%s: the seed %q is not accepted", target.name, m.name)
			}
		}
		files, err := filepath.Glob(filepath.Join("testdata", "fuzz", target.name, "*"))
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, file := range files {
			if target.check(t, seed(t, file)) {
				accepted++
			}
		}
		if accepted == 0 || accepted == len(files) {
			t.Errorf("%s: %d of %d seed files are accepted, want some and not all", target.name, accepted, len(files))
		}
	}
	slices.Sort(names)
	if got := fuzzFunctions(t); !slices.Equal(got, names) {
		t.Errorf("fuzz functions: got %v, want %v", got, names)
	}
	dirs, err := filepath.Glob(filepath.Join("testdata", "fuzz", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, dir := range dirs {
		dirs[i] = filepath.Base(dir)
	}
	if !slices.Equal(dirs, names) {
		t.Errorf("directories of seeds: got %v, want %v", dirs, names)
	}
}

// seed reads a seed file with one []byte.
func seed(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	version, rest, _ := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	literal, opened := strings.CutPrefix(strings.TrimSpace(rest), "[]byte(")
	literal, closed := strings.CutSuffix(literal, ")")
	b, err := strconv.Unquote(literal)
	if version != "go test fuzz v1" || !opened || !closed || err != nil {
		t.Fatalf("%s is no seed file of one []byte", file)
	}
	return []byte(b)
}

// fuzzFunctions returns the fuzz functions that the package's tests declare.
func fuzzFunctions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				names = append(names, fn.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}
