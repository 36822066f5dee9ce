package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"malcolm/certs"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

// fakeModified is when every file of a fakeStore was last changed.
var fakeModified = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)

// A fakeStore has what it offers in memory.
type fakeStore struct {
	name    string
	entries []wire.Entry // of a tree; nil: it is a file
	content map[[32]byte][]byte
	file    [32]byte // the checksum of the file
	sha     bool     // SHA-256s are known
	err     error    // of Open

	fails  error // of Copy, after good bytes
	good   int64
	copied int64
	open   int // shelves
}

// newFake returns a store with a file, or with a tree: then content says what
// lies at each path; a path that ends in "/" is an empty directory, and content
// that begins with "->" is a link.
func newFake(name string, content any) *fakeStore {
	s := &fakeStore{name: name, content: make(map[[32]byte][]byte)}
	switch content := content.(type) {
	case string:
		s.file = s.add(content)
	case map[string]string:
		s.entries = []wire.Entry{}
		for path, text := range content {
			e := wire.Entry{Path: path, Kind: wire.EntryFile, Size: int64(len(text))}
			switch {
			case path[len(path)-1] == '/':
				e.Kind, e.Path = wire.EntryDirectory, path[:len(path)-1]
			case len(text) > 2 && text[:2] == "->":
				e.Kind, e.Target, e.Size = wire.EntryLink, text[2:], 0
			default:
				e.Checksum = s.add(text)
			}
			s.entries = append(s.entries, e)
		}
		slices.SortFunc(s.entries, func(a, b wire.Entry) int {
			if wire.PathLess(a.Path, b.Path) {
				return -1
			}
			return 1
		})
	}
	return s
}

func (s *fakeStore) add(text string) [32]byte {
	sum := blake3.Sum256([]byte(text))
	s.content[sum] = []byte(text)
	return sum
}

func (s *fakeStore) Open(context.Context) (Shelf, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.open++
	return &fakeShelf{s}, nil
}

func (s *fakeStore) Copy(_ context.Context, w io.Writer, span wire.Span) error {
	b := s.content[span.Checksum][span.Offset:][:span.Length]
	if s.fails != nil {
		w.Write(b[:min(s.good, int64(len(b)))])
		return s.fails
	}
	n, err := w.Write(b)
	s.copied += int64(n)
	return err
}

type fakeShelf struct{ s *fakeStore }

func (f *fakeShelf) Name() string { return f.s.name }
func (f *fakeShelf) Len() int     { return len(f.s.entries) }
func (f *fakeShelf) Close()       { f.s.open-- }

func (f *fakeShelf) Offer() wire.Offer {
	o := wire.Offer{Name: f.s.name, ModTime: fakeModified}
	if f.s.entries == nil {
		o.Checksum, o.Size = f.s.file, int64(len(f.s.content[f.s.file]))
		return o
	}
	o.Kind, o.Size, o.Checksum = wire.KindTree, int64(len(f.listing())), blake3.Sum256(f.listing())
	return o
}

func (f *fakeShelf) Listing() io.WriterTo {
	if f.s.entries == nil {
		return nil
	}
	return bytes.NewReader(f.listing())
}

func (f *fakeShelf) listing() []byte {
	b, err := wire.AppendListing(nil, f.s.entries)
	if err != nil {
		panic(err)
	}
	return b
}

func (f *fakeShelf) Totals() (files int, bytes int64) {
	for _, e := range f.s.entries {
		if e.IsFile() {
			files++
			bytes += e.Size
		}
	}
	return files, bytes
}

func (f *fakeShelf) Entry(i int) (wire.Entry, time.Time) { return f.s.entries[i], fakeModified }

func (f *fakeShelf) of(i int) []byte {
	if f.s.entries == nil {
		return f.s.content[f.s.file]
	}
	return f.s.content[f.s.entries[i].Checksum]
}

func (f *fakeShelf) IsFirst(i int) bool {
	same := func(e wire.Entry) bool { return e.Checksum == f.s.entries[i].Checksum }
	return slices.IndexFunc(f.s.entries, same) == i
}

func (f *fakeShelf) SHA256(i int) ([32]byte, bool) {
	if !f.s.sha {
		return [32]byte{}, false
	}
	return sha256.Sum256(f.of(i)), true
}

func (f *fakeShelf) WriteValues(w io.Writer, i int) error {
	values, _, err := manifest.Build(context.Background(), bytes.NewReader(f.of(i)), int64(len(f.of(i))), manifest.BuildOptions{})
	if err == nil {
		_, err = w.Write(values.Bytes())
	}
	return err
}

// testNow is the time of the tests' sites.
var testNow = fakeModified.Add(time.Hour)

// ask asks a site of a store. headers are names and values in turn. cut: the
// answer was not finished.
func ask(t *testing.T, s *fakeStore, method, target string, headers ...string) (r *http.Response, body string, cut bool) {
	t.Helper()
	return askSite(t, New(Config{Store: s, Now: func() time.Time { return testNow }}), method, target, headers...)
}

func askSite(t *testing.T, site *Site, method, target string, headers ...string) (r *http.Response, body string, cut bool) {
	t.Helper()
	request := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != nil {
				if p != http.ErrAbortHandler {
					panic(p)
				}
				cut = true
			}
		}()
		site.ServeHTTP(w, request)
	}()
	r = w.Result()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if store, ok := site.cfg.Store.(*fakeStore); ok && store.open != 0 {
		t.Errorf("%s %s leaves %d shelves open", method, target, store.open)
	}
	if length := r.Header.Get("Content-Length"); !cut && method != http.MethodHead && length != "" && length != fmt.Sprint(len(b)) {
		t.Errorf("%s %s: Content-Length %s of %d bytes", method, target, length, len(b))
	}
	return r, string(b), cut
}

// signedBy returns a site that answers only links signed with a token, and the
// token.
func signedBy(t *testing.T, s *fakeStore) (*Site, certs.Token) {
	t.Helper()
	token, err := certs.ParseToken("a token of more than thirty characters")
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Store: s, Tokens: func() []certs.Token { return []certs.Token{token} }, Now: func() time.Time { return testNow }}), token
}
