package web

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// everyPage asks for each page of stores with harmful names.
func everyPage(t *testing.T, look func(address, page, policy string)) {
	t.Helper()
	for _, name := range manyNames {
		for _, s := range []*fakeStore{newFake(name, text), newFake(name, map[string]string{name: text, "link": "->" + name})} {
			site := New(Config{Store: s, Guide: func() Guide { return Guide{Malcolm: []string{"malcolm get '" + name + "'"}, Pin: "AAAA"} }})
			for _, address := range []string{"/", Escape("/" + name + "/"), Escape("/" + name + "/nothing")} {
				r, page, _ := askSite(t, site, "GET", address)
				if strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
					look(address, page, r.Header.Get("Content-Security-Policy"))
				}
			}
		}
	}
}

// Whatever names are, pages have the elements that they are made of, and none
// that runs; their links lead to this server, and their style is the one that
// the policy names.
func TestPagesOfManyNames(t *testing.T) {
	allowed := map[string]bool{}
	for _, tag := range strings.Fields("html head meta title link style body main h1 h2 h3 p a dl dt dd code pre table thead tbody tr th td span bdi") {
		allowed[tag] = true
	}
	pages := 0
	everyPage(t, func(address, page, policy string) {
		pages++
		z := html.NewTokenizer(strings.NewReader(page))
		for z.Next() != html.ErrorToken {
			token := z.Token()
			if token.Type == html.StartTagToken && !allowed[token.Data] {
				t.Errorf("%s has the element %s", address, token)
			}
			for _, a := range token.Attr {
				switch {
				case strings.HasPrefix(a.Key, "on"):
					t.Errorf("%s has %s", address, token)
				case a.Key == "href" && token.Data == "a" && !(strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "//")):
					t.Errorf("%s leads to %s", address, a.Val)
				}
			}
			if token.Type == html.StartTagToken && token.Data == "style" {
				z.Next()
				sum := sha256.Sum256(z.Raw())
				if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) || !strings.HasPrefix(policy, "default-src 'none'") {
					t.Errorf("%s: the policy %q has not %q", address, policy, want)
				}
			}
		}
		for _, r := range page {
			if r == '\u202e' || r == '\x01' || r == '\x7f' || r == '\u2028' {
				t.Errorf("%s has the character %q", address, r)
			}
		}
	})
	if pages < 3*len(manyNames) {
		t.Errorf("only %d pages", pages)
	}
}

// The page "/" has commands that a shell takes as they are meant.
func TestIndex(t *testing.T) {
	s := newFake("it's 100%.bin", text)
	s.sha = true
	site := New(Config{Store: s, Guide: func() Guide { return Guide{Malcolm: []string{"malcolm get x"}, Pin: "cGlu"} }})
	for _, test := range []struct {
		host, proto string
		want        string
	}{
		{"files.example:8443", "", `curl -C - -o 'it'\''s 100%.bin' 'http://files.example:8443/it%27s%20100%25.bin'`},
		{"files.example", "https", `curl -C - -o 'it'\''s 100%.bin' 'https://files.example/it%27s%20100%25.bin'`},
		{"[::1]:8080", "", `'http://[::1]:8080/it%27s`},
		{"x'; rm -rf ~; '", "", `'http://HOST:PORT/it%27s`},
		{"<script>", "", `'http://HOST:PORT/it%27s`},
		{"evil.example/path?", "", `'http://HOST:PORT/it%27s`},
		{strings.Repeat("a", 300), "", `'http://HOST:PORT/it%27s`},
		{"files.example", "gopher", `'http://files.example/it%27s`},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = test.host
		r.Header.Set("X-Forwarded-Proto", test.proto)
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		page := html.UnescapeString(w.Body.String())
		if w.Code != 200 || !strings.Contains(page, test.want) {
			t.Errorf("%q: %d, no %q in %q", test.host, w.Code, test.want, page)
		}
		for _, want := range []string{"malcolm get x", "aria2c -x4 ", "--checksum=sha-256=", "BLAKE3", "SHA-256"} {
			if !strings.Contains(page, want) {
				t.Errorf("%q: no %q", test.host, want)
			}
		}
	}
}

