package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"malcolm/wire"
)

const text = "0123456789abcdef"

func tagOf(s *fakeStore) string { return `"` + hex.EncodeToString(s.file[:]) + `"` }

// A whole file has what a client needs to fetch the rest of it later.
func TestWhole(t *testing.T) {
	s := newFake("data.bin", text)
	for _, method := range []string{"GET", "HEAD"} {
		r, body, _ := ask(t, s, method, "/data.bin")
		want := text
		if method == "HEAD" {
			want = ""
		}
		if r.StatusCode != 200 || body != want {
			t.Fatalf("%s: %d, %q", method, r.StatusCode, body)
		}
		for name, want := range map[string]string{
			"Content-Length": "16", "Accept-Ranges": "bytes", "ETag": tagOf(s), "Last-Modified": "Sun, 01 Mar 2026 12:00:00 GMT",
			"Content-Type": "application/octet-stream", "Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": filePolicy, "Link": `</data.bin.malcolm>; rel="describedby"`,
			"Repr-Digest": "", "Digest": "", "Cache-Control": "", "Referrer-Policy": "no-referrer",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
	}
}

// Ranges of each form, and what does not lie in the file.
func TestRanges(t *testing.T) {
	s := newFake("data.bin", text)
	for _, test := range []struct {
		field  string
		status int
		body   string
		in     string // Content-Range
	}{
		{"bytes=0-0", 206, "0", "bytes 0-0/16"},
		{"bytes=4-7", 206, "4567", "bytes 4-7/16"},
		{"bytes=14-", 206, "ef", "bytes 14-15/16"},
		{"bytes=14-99", 206, "ef", "bytes 14-15/16"},
		{"bytes=-2", 206, "ef", "bytes 14-15/16"},
		{"bytes=-99", 206, text, "bytes 0-15/16"},
		{"bytes=0-", 206, text, "bytes 0-15/16"},
		{"Bytes = 4-7", 206, "4567", "bytes 4-7/16"},
		{"bytes=, 4-7 ,", 206, "4567", "bytes 4-7/16"},
		{"bytes=4-7,20-", 206, "4567", "bytes 4-7/16"}, // one of them is there
		{"bytes=0-99999999999999999999999", 206, text, "bytes 0-15/16"},
		{"bytes=16-", 416, "", "bytes */16"},
		{"bytes=99999999999999999999999-", 416, "", "bytes */16"},
		{"bytes=-0", 416, "", "bytes */16"},
		{"bytes=7-4", 416, "", "bytes */16"},
		{"bytes=a-b", 416, "", "bytes */16"},
		{"bytes=4", 416, "", "bytes */16"},
		{"bytes=-", 416, "", "bytes */16"},
		{"bytes=+1-2", 416, "", "bytes */16"},
		{"bytes=", 200, text, ""},
		{"bytes=1-2-3", 416, "", "bytes */16"},
		{"bytes=" + strings.Repeat("0-0,", mostRanges+1), 416, "", "bytes */16"},
		{"items=0-1", 200, text, ""},
		{"nonsense", 200, text, ""},
		{"bytes=0-,0-", 200, text, ""}, // more than the whole
	} {
		r, body, _ := ask(t, s, "GET", "/data.bin", "Range", test.field)
		if r.StatusCode != test.status || r.Header.Get("Content-Range") != test.in || test.status != 416 && body != test.body {
			t.Errorf("%.40s: %d, %q, %q; want %d, %q, %q", test.field, r.StatusCode, r.Header.Get("Content-Range"), body, test.status, test.in, test.body)
		}
	}
	if r, _, _ := ask(t, s, "HEAD", "/data.bin", "Range", "bytes=0-0"); r.StatusCode != 200 || r.Header.Get("Content-Length") != "16" {
		t.Errorf("HEAD with a range: %d, %s bytes; ranges are of GET", r.StatusCode, r.Header.Get("Content-Length"))
	}
}

// Several ranges are an answer of several parts, whose length was said.
func TestSeveralRanges(t *testing.T) {
	r, body, _ := ask(t, newFake("data.txt", text), "GET", "/data.txt", "Range", "bytes=0-1, 4-5 ,-3")
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.StatusCode != 206 || kind != "multipart/byteranges" || r.Header.Get("Content-Range") != "" {
		t.Fatalf("%d, %v", r.StatusCode, r.Header)
	}
	parts := multipart.NewReader(strings.NewReader(body), params["boundary"])
	var got []string
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(p)
		got = append(got, p.Header.Get("Content-Range")+" "+string(b)+" "+p.Header.Get("Content-Type"))
	}
	want := []string{"bytes 0-1/16 01 text/plain; charset=utf-8", "bytes 4-5/16 45 text/plain; charset=utf-8", "bytes 13-15/16 def text/plain; charset=utf-8"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("parts %q, want %q", got, want)
	}
}

