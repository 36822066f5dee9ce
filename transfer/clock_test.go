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

// wallClock are the functions and methods that make a time of the wall clock, which may be set at any moment, of one
// that can measure how long something takes.
var wallClock = []string{"Unix", "UnixNano", "UnixMilli", "UnixMicro", "UTC", "Local", "Date"}

// wallClockIn are the files that may: times there are those of files, certificates and records, and are shown or kept.
var wallClockIn = []string{
	"certs/identity.go", "certs/known.go", "certs/trust.go", "transfer/get_time.go", "transfer/manifest/key.go",
	"transfer/partfile/journal.go", "transfer/partfile/layout.go", "transfer/partfile/sys_unix.go",
	"transfer/partfile/sys_windows.go", "wire/reply.go",
	"transport/sockets.go", // a deadline that has passed
}

// How long something takes is measured by the monotonic clock everywhere: a clock that is set makes nobody silent.
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
	if uses := wallClockUses(t, "wire/reply.go"); len(uses) < 3 {
		t.Errorf("found %q where there are at least three", uses)
	}
}

// wallClockUses returns where a file calls what is in wallClock.
func wallClockUses(t *testing.T, path string) (uses []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, filepath.Join("..", path), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(wallClock, f.Sel.Name) {
			uses = append(uses, files.Position(call.Pos()).String())
		}
		return true
	})
	return uses
}
