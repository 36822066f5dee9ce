package web

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"lukechampine.com/blake3"

	"malcolm/wire"
)

// manyNames are names that somebody may have chosen to harm.
var manyNames = []string{
	"plain", "with space", "per%cent", "%2e%2e", "..%2f", "quest?ion", "ha#sh", "a&b=c", "semi;colon", "plus+plus", `quo"te`, "apo'strophe",
	"back\\slash", "<img src=x onerror=alert(1)>", "<script>", "{{.}}", "new\nline", "tab\t", "\x01", "\x7f", "\xff\xfe", "caf\u00e9", "cafe\u0301", "\u202egpj.exe",
	"javascript:alert(1)", "a:b", "-rf", "~", "...", ".hidden", "CON", strings.Repeat("n", 255), "\u2028", "&lt;", "@", "$(reboot)", "`id`",
}

// fakeTree is a tree with the harmful names at its top and in a directory.
func fakeTree() *fakeStore {
	content := map[string]string{"dir/sub/deep": "deep", "dir/a": "a", "dir.txt": "not beneath", "dir-": "nor that", "empty/": "", "real.malcolm": "a file"}
	content["link"], content["dir/up"], content["dir/sub/far"], content["top"] = "->dir/a", "->../dir.txt", "->../../empty", "->."
	for _, name := range manyNames {
		content[name] = "top " + name
		content["names/"+name] = "in " + name
	}
	return newFake("tree", content)
}

// Each file of a tree has an address, whatever bytes its name has, and the page
// of its directory leads there.
func TestTreeOfManyNames(t *testing.T) {
	s := fakeTree()
	for _, dir := range []string{"/tree/", "/tree/names/"} {
		r, page, _ := ask(t, s, "GET", dir)
		if r.StatusCode != 200 {
			t.Fatalf("%s: %d", dir, r.StatusCode)
		}
		for _, name := range manyNames {
			address := Escape(dir + name)
			if !strings.Contains(page, `href="`+address+`"`) {
				t.Errorf("the page %s has no link to %q: %s", dir, name, address)
			}
			want := "top " + name
			if dir != "/tree/" {
				want = "in " + name
			}
			if r, body, _ := ask(t, s, "GET", address); r.StatusCode != 200 || body != want {
				t.Errorf("%s: %d, %q, want %q", address, r.StatusCode, body, want)
			}
		}
	}
}