// An empty file is whole, and has no range.
func TestEmptyFile(t *testing.T) {
	s := newFake("empty", "")
	for field, want := range map[string]int{"": 200, "bytes=0-": 416, "bytes=0-0": 416, "bytes=-1": 200} {
		r, body, _ := ask(t, s, "GET", "/empty", "Range", field)
		if r.StatusCode != want || want == 200 && body != "" {
			t.Errorf("%q: %d, want %d", field, r.StatusCode, want)
		}
		if want == 416 && r.Header.Get("Content-Range") != "bytes */0" {
			t.Errorf("%q: Content-Range %q", field, r.Header.Get("Content-Range"))
		}
	}
}

// Conditions choose in the order of RFC 9110, section 13.2.2.
func TestConditions(t *testing.T) {
	s := newFake("data.bin", text)
	tag, other := tagOf(s), `"other"`
	const at, before, after = "Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 11:59:59 GMT", "Sun, 01 Mar 2026 12:00:01 GMT"
	for _, test := range []struct {
		headers []string
		want    int
	}{
		{[]string{"If-Match", tag}, 200},
		{[]string{"If-Match", "*"}, 200},
		{[]string{"If-Match", other + ", " + tag}, 200},
		{[]string{"If-Match", other, "If-Match", tag}, 200},
		{[]string{"If-Match", other}, 412},
		{[]string{"If-Match", "W/" + tag}, 412}, // compared strongly
		{[]string{"If-Match", "nonsense"}, 412},
		{[]string{"If-Match", `"unclosed`}, 412},
		{[]string{"If-Unmodified-Since", at}, 200},
		{[]string{"If-Unmodified-Since", after}, 200},
		{[]string{"If-Unmodified-Since", before}, 412},
		{[]string{"If-Unmodified-Since", "yesterday"}, 200},
		{[]string{"If-Match", tag, "If-Unmodified-Since", before}, 200}, // the tag decides
		{[]string{"If-None-Match", tag}, 304},
		{[]string{"If-None-Match", "W/" + tag}, 304}, // compared weakly
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", other}, 200},
		{[]string{"If-Modified-Since", at}, 304},
		{[]string{"If-Modified-Since", after}, 304},
		{[]string{"If-Modified-Since", before}, 200},
		{[]string{"If-None-Match", other, "If-Modified-Since", at}, 200}, // the tag decides
		{[]string{"If-None-Match", tag, "If-Match", other}, 412},
		{[]string{"Range", "bytes=0-0", "If-Range", tag}, 206},
		{[]string{"Range", "bytes=0-0", "If-Range", other}, 200},
		{[]string{"Range", "bytes=0-0", "If-Range", "W/" + tag}, 200},
		{[]string{"Range", "bytes=0-0", "If-Range", at}, 206},
		{[]string{"Range", "bytes=0-0", "If-Range", after}, 200},
		{[]string{"Range", "bytes=0-0", "If-Range", before}, 200},
		{[]string{"Range", "bytes=0-0", "If-Range", "nonsense"}, 200},
		{[]string{"Range", "bytes=99-", "If-Range", other}, 200},
		{[]string{"Range", "bytes=99-", "If-None-Match", tag}, 304},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			want := test.want
			if method == "HEAD" && want == 206 {
				want = 200
			}
			r, _, _ := ask(t, s, method, "/data.bin", test.headers...)
			if r.StatusCode != want {
				t.Errorf("%s %q: %d, want %d", method, test.headers, r.StatusCode, want)
			}
			if r.StatusCode == 304 && (r.Header.Get("ETag") != tag || r.Header.Get("Content-Length") != "") {
				t.Errorf("%s %q: %v", method, test.headers, r.Header)
			}
		}
	}
}

