package transfer

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wallClock are the functions and methods that turn a time that can measure a
// duration into one of the wall clock. Somebody may set that clock at any
// moment.
var wallClock = []string{"Unix", "UnixNano", "UnixMilli", "UnixMicro", "UTC", "Local", "Date", "AddDate", "Round", "Truncate", "In", "Parse", "ParseInLocation"}

// wallClockIn are the files that may use wallClock. Their times are those of
// files, certificates and records, and are shown or kept.
var wallClockIn = []string{
	"certs/identity.go", "certs/known.go", "certs/known_text.go", "certs/trust.go", "transfer/fetch/modtime.go", "transfer/fetch/tar.go",
	"transfer/manifest/cache/key.go", "transfer/manifest/cache/stamp.go", "transfer/scan/snapshot.go", "transfer/scan/walk.go",
	"transfer/partfile/journal.go", "transfer/partfile/layout.go", "transfer/partfile/sys_unix.go",
	"transfer/hostile/server.go", "transfer/partfile/sys_windows.go", "wire/codec.go",
	"transport/sockets.go", "transport/tcplink.go", "transfer/serve/path.go", // a deadline that has passed
	"transfer/paths/paths.go",                                                          // what is kept for a day
	"transfer/serve/sampler.go",                                                        // cuts durations
	"certs/link.go", "transfer/serve/web/conditions.go", "transfer/serve/web/pages.go", // what HTTP says and shows
}

// Durations are measured by the monotonic clock everywhere. A clock that is set
// makes nobody silent.
func TestNoWallClock(t *testing.T) {
	root := os.DirFS("..")
	for _, dir := range []string{"certs", "transfer", "transport", "wire"} {
		err := fs.WalkDir(root, dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains(wallClockIn, path) {
				return err
			}
			for _, use := range wallClockUses(t, path) {
				t.Errorf("%s: a time of the wall clock; name the file in this test if that is meant", use)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if uses := wallClockUses(t, "wire/codec.go"); len(uses) < 3 {
		t.Errorf("found %q where there are at least three", uses)
	}
}

// wallClockUses finds the uses of the wall clock, and nothing that only has the
// same name.
func TestWallClockUses(t *testing.T) {
	for call, want := range map[string]bool{
		"time.Now().Round(0)":              true,
		"begun.Truncate(time.Second)":      true,
		"t.In(time.Local)":                 true,
		"time.Unix(0, n)":                  true,
		"time.Parse(time.RFC3339, s)":      true,
		"now.UTC()":                        true,
		"now.AddDate(0, 0, 1)":             true,
		"handle.Truncate(end)":             false,
		"math.Round(x)":                    false,
		"unicode.In(r, unicode.Zl)":        false,
		"url.Parse(s)":                     false,
		"now.Sub(begun)":                   false,
		"time.Duration(n).Round(0)":        false,
		"time.Since(t).Round(time.Second)": false,
	} {
		uses := usesIn(t, "x.go", "package p; var _ = "+call)
		if got := len(uses) > 0; got != want {
			t.Errorf("%s: found %t, want %t", call, got, want)
		}
	}
}

// wallClockUses returns where a file calls what is in wallClock.
func wallClockUses(t *testing.T, path string) []string {
	t.Helper()
	return usesIn(t, filepath.Join("..", path), nil)
}

// usesIn is wallClockUses for a file whose text may be given.
func usesIn(t *testing.T, path string, text any) (uses []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isWallClock(call) {
			uses = append(uses, files.Position(call.Pos()).String())
		}
		return true
	})
	return uses
}

// isWallClock reports whether a call is one of wallClock. Packages math and
// unicode, files and durations have functions of the same names, which are not.
func isWallClock(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains(wallClock, f.Sel.Name) {
		return false
	}
	switch x := f.X.(type) {
	case *ast.Ident:
		if x.Name == "math" || x.Name == "unicode" || x.Name != "time" && strings.HasPrefix(f.Sel.Name, "Parse") {
			return false
		}
	case *ast.CallExpr: // time.Since(t), time.Duration(n)
		if of, ok := x.Fun.(*ast.SelectorExpr); ok && (of.Sel.Name == "Since" || of.Sel.Name == "Duration") {
			return false
		}
	}
	return f.Sel.Name != "Truncate" || mentionsTime(call.Args)
}

// mentionsTime reports whether an argument is made of package time's units.
// Truncate cuts a file to a length, but a time to a duration.
func mentionsTime(args []ast.Expr) (found bool) {
	for _, a := range args {
		ast.Inspect(a, func(n ast.Node) bool {
			if x, ok := n.(*ast.Ident); ok && x.Name == "time" {
				found = true
			}
			return true
		})
	}
	return found
}
