package metalink

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden file anew")

func sum(text string) *[32]byte {
	s := sha256.Sum256([]byte(text))
	return &s
}

// golden is a document with everything that malcolm writes.
var golden = Document{Files: []File{
	{Name: "data.bin", Size: 300000, SHA256: sum("1"), URLs: []URL{{"https://a.example/data.bin", 1}, {"https://b.example/x?a=1&b=2", 2}}},
	{Name: `photos/a & "b" <c>/é.jpg`, Size: 0, SHA256: sum(""), URLs: []URL{{"https://a.example/photos/%C3%A9.jpg", 1}}},
	{Name: "new\nline", Size: -1},
}}

func TestGolden(t *testing.T) {
	got, err := golden.Append([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	got = got[len("before"):]
	if *update {
		os.WriteFile("testdata/golden.meta4", got, 0o644)
	}
	want, err := os.ReadFile("testdata/golden.meta4")
	if err != nil || string(got) != string(want) {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if back, err := Parse(want); err != nil || !reflect.DeepEqual(back, golden) {
		t.Errorf("read: %+v, %v", back, err)
	}
}

// What is written is what is read, whatever the names.
func TestSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d Document
		for range rapid.IntRange(1, 4).Draw(t, "files") {
			f := File{Name: rapid.String().Filter(func(s string) bool { return CheckName(s) == nil }).Draw(t, "name"), Size: rapid.Int64Range(-1, 1<<44).Draw(t, "size")}
			if rapid.Bool().Draw(t, "hash") {
				f.SHA256 = sum(f.Name)
			}
			for i := range rapid.IntRange(0, 3).Draw(t, "urls") {
				path := rapid.StringMatching(`[ -~é]{1,20}`).Draw(t, "path")
				f.URLs = append(f.URLs, URL{"https://a.example/dir/" + url.PathEscape(path) + "?x=1&y=2", i + 1})
			}
			d.Files = append(d.Files, f)
		}
		b, err := d.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(b); err != nil || !reflect.DeepEqual(back, d) {
			t.Errorf("%v\n got %+v\nwant %+v\n%s", err, back, d, b)
		}
	})
}

func wrap(files string) string { return `<metalink xmlns="` + namespace + `">` + files + `</metalink>` }

func one(inner string) string { return wrap(`<file name="a">` + inner + `</file>`) }

// A document that somebody else wrote: other namespaces, hashes, pieces,
// protocols, orders, and white space.
func TestOthers(t *testing.T) {
	text := `<?xml version="1.0" encoding="UTF-8"?><!-- <file> --><!DOCTYPE metalink>
<m:metalink xmlns:m="urn:ietf:params:xml:ns:metalink" xmlns="http://other.example"><file name="../not"/><m:published>2010-01-01T00:00:00Z</m:published>
<m:file name="example.ext"><m:identity>x</m:identity><url>https://not.example/</url>
<m:url> ftp://ftp.example.com/example.ext </m:url><m:url>ftps://x/</m:url><m:url>ftp://y/</m:url>
<m:url location="de">https://last.example/</m:url>
<m:url priority="2">http://second.example/<![CDATA[a?b&c]]></m:url>
<m:url priority="1">
  https://first.example/&amp;&#65;
</m:url>
<m:hash type="md5">00</m:hash><m:hash type="SHA-256">` + fmt.Sprintf("%X", *sum("x")) + `</m:hash>
<m:pieces length="1" type="sha-256"><m:hash>1</m:hash></m:pieces>
<m:metaurl mediatype="torrent">https://torrent.example/</m:metaurl><m:size> 7 </m:size></m:file></m:metalink>`
	d, err := Parse([]byte(text))
	want := Document{Files: []File{{
		Name: "example.ext", Size: 7, SHA256: sum("x"), Others: []string{"ftp", "ftps"},
		URLs: []URL{{"https://first.example/&A", 1}, {"http://second.example/a?b&c", 2}, {"https://last.example/", LastPriority}},
	}}}
	if err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, d, want)
	}
}