// A client that sees the pinned key is told of it. Behind a proxy it sees
// another one.
func TestIndexPins(t *testing.T) {
	site := New(Config{Store: newFake("data", text), Guide: func() Guide { return Guide{Pin: "cGlu"} }})
	for _, direct := range []bool{true, false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Forwarded-Proto", "https")
		if direct {
			r.TLS = new(tls.ConnectionState)
		}
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		page := html.UnescapeString(w.Body.String())
		for _, text := range []string{"curl -k --pinnedpubkey 'sha256//cGlu' -C", "--check-certificate=false"} {
			if strings.Contains(page, text) != direct {
				t.Errorf("direct %v, %q: %q", direct, text, page)
			}
		}
	}
}

// With a token nothing is told without a link, not even what is not there.
func TestSigned(t *testing.T) {
	s := newFake("tree", map[string]string{"dir/a": "a", "dir/sub/b": "b", "c": "c"})
	site, token := signedBy(t, s)
	link := func(path string, at time.Time) string { return "?" + token.NewLink(path, at).Query() }
	soon := testNow.Add(time.Minute)
	for _, test := range []struct {
		path, query string
		want        int
	}{
		{"/", "", 403},
		{"/tree/c", "", 403},
		{"/nothing", "", 403},
		{"/tree/c", link("/tree/c", soon), 200},
		{"/tree/c", link("/tree/c", testNow), 403},
		{"/tree/dir/a", link("/tree/c", soon), 403},
		{"/tree/dir/a", link("/tree/dir/", soon), 200},
		{"/tree/dir/", link("/tree/dir/", soon), 200},
		{"/tree/dir/nothing", link("/tree/dir/", soon), 404},
		{"/tree/", link("/tree/dir/", soon), 403},
		{"/tree.malcolm", link("/tree/", soon), 200},
		{"/tree.malcolm", link("/tree/dir/", soon), 403},
		{"/", link("/tree/", soon), 403},
		{"/", link("/", soon), 200},
		{"/tree/dir/%61", link("/tree/dir/a", soon), 200}, // of the path, however it is written
		{"/tree/c", link("/tree/c", soon) + "&e=1", 200},  // the first one counts
	} {
		r, page, _ := askSite(t, site, "GET", test.path+test.query)
		if r.StatusCode != test.want {
			t.Errorf("%s%s: %d, want %d", test.path, test.query, r.StatusCode, test.want)
		}
		if !strings.Contains(r.Header.Get("Cache-Control"), "private") {
			t.Errorf("%s: Cache-Control %q", test.path, r.Header.Get("Cache-Control"))
		}
		if r.StatusCode == 403 && (!strings.Contains(page, "malcolm link") || s.copied > 0 && strings.Contains(page, "tree")) {
			t.Errorf("%s: %q", test.path, page)
		}
	}
	// Pages lead on with the same link, and not above what it is good for.
	query := link("/tree/dir/", soon)
	_, page, _ := askSite(t, site, "GET", "/tree/dir/"+query)
	if !strings.Contains(page, `href="/tree/dir/a`+strings.ReplaceAll(query, "&", "&amp;")+`"`) || strings.Contains(page, "..</a>") {
		t.Errorf("the page of the link's directory: %q", page)
	}
	if _, page, _ = askSite(t, site, "GET", "/tree/dir/sub/"+query); !strings.Contains(page, `href="/tree/dir/`+strings.ReplaceAll(query, "&", "&amp;")+`">..</a>`) {
		t.Errorf("the page below: %q", page)
	}
	if r, _, _ := askSite(t, site, "GET", "/tree/dir/a"+query); !strings.Contains(r.Header.Get("Link"), "</tree/dir/a.malcolm"+query+">") {
		t.Errorf("Link %q", r.Header.Get("Link"))
	}
	// The page "/" says nothing of the token.
	if _, page, _ = askSite(t, site, "GET", "/"+link("/", soon)); strings.Contains(page, "thirty characters") {
		t.Error("the token is on a page")
	}
}

func TestSizeText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 1 << 30: "1.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
