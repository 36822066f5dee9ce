package transfer

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A room is what one package may import besides the standard library: ours by
// their place in the module, others by their path or a part of it that ends at
// a slash.
type room struct{ ours, others []string }

const quic = "github.com/quic-go/quic-go"

var (
	below = []string{"wire", "certs", "transport", "transfer", "transfer/manifest", "transfer/vote", "transfer/schedule", "transfer/presence", "transfer/admission", "transfer/partfile"}

	rooms = map[string]room{
		"wire":                        {others: []string{quic + "/quicvarint"}},
		"certs":                       {others: []string{"golang.org/x/sys"}},
		"transport":                   {others: []string{quic, "golang.org/x/net/ipv4", "golang.org/x/sys"}},
		"transfer":                    {ours: below, others: []string{"golang.org/x/sync", "golang.org/x/sys", "github.com/zeebo/xxh3", "lukechampine.com/blake3"}},
		"transfer/manifest":           {ours: []string{"wire"}, others: []string{"github.com/zeebo/xxh3", "lukechampine.com/blake3", "golang.org/x/sync"}},
		"transfer/vote":               {},
		"transfer/schedule":           {},
		"transfer/presence":           {},
		"transfer/admission":          {},
		"transfer/partfile/crashfs":   {}, // for tests only: nobody may import it
		"transfer/partfile":           {ours: []string{"wire"}, others: []string{"golang.org/x/sys", "github.com/zeebo/xxh3"}},
		"cmd/malcolm":                 {ours: append([]string{"cmd/malcolm/completion", "cmd/malcolm/flags", "cmd/malcolm/human", "cmd/malcolm/screen"}, below...), others: []string{"github.com/alecthomas/kong"}},
		"cmd/malcolm/completion":      {ours: []string{"cmd/malcolm/flags", "cmd/malcolm/human"}, others: []string{"github.com/alecthomas/kong"}},
		"cmd/malcolm/flags":           {ours: []string{"cmd/malcolm/human", "transfer", "certs", "wire"}, others: []string{"github.com/alecthomas/kong"}},
		"cmd/malcolm/human":           {},
		"cmd/malcolm/screen":          {others: []string{"golang.org/x/term"}},
		"cmd/malcolm/screen/emulator": {}, // for tests only: nobody may import it
		"cmd/bench":                   {ours: below, others: []string{quic, "github.com/alecthomas/kong", "golang.org/x"}},
	}
)

// TestRooms fails when an import goes the wrong way: upwards, to a
// neighbour, or to a library that the room is not meant to hold. It reads every
// file, whatever system it is for; tests may import what they like.
func TestRooms(t *testing.T) {
	imports := importsBelow(t, os.DirFS(".."))
	if len(imports) < 8 {
		t.Fatalf("only %d packages found", len(imports))
	}
	for _, place := range slices.Sorted(maps.Keys(imports)) {
		r, known := rooms[place]
		if !known {
			t.Errorf("%s is no room of the design", place)
			continue
		}
		for _, imported := range imports[place] {
			if !r.allows(place, imported) {
				t.Errorf("%s imports %s", place, imported)
			}
		}
	}
}

func TestRoomsRefuse(t *testing.T) {
	tests := []struct{ place, imported string }{
		{"wire", "malcolm/certs"},
		{"wire", quic},
		{"transfer/vote", "malcolm/wire"},
		{"transfer", quic},
		{"transfer", "malcolm/cmd/malcolm"},
		{"transport", quic + "/http3"},
		{"cmd/malcolm", quic},
		{"cmd/malcolm/flags", "malcolm/cmd/malcolm"},
		{"cmd/malcolm/human", "malcolm/transfer"},
		{"cmd/malcolm/screen", "malcolm/cmd/malcolm/human"},
		{"certs", "golang.org/x/system"},
	}
	for _, test := range tests {
		if rooms[test.place].allows(test.place, test.imported) {
			t.Errorf("%s may import %s", test.place, test.imported)
		}
	}
}

func (r room) allows(place, imported string) bool {
	if ours, ok := strings.CutPrefix(imported, "malcolm/"); ok {
		return ours != place && slices.Contains(r.ours, ours)
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return imported != "C"
	}
	return imported != quic+"/http3" && slices.ContainsFunc(r.others, func(allowed string) bool {
		return imported == allowed || strings.HasPrefix(imported, allowed+"/")
	})
}

// importsBelow returns the imports of each package's files that are no tests.
func importsBelow(t *testing.T, fsys fs.FS) map[string][]string {
	t.Helper()
	imports := make(map[string][]string)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		place := path.Dir(name)
		imports[place] = append(imports[place], []string{}...)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[place] = append(imports[place], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}