// One range is answered as the standard library's file server answers it.
func FuzzRangeLikeStandard(f *testing.F) {
	f.Add(uint8(16), true, true, uint64(0), uint64(0))
	f.Add(uint8(16), false, true, uint64(0), uint64(5))
	f.Add(uint8(16), true, false, uint64(15), uint64(0))
	f.Add(uint8(16), true, true, uint64(9), uint64(2))
	f.Add(uint8(1), true, false, uint64(1<<63-1), uint64(0))
	f.Fuzz(func(t *testing.T, size uint8, hasFirst, hasLast bool, first, last uint64) {
		field := "bytes="
		if hasFirst {
			field += fmt.Sprint(first >> 1) // they take 63 bits
		}
		field += "-"
		if hasLast {
			field += fmt.Sprint(last >> 1)
		}
		if size == 0 || !hasFirst && last>>1 == 0 { // for "-0" they send what is no range: "bytes 1-0/1"
			t.Skip()
		}
		content := strings.Repeat("x", int(size))
		ours, body, _ := ask(t, newFake("f", content), "GET", "/f", "Range", field)
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/f", nil)
		r.Header.Set("Range", field)
		http.ServeContent(w, r, "f", time.Time{}, strings.NewReader(content))
		theirs := w.Result()
		if ours.StatusCode != theirs.StatusCode || ours.StatusCode == 206 && (ours.Header.Get("Content-Range") != theirs.Header.Get("Content-Range") || body != w.Body.String()) {
			t.Errorf("%q of %d: %d %s, the standard library says %d %s", field, size,
				ours.StatusCode, ours.Header.Get("Content-Range"), theirs.StatusCode, theirs.Header.Get("Content-Range"))
		}
	})
}

// Ranges lie in the file, in whatever is asked for.
func FuzzRanges(f *testing.F) {
	f.Add("bytes=0-1,-5,7-", int64(100))
	f.Add("bytes=9223372036854775807-", int64(1))
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			t.Skip()
		}
		ranges, ok := parseRanges(field, size)
		if !ok && ranges != nil || len(ranges) > mostRanges {
			t.Fatalf("%d ranges, %t", len(ranges), ok)
		}
		var total int64
		for _, r := range ranges {
			if r.offset < 0 || r.length < 1 || r.offset > size-r.length {
				t.Fatalf("%+v of %d", r, size)
			}
			total += r.length
		}
		if total > size {
			t.Fatalf("%d bytes of %d", total, size)
		}
	})
}

// A SHA-256 that is known is said, in the old way to who asks for that.
func TestDigest(t *testing.T) {
	s := newFake("data.bin", text)
	s.sha = true
	sum := sha256.Sum256([]byte(text))
	want := base64.StdEncoding.EncodeToString(sum[:])
	for asked, says := range map[string]bool{
		"":                                     false,
		"SHA-512;q=1, SHA-256;q=1, SHA;q=0.1":  true, // aria2
		"sha-256":                              true,
		"SHA-256;q=0":                          false,
		"sha-256 ; q=0.000":                    false,
		"SHA-512, adler32":                     false,
		strings.Repeat(",", 500) + "; q ,sha-": false,
	} {
		r, _, _ := ask(t, s, "GET", "/data.bin", "Want-Digest", asked, "Range", "bytes=0-0")
		if got := r.Header.Get("Repr-Digest"); got != "sha-256=:"+want+":" {
			t.Errorf("Repr-Digest %q", got)
		}
		if got := r.Header.Get("Digest"); (got == "SHA-256="+want) != says || !says && got != "" {
			t.Errorf("Want-Digest %q: Digest %q", asked, got)
		}
	}
}

