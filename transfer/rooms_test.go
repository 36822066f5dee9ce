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

// rooms lists what a package may import besides the standard library, one
// package a line. Ours stand there by their place in the module, others by
// their path or a front part of it that ends at a slash.
const rooms = `
wire: github.com/quic-go/quic-go/quicvarint
certs: golang.org/x/sys
transport: github.com/quic-go/quic-go golang.org/x/net/ipv4 golang.org/x/sys
transfer/vote:
transfer/schedule: transfer/content transfer/pace
transfer/content: transfer/manifest
transfer/tree: transfer/content transfer/manifest wire
transfer/tree/filter: wire
transfer/scan: transfer/localfile transfer/manifest transfer/manifest/cache transfer/tree transfer/tree/filter wire golang.org/x/sync
transfer/beside: transfer/localfile transfer/manifest transfer/scan transfer/tree wire
transfer/metalink: wire
transfer/tree/names: wire
transfer/tree/each: transfer/tree transfer/vote wire
transfer/growth:
transfer/presence:
transfer/admission:
transfer/carrier:
transfer/paths:
transfer/paths/disk: transfer/paths
transfer/pace: transfer/admission
transfer/manifest: wire github.com/zeebo/xxh3 golang.org/x/sync lukechampine.com/blake3
transfer/manifest/cache: transfer/manifest wire
transfer/partfile: transfer/content transfer/manifest transfer/tree transfer/tree/names wire golang.org/x/sync github.com/zeebo/xxh3 golang.org/x/sys
transfer/partfile/crashfs:
transfer/localfile: transfer/partfile golang.org/x/sys
transfer/source: certs transport wire
transfer/source/malcolm: certs transfer/manifest transfer/paths transfer/source transport wire
transfer/source/https: transfer/source transport wire
transfer/source/described: transfer/beside transfer/manifest transfer/source transfer/tree wire
transfer/source/pool: transfer/source wire
transfer/source/srv: transfer/source
transfer/source/sourcetest: certs transfer/manifest transfer/source wire
transfer/hostile: certs transfer/manifest transfer/source transport wire
transfer/fetch: transfer/carrier transfer/content transfer/growth transfer/localfile transfer/manifest transfer/pace transfer/partfile transfer/presence transfer/schedule transfer/source transfer/vote
transfer/fetch: transfer/scan transfer/tree transfer/tree/each transfer/tree/filter transfer/paths certs wire golang.org/x/sync golang.org/x/sys
transfer/serve: transfer/admission transfer/localfile transfer/manifest transfer/manifest/cache transfer/pace certs golang.org/x/sync
transfer/fetch: transfer/paths certs wire golang.org/x/sync golang.org/x/sys
transfer/serve: transfer/admission transfer/localfile transfer/manifest transfer/manifest/cache transfer/pace transfer/scan transfer/tree certs golang.org/x/sync
transfer/serve: transfer/serve/web golang.org/x/sys transport wire
transfer/serve/web: certs transfer/manifest transfer/metalink wire
transfer:
cmd/malcolm/human:
cmd/malcolm/deploy/image: github.com/google/go-containerregistry
cmd/malcolm/spool:
cmd/malcolm/screen: cmd/malcolm/spool golang.org/x/term
cmd/malcolm/screen/emulator:
cmd/malcolm/flags: cmd/malcolm/human certs transfer/source transfer/source/https transfer/tree/filter wire github.com/alecthomas/kong golang.org/x/net/http/httpproxy
cmd/malcolm/view: cmd/malcolm/human cmd/malcolm/screen cmd/malcolm/spool certs transfer/fetch transfer/localfile transfer/pace
cmd/malcolm/view: transfer/beside transfer/scan transfer/partfile transfer/serve transfer/source transfer/tree transfer/vote transport wire
cmd/malcolm/view/schema:
cmd/malcolm/config: cmd/malcolm/human github.com/BurntSushi/toml
cmd/malcolm/manual: github.com/alecthomas/kong
cmd/malcolm/batch: transfer/localfile
cmd/malcolm/completion: cmd/malcolm/flags cmd/malcolm/human github.com/alecthomas/kong
cmd/malcolm/metrics: cmd/malcolm/human transfer/fetch transfer/localfile transfer/pace transfer/serve transfer/source wire
cmd/malcolm/metrics: github.com/prometheus/client_golang github.com/prometheus/common/expfmt
cmd/malcolm: cmd/malcolm/batch cmd/malcolm/completion cmd/malcolm/config cmd/malcolm/flags cmd/malcolm/human cmd/malcolm/manual cmd/malcolm/metrics cmd/malcolm/screen cmd/malcolm/spool cmd/malcolm/view
cmd/malcolm/systemd: golang.org/x/sys
cmd/malcolm: cmd/malcolm/systemd
cmd/malcolm: github.com/alecthomas/kong certs transfer/admission transfer/fetch transfer/localfile transfer/manifest
cmd/malcolm: transfer/serve/web
cmd/malcolm: transfer/beside transfer/metalink transfer/manifest/cache transfer/partfile transfer/paths transfer/paths/disk transfer/scan transfer/serve transfer/source transfer/source/described transfer/source/https transfer/source/malcolm transfer/source/pool transfer/source/srv transfer/tree/filter transfer/vote transport wire
cmd/bench: certs transfer/fetch transfer/localfile transfer/manifest transfer/manifest/cache transfer/partfile transfer/serve
cmd/bench: transfer/source transfer/source/malcolm transport github.com/alecthomas/kong github.com/quic-go/quic-go golang.org/x
`