// What a path leads to, and that nothing leads out.
func TestFind(t *testing.T) {
	s := fakeTree()
	for _, test := range []struct {
		path   string
		status int
		says   string // the body, or Location
	}{
		{"/", 200, ""},
		{"/tree", 302, "/tree/"},
		{"/tree/", 200, ""},
		{"/tree/dir", 302, "/tree/dir/"},
		{"/tree/dir/", 200, ""},
		{"/tree/dir/a", 200, "a"},
		{"/tree/dir/sub/deep", 200, "deep"},
		{"/tree/empty", 302, "/tree/empty/"},
		{"/tree/empty/", 200, ""},
		{"/tree/real.malcolm", 200, "a file"},
		{"/tree/link", 302, "/tree/dir/a"},
		{"/tree/dir/up", 302, "/tree/dir.txt"},
		{"/tree/dir/sub/far", 302, "/tree/empty"},
		{"/tree/top", 302, "/tree/"},
		{"/tree.malcolm", 200, ""},
		{"/tree/dir/a.malcolm", 200, ""},
		{"/tree/dir.malcolm", 404, ""},
		{"/tree/dir/a/", 404, ""},
		{"/tree/dir/a/b", 404, ""},
		{"/tree/dir/A", 404, ""},
		{"/tree//", 404, ""},
		{"/tree//dir/a", 404, ""},
		{"/tree/dir//a", 404, ""},
		{"/tree/./dir/a", 404, ""},
		{"/tree/dir/../dir/a", 404, ""},
		{"/tree/../tree/dir/a", 404, ""},
		{"/tree/..", 404, ""},
		{"/tree/../", 404, ""},
		{"/tree/%2e%2e/", 404, ""},
		{"/tree/..%2f..%2fetc/passwd", 404, ""},
		{"/tree/dir%2fa", 200, "a"}, // the same path
		{"/tree/dir/a%00", 404, ""},
		{"/tree/%00", 404, ""},
		{"/tree/dir%5ca", 404, ""},
		{"/%2e%2e/tree/dir/a", 404, ""},
		{"//tree/dir/a", 404, ""},
		{"/tree" + strings.Repeat("/x", 4000), 404, ""},
		{"/treee", 404, ""},
		{"/etc/passwd", 404, ""},
		{"/favicon.ico", 404, ""},
		{"/tree.meta4", 404, ""},
	} {
		r, body, _ := ask(t, s, "GET", test.path)
		if r.StatusCode != test.status {
			t.Errorf("%.60s: %d, want %d", test.path, r.StatusCode, test.status)
		}
		if test.status == 302 {
			body = r.Header.Get("Location")
		}
		if test.says != "" && body != test.says {
			t.Errorf("%.60s: %.60q, want %q", test.path, body, test.says)
		}
	}
	// Forms of a request that have no path, or another one.
	for _, target := range []string{"http://elsewhere.example/tree/dir/a", "http://elsewhere.example//tree/dir/a", "*"} {
		r := &http.Request{Method: "GET", Host: "elsewhere.example", Header: http.Header{}}
		var err error
		if r.URL, err = url.ParseRequestURI(target); err != nil {
			r.URL = &url.URL{Path: target}
		}
		if at := find(&fakeShelf{s}, r.URL.Path); (at.kind == atObject) != (target == "http://elsewhere.example/tree/dir/a") {
			t.Errorf("%s leads to %+v", target, at)
		}
	}
}

// Any name can be that of a file that is offered alone, or of a tree.
func TestOfferedNames(t *testing.T) {
	for _, name := range manyNames {
		if r, body, _ := ask(t, newFake(name, text), "GET", Escape("/"+name)); r.StatusCode != 200 || body != text {
			t.Errorf("%q: %d, %q", name, r.StatusCode, body)
		}
		r, _, _ := ask(t, newFake(name, map[string]string{"a": text}), "GET", Escape("/"+name))
		if got, want := r.Header.Get("Location"), Escape("/"+name+"/"); r.StatusCode != 302 || got != want || strings.HasPrefix(got, "//") {
			t.Errorf("%q: %d, Location %q, want %q", name, r.StatusCode, got, want)
		}
	}
}

// children returns what a directory has, once each, at whatever page.
func TestChildren(t *testing.T) {
	s := fakeTree()
	shelf := &fakeShelf{s}
	for _, dir := range []string{"", "dir", "dir/sub", "names", "empty"} {
		want := make(map[string]bool)
		prefix := dir + "/"
		if dir == "" {
			prefix = ""
		}
		for _, e := range s.entries {
			if rest, ok := strings.CutPrefix(e.Path, prefix); ok {
				name, _, _ := strings.Cut(rest, "/")
				want[name] = true
			}
		}
		var names []string
		for c := range children(shelf, dir, "") {
			names = append(names, c.name)
		}
		if len(names) != len(want) || slices.ContainsFunc(names, func(n string) bool { return !want[n] }) {
			t.Errorf("%q has %q, want %d names", dir, names, len(want))
		}
		for i, after := range names {
			var rest []string
			for c := range children(shelf, dir, after) {
				rest = append(rest, c.name)
			}
			if !slices.Equal(rest, names[i+1:]) {
				t.Errorf("%q behind %q has %q, want %q", dir, after, rest, names[i+1:])
			}
		}
	}
}

