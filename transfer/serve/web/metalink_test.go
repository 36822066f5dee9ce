package web

import (
	"crypto/sha256"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"malcolm/transfer/metalink"
)

// metalinkOf asks for a Metalink and reads it.
func metalinkOf(t *testing.T, site *Site, address string) metalink.Document {
	t.Helper()
	r, body, _ := askSite(t, site, "GET", address)
	d, err := metalink.Parse([]byte(body))
	if err != nil || r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/metalink4+xml" {
		t.Fatalf("%s: %d, %v, %q: %v", address, r.StatusCode, r.Header, body, err)
	}
	head, _, _ := askSite(t, site, "HEAD", address)
	if got := head.Header.Get("Content-Length"); got != r.Header.Get("Content-Length") || got == "" {
		t.Errorf("%s: HEAD says %s bytes, GET %s", address, got, r.Header.Get("Content-Length"))
	}
	return d
}

// A file has a Metalink with its size, its address here and, where it is known,
// its SHA-256.
func TestMetalinkOfAFile(t *testing.T) {
	s := newFake("it's 100%.bin", text)
	site := New(Config{Store: s})
	for _, sha := range []bool{false, true} {
		s.sha = sha
		d := metalinkOf(t, site, "https://files.example:8443/it's%20100%25.bin.meta4")
		f := d.Files[0]
		if len(d.Files) != 1 || f.Name != s.name || f.Size != int64(len(text)) || (f.SHA256 != nil) != sha {
			t.Errorf("got %+v", d)
		}
		if sha && *f.SHA256 != sha256.Sum256([]byte(text)) {
			t.Errorf("got SHA-256 %x", *f.SHA256)
		}
		if len(f.URLs) != 1 || f.URLs[0].Address != "https://files.example:8443/it%27s%20100%25.bin" {
			t.Errorf("got %+v", f.URLs)
		}
	}
	if r, _, _ := askSite(t, site, "GET", "/it's%20100%25.bin.meta4.meta4"); r.StatusCode != 404 {
		t.Errorf("a Metalink of a Metalink: %d", r.StatusCode)
	}
}

// A tree's Metalink has each file at its address; one of its files has its own.
func TestMetalinkOfATree(t *testing.T) {
	content := map[string]string{"a b": "1", "dir/sub/c&d": "2", "dir/link": "->../a b", "empty/": "", "real.meta4": "no Metalink"}
	site := New(Config{Store: newFake("tree", content)})
	got := make(map[string]string)
	for _, f := range metalinkOf(t, site, "https://x/tree.meta4").Files {
		u, err := url.Parse(f.URLs[0].Address)
		if err != nil {
			t.Fatal(err)
		}
		r, body, _ := askSite(t, site, "GET", u.RequestURI())
		if r.StatusCode != 200 || int64(len(body)) != f.Size {
			t.Errorf("%s: %d, %q", u, r.StatusCode, body)
		}
		got[strings.TrimPrefix(f.Name, "tree/")] = body
	}
	delete(content, "dir/link")
	delete(content, "empty/")
	if !maps.Equal(got, content) {
		t.Errorf("got %v", got)
	}
	one := metalinkOf(t, site, "https://x/tree/dir/sub/c&d.meta4").Files
	if len(one) != 1 || one[0].Name != "c&d" || one[0].URLs[0].Address != "https://x/tree/dir/sub/c%26d" {
		t.Errorf("a file of a tree: %+v", one)
	}
	if _, body, _ := askSite(t, site, "GET", "/tree/real.meta4"); body != "no Metalink" {
		t.Errorf("a file that is named as a Metalink: %q", body)
	}
}

// A name that XML cannot have, and a request that says no address, get no
// Metalink: it would lack a file, or lead nowhere.
func TestNoMetalink(t *testing.T) {
	for _, name := range []string{"\x01", "\xff\xfe"} {
		for _, s := range []*fakeStore{newFake(name, text), newFake("tree", map[string]string{"a": "1", name: "2"})} {
			r, body, _ := askSite(t, New(Config{Store: s}), "GET", Escape("/"+s.name+".meta4"))
			if r.StatusCode != 404 || !strings.Contains(body, "no Metalink") {
				t.Errorf("%q: %d, %q", name, r.StatusCode, body)
			}
		}
	}
	if r, _, _ := askSite(t, New(Config{Store: newFake("data", text)}), "GET", "http://a!b/data.meta4"); r.StatusCode != 400 {
		t.Errorf("an address that is none: %d", r.StatusCode)
	}
}

// A signed link is good for the Metalink, whose addresses are signed as it is.
func TestMetalinkSigned(t *testing.T) {
	for _, s := range []*fakeStore{newFake("data", text), newFake("tree", map[string]string{"dir/a": "1", "b": "2"})} {
		site, token := signedBy(t, s)
		path := "/" + s.name
		if s.entries != nil {
			path += "/"
		}
		query := "?" + token.NewLink(path, testNow.Add(time.Hour)).Query()
		for _, f := range metalinkOf(t, site, "https://x/"+s.name+".meta4"+query).Files {
			u, err := url.Parse(f.URLs[0].Address)
			if err != nil {
				t.Fatal(err)
			}
			if r, _, _ := askSite(t, site, "GET", u.RequestURI()); r.StatusCode != 200 {
				t.Errorf("%s: %d", u, r.StatusCode)
			}
		}
	}
}