func TestRefused(t *testing.T) {
	urls := strings.Repeat("<url>https://a.example/</url>", MaxURLs+1)
	for what, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "empty"},
		"a comment":           {"<!-- x -->", "empty"},
		"no XML":              {"malcolm", "empty"},
		"HTML":                {"<!DOCTYPE html><html><body>", "no Metalink"},
		"broken HTML":         {"<html><br", "no Metalink"},
		"version 3":           {`<metalink version="3.0" xmlns="http://www.metalinker.org/"></metalink>`, "another version"},
		"no file":             {wrap(""), "names no file"},
		"no name":             {wrap("<file/>"), "without a name"},
		"an absolute name":    {wrap(`<file name="/etc/passwd"/>`), "relative path"},
		"a name that leaves":  {wrap(`<file name="a/../../b"/>`), "relative path"},
		"a name of a folder":  {wrap(`<file name="a/"/>`), "relative path"},
		"a long name":         {wrap(`<file name="` + strings.Repeat("a", MaxNameLen+1) + `"/>`), "4097 bytes"},
		"a negative size":     {one("<size>-1</size>"), "no file has"},
		"a size beyond":       {one("<size>99999999999999999999</size>"), "no file has"},
		"a size over 16 TiB":  {one("<size>17592186044417</size>"), "no file has"},
		"two sizes":           {one("<size>1</size><size>2</size>"), "two sizes"},
		"two hashes":          {one(fmt.Sprintf(`<hash type="sha-256">%x</hash><hash type="sha-256">%x</hash>`, *sum("1"), *sum("2"))), "two sha-256"},
		"a short hash":        {one(`<hash type="sha-256">00</hash>`), "64 hexadecimal"},
		"a priority of 0":     {one(`<url priority="0">https://a/</url>`), "priority"},
		"too many addresses":  {one(urls), "more than 1000 addresses"},
		"a long address":      {one("<url>https://a/" + strings.Repeat("a", MaxURLLen) + "</url>"), "an address of"},
		"an endless text":     {one("<url>" + strings.Repeat("a", 3*MaxURLLen) + "</url>"), "an element of more"},
		"no host":             {one("<url>https:///x</url>"), "without a host"},
		"a bad address":       {one("<url>https://a/%zz</url>"), "cannot be read"},
		"an element in text":  {one("<url>https://<b>a</b></url>"), "element where text"},
		"cut":                 {one("<size>1</size>")[:90], "no XML"},
		"two documents":       {one("") + one(""), "two outermost"},
		"an entity":           {`<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + one("<url>https://&b;/</url>"), "no XML"},
		"an external entity":  {`<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + one("<size>&a;</size>"), "no XML"},
		"another encoding":    {`<?xml version="1.0" encoding="UTF-16"?>` + one(""), "no XML"},
		"a control character": {one("<size>\x01</size>"), "no XML"},
		"too long":            {strings.Repeat(" ", MaxLen+1), "at most"},
	} {
		_, err := Parse([]byte(c.text))
		if !errors.As(err, new(*Error)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// The largest and the deepest documents cost no more than their length.
func TestLarge(t *testing.T) {
	began := time.Now()
	deep := one(strings.Repeat("<a>", 200_000) + strings.Repeat("</a>", 200_000))
	if _, err := Parse([]byte(deep)); err != nil {
		t.Errorf("deep: %v", err)
	}
	many := wrap(strings.Repeat(`<file name="a"/>`, MaxFiles+1))
	if _, err := Parse([]byte(many)); err == nil || !strings.Contains(err.Error(), "100000 files") {
		t.Errorf("many: %v", err)
	}
	t.Logf("in %v", time.Since(began))
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "/a", "a//b", "..", "a/.", "\x01", "\xff", "a\x00", "\ufffe"} {
		if _, err := (Document{Files: []File{{Name: name}}}).Append(nil); err == nil {
			t.Errorf("%q was written", name)
		}
	}
}

// FuzzParse has any bytes refused in our own words, or read as something that
// is read the same again.
func FuzzParse(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkParse(t, b) })
}

func seeds(t testing.TB) [][]byte {
	b, err := os.ReadFile("testdata/golden.meta4")
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{b, []byte(one("<url>ftp://x/</url><size>1</size>"))}
}

func checkParse(t testing.TB, b []byte) (accepted bool) {
	d, err := Parse(b)
	if err != nil {
		if !errors.As(err, new(*Error)) {
			t.Errorf("%v", err)
		}
		return false
	}
	again, err := d.Append(nil)
	if err != nil {
		t.Fatalf("%+v cannot be written: %v", d, err)
	}
	for i := range d.Files {
		d.Files[i].Others = nil
	}
	if back, err := Parse(again); err != nil || !reflect.DeepEqual(back, d) {
		t.Errorf("%v\n got %+v\nwant %+v", err, back, d)
	}
	return true
}

func TestSeeds(t *testing.T) {
	for i, seed := range seeds(t) {
		if !checkParse(t, seed) {
			t.Errorf("seed %d is refused", i)
		}
	}
}