// A large directory has pages, and each entry is on one of them. A page costs
// looks at its own entries, and few more.
func TestPages(t *testing.T) {
	const n = 2*pageRows + 10
	content := make(map[string]string)
	for i := range n {
		content[fmt.Sprintf("d/f%05d%%", i)] = "x"
		content[fmt.Sprintf("d/g%05d/deep/er", i)] = "x"
	}
	s := newFake("tree", content)
	seen, address := 0, "/tree/d/"
	for pages := 0; address != ""; pages++ {
		if pages > 2*n/pageRows+1 {
			t.Fatal("the pages do not end")
		}
		r, page, _ := ask(t, s, "GET", address)
		if r.StatusCode != 200 {
			t.Fatal(r.StatusCode)
		}
		seen += strings.Count(page, "<tr><td><a href=\"/tree/d/")
		_, next, _ := strings.Cut(page, `<p><a href="?`)
		query, _, found := strings.Cut(next, `"`)
		if address = ""; found {
			address = "/tree/d/?" + strings.ReplaceAll(query, "&amp;", "&")
		}
	}
	if seen != 2*n {
		t.Errorf("%d entries on the pages, want %d", seen, 2*n)
	}
}

// A file of values is what package wire says, of a file, a tree, and a file in
// one.
func TestValues(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 40<<10) // three chunks
	f := newFake("data.bin", large)
	r, body, _ := ask(t, f, "GET", "/data.bin.malcolm")
	v, err := wire.ParseValuesFile([]byte(body))
	if err != nil || r.StatusCode != 200 || v.Offer.Checksum != f.file || len(v.Values) != 3*wire.ValueLen || v.Offer.Name != "data.bin" {
		t.Errorf("of a file: %d, %v, %+v", r.StatusCode, err, v.Offer)
	}
	s := newFake("tree", map[string]string{"a": large, "b/copy": large, "c": "small", "d/other": large + "!", "d/link": "->../c"})
	r, body, _ = ask(t, s, "GET", "/tree.malcolm")
	v, err = wire.ParseValuesFile([]byte(body))
	if err != nil || r.StatusCode != 200 || v.Offer.Kind != wire.KindTree || len(v.Values) != 6*wire.ValueLen || blake3.Sum256(v.Listing) != v.Offer.Checksum {
		t.Errorf("of a tree: %d, %v, %+v, %d bytes of values", r.StatusCode, err, v.Offer, len(v.Values))
	}
	r, body, _ = ask(t, s, "GET", "/tree/d/other.malcolm")
	v, err = wire.ParseValuesFile([]byte(body))
	if err != nil || r.StatusCode != 200 || v.Offer.Checksum != blake3.Sum256([]byte(large+"!")) || v.Offer.Name != "other" || len(v.Values) != 3*wire.ValueLen {
		t.Errorf("of a tree's file: %d, %v, %+v", r.StatusCode, err, v.Offer)
	}
	if r, _, _ = ask(t, s, "HEAD", "/tree.malcolm"); r.StatusCode != 200 || r.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %v", r.StatusCode, r.Header)
	}
}

// TestValuesMemory: a request for the values of a tree costs no memory for each
// of its files.
func TestValuesMemory(t *testing.T) {
	shelf := &fakeShelf{&fakeStore{name: "tree"}}
	const n = 4000
	for i := range n {
		e := wire.Entry{Kind: wire.EntryFile, Path: fmt.Sprintf("%04d", i), Size: 100 << 20}
		binary.BigEndian.PutUint32(e.Checksum[:], uint32(i/2)) // each is there twice
		shelf.s.entries = append(shelf.s.entries, e)
	}
	tree := &onceShelf{fakeShelf: shelf, listing: shelf.listing()}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found := 0
	_, _, files := valuesOf(tree, place{kind: atValues})
	for range files {
		found++
	}
	runtime.ReadMemStats(&after)
	if perFile := (after.TotalAlloc - before.TotalAlloc) / n; perFile > 4 || found != n/2 {
		t.Errorf("%d bytes for each file, %d files with values; want next to nothing, and %d", perFile, found, n/2)
	}
}

// A onceShelf makes its listing once.
type onceShelf struct {
	*fakeShelf
	listing []byte
}

func (s *onceShelf) Listing() io.WriterTo { return bytes.NewReader(s.listing) }
func (s *onceShelf) Offer() wire.Offer {
	return wire.Offer{Kind: wire.KindTree, Size: int64(len(s.listing))}
}