// A file that changes is never taken for whole: before its first byte there is
// another answer, and behind that the connection is cut.
func TestChangedUnderARange(t *testing.T) {
	for _, good := range []int64{0, 1, 15} {
		s := newFake("data.bin", text)
		s.fails, s.good = ErrGone, good
		r, body, cut := ask(t, s, "GET", "/data.bin")
		if good > 0 {
			if !cut || r.StatusCode != 200 || body != text[:good] {
				t.Errorf("after %d bytes: %d, %q, cut: %t", good, r.StatusCode, body, cut)
			}
			continue
		}
		// fakeStore writes nothing, but Write was called.
		if !cut {
			t.Errorf("nothing was sent: %d, %q", r.StatusCode, body)
		}
	}
	s := newFake("data.bin", text)
	site := New(Config{Store: goneStore{s}, Now: time.Now})
	r, body, cut := askSite(t, site, "GET", "/data.bin", "Range", "bytes=1-")
	if cut || r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(body, "has changed") {
		t.Errorf("before the first byte: %d, %q, cut: %t", r.StatusCode, body, cut)
	}
	for _, name := range []string{"ETag", "Content-Range", "Accept-Ranges", "Last-Modified", "Content-Disposition", "Link"} {
		if got := r.Header.Get(name); got != "" {
			t.Errorf("the other answer has %s %q", name, got)
		}
	}
}

// A goneStore has lost its bytes.
type goneStore struct{ *fakeStore }

func (goneStore) Copy(_ context.Context, _ io.Writer, _ wire.Span) error { return ErrGone }

// While there is nothing to offer, that is said with a time.
func TestUnready(t *testing.T) {
	for err, want := range map[error]string{
		&HashingError{Done: 512, Total: 1024}: "hashed (50 %)",
		&HashingError{}:                       "being hashed. Then",
		errors.New("secret/path: I/O error"):  "cannot be read",
	} {
		s := newFake("data.bin", text)
		s.err = err
		for _, path := range []string{"/", "/data.bin", "/other"} {
			r, body, _ := ask(t, s, "GET", path)
			if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(body, want) || strings.Contains(body, "secret") {
				t.Errorf("%s: %d, %q", path, r.StatusCode, body)
			}
		}
	}
}

// What is asked for in other ways, or with a body, is refused, and nothing of
// it is read.
func TestMethods(t *testing.T) {
	s := newFake("data.bin", text)
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "PROPFIND"} {
		r, body, _ := ask(t, s, method, "/data.bin")
		if r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" || strings.Contains(body, text) {
			t.Errorf("%s: %d", method, r.StatusCode)
		}
	}
	r := httptest.NewRequest("GET", "/data.bin", bytes.NewReader([]byte("body")))
	w := httptest.NewRecorder()
	New(Config{Store: s}).ServeHTTP(w, r)
	if w.Code != 400 || w.Header().Get("Connection") != "close" {
		t.Errorf("with a body: %d", w.Code)
	}
}

// Nothing that a file holds runs in the server's origin.
func TestTypes(t *testing.T) {
	for name, want := range map[string]string{
		"a.html": "", "a.HTM": "", "a.svg": "", "a.xml": "", "a.xhtml": "", "a.js": "", "a.mjs": "", "a.css": "", "a.swf": "", "a.pdf": "",
		"a.mhtml": "", "a": "", "html": "", ".html": "", "a.txt.html": "", "a.html ": "",
		"a.txt": "text/plain; charset=utf-8", "a.TXT": "text/plain; charset=utf-8", "a.html.txt": "text/plain; charset=utf-8", "a.png": "image/png", "a.mp4": "video/mp4",
	} {
		r, _, _ := ask(t, newFake(name, text), "GET", "/"+url.PathEscape(name))
		kind, saved := r.Header.Get("Content-Type"), r.Header.Get("Content-Disposition") == "attachment"
		if want == "" && (!saved || strings.HasPrefix(kind, "text/") || strings.Contains(kind, "xml") || strings.Contains(kind, "script")) {
			t.Errorf("%q is shown as %s", name, kind)
		}
		if want != "" && (saved || kind != want) {
			t.Errorf("%q is %s, saved: %t; want %s", name, kind, saved, want)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%q: %v", name, r.Header)
		}
	}
}