// testsOnly are the packages that no line of the rooms may name: only tests
// import them.
var testsOnly = []string{
	"transfer/hostile", "transfer/partfile/crashfs", "transfer/source/sourcetest", "cmd/malcolm/screen/emulator", "cmd/malcolm/view/schema",
}

// forbidden is what nobody may import, whatever it is a part of.
var forbidden = []string{"C", "github.com/quic-go/quic-go/http3"}

// An import goes down only: never upwards, to a neighbour, or to a library
// outside of the room. A room that may import something does import it. Files
// for every system are read; tests may import what they like.
func TestRooms(t *testing.T) {
	imports := importsBelow(t, os.DirFS(".."))
	if len(imports) < 8 {
		t.Fatalf("only %d packages found", len(imports))
	}
	for _, problem := range problems(rooms, imports) {
		t.Error(problem)
	}
}

// Each package says what it holds.
func TestRoomsHaveComments(t *testing.T) {
	said := make(map[string]bool)
	err := fs.WalkDir(os.DirFS(".."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		place := path.Dir(name)
		said[place] = said[place] || len(file.Doc.Text()) > 40
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, ok := range said {
		if !ok {
			t.Errorf("no file of %s has a package comment", place)
		}
	}
}

// The rooms refuse each of these imports, and a permission without use.
func TestRoomsRefuse(t *testing.T) {
	tests := []struct{ place, imported string }{
		{"wire", "malcolm/certs"},
		{"wire", "github.com/quic-go/quic-go"},
		{"transfer/vote", "malcolm/wire"},
		{"transfer/manifest", "malcolm/transfer/manifest/cache"},
		{"transfer", "github.com/quic-go/quic-go"},
		{"transfer", "malcolm/cmd/malcolm"},
		{"transport", "github.com/quic-go/quic-go/http3"},
		{"transport", "C"},
		{"cmd/malcolm", "github.com/quic-go/quic-go"},
		{"cmd/malcolm", "golang.org/x/term"},
		{"cmd/malcolm/flags", "malcolm/cmd/malcolm"},
		{"cmd/malcolm/flags", "malcolm/cmd/malcolm/screen"},
		{"cmd/malcolm/human", "malcolm/transfer"},
		{"cmd/malcolm/screen", "malcolm/cmd/malcolm/human"},
		{"cmd/malcolm/view", "malcolm/cmd/malcolm"},
		{"cmd/malcolm/view", "malcolm/cmd/malcolm/flags"},
		{"certs", "golang.org/x/system"},
		{"certs/new", "malcolm/wire"},
	}
	imports := importsBelow(t, os.DirFS(".."))
	for _, test := range tests {
		imports := maps.Clone(imports)
		imports[test.place] = append(slices.Clip(imports[test.place]), test.imported)
		if got := problems(rooms, imports); len(got) != 1 {
			t.Errorf("%s imports %s: %q, want one problem", test.place, test.imported, got)
		}
	}
	for _, place := range testsOnly {
		if got := problems(rooms+"transfer: "+place+"\n", imports); len(got) != 2 {
			t.Errorf("transfer may import %s: %q, want that it is for tests, and not used", place, got)
		}
	}
	for _, line := range []string{"wire: certs", "certs: github.com/zeebo/xxh3", "transfer/gone:"} {
		if got := problems(rooms+line+"\n", imports); len(got) != 1 {
			t.Errorf("with %q: %q, want one problem", line, got)
		}
	}
}

// problems returns the imports that the rooms forbid, and the permissions
// without use.
func problems(rooms string, imports map[string][]string) (found []string) {
	permitted := make(map[string][]string)
	for line := range strings.Lines(strings.TrimSpace(rooms)) {
		place, names, _ := strings.Cut(line, ":")
		permitted[place] = append(permitted[place], strings.Fields(names)...)
	}
	for _, place := range slices.Sorted(maps.Keys(imports)) {
		if _, ok := permitted[place]; !ok {
			found = append(found, place+" is no room of the design")
			continue
		}
		for _, imported := range imports[place] {
			if !isStandard(imported) && !slices.ContainsFunc(permitted[place], func(name string) bool { return permits(name, imported) }) {
				found = append(found, place+" imports "+imported)
			}
		}
	}
	for _, place := range slices.Concat(slices.Sorted(maps.Keys(permitted)), testsOnly) {
		if _, ok := imports[place]; !ok {
			found = append(found, place+" is a room without a package")
		}
		for _, name := range permitted[place] {
			if slices.Contains(testsOnly, name) {
				found = append(found, place+" may import "+name+", which is for tests only")
			}
			if !slices.ContainsFunc(imports[place], func(imported string) bool { return permits(name, imported) }) {
				found = append(found, place+" may import "+name+" and does not")
			}
		}
	}
	return found
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return first != "malcolm" && !strings.Contains(first, ".") && !slices.Contains(forbidden, imported)
}

// permits reports whether a name of the rooms is that of the import, or a front
// part of it.
func permits(name, imported string) bool {
	if ours, ok := strings.CutPrefix(imported, "malcolm/"); ok {
		return ours == name
	}
	return (imported == name || strings.HasPrefix(imported, name+"/")) && !slices.Contains(forbidden, imported)
}

// importsBelow returns the imports of each package, tests apart.
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
