package wire

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A target is one parser of foreign bytes. Its check parses b and reports
// whether b was accepted. The encoder must return an accepted message byte by
// byte, since a message has only one encoding.
type target struct {
	name  string
	check func(t testing.TB, b []byte) (accepted bool)
	seeds []message // valid ones
}

func targets() []target {
	return []target{
		{"FuzzReadRequest", checkRequest, requests()},
		{"FuzzReadHeader", checkHeader, of[Header](replies())},
		{"FuzzReadRefusal", checkRefusal, of[Refusal](replies())},
		{"FuzzParseIndexing", checkIndexing, of[Indexing](replies())},
		{"FuzzParseOffer", checkOffer, offers()},
		{"FuzzParseValues", checkValues, lists()},
	}
}

// of returns the messages that are a T.
func of[T any](all []message) []message {
	return slices.DeleteFunc(all, func(m message) bool { _, ok := m.value.(T); return !ok })
}

func FuzzReadRequest(f *testing.F)   { fuzz(f) }
func FuzzReadHeader(f *testing.F)    { fuzz(f) }
func FuzzReadRefusal(f *testing.F)   { fuzz(f) }
func FuzzParseIndexing(f *testing.F) { fuzz(f) }
func FuzzParseOffer(f *testing.F)    { fuzz(f) }
func FuzzParseValues(f *testing.F)   { fuzz(f) }

// fuzz runs the target that has f's name. Its seeds are the valid messages,
// also cut short, with a byte too many, and with a bit flipped. Odd seeds are
// files in testdata.
func fuzz(f *testing.F) {
	i := slices.IndexFunc(targets(), func(t target) bool { return t.name == f.Name() })
	if i < 0 {
		f.Fatalf("no target of the name %s", f.Name())
	}
	target := targets()[i]
	for _, m := range target.seeds {
		b := m.bytes(f)
		f.Add(b)
		f.Add(append(bytes.Clone(b), 0))
		if len(b) == 0 {
			continue
		}
		f.Add(b[:len(b)-1])
		flipped := bytes.Clone(b)
		flipped[len(b)/2] ^= 0x40
		f.Add(flipped)
	}
	f.Fuzz(func(t *testing.T, b []byte) { target.check(t, b) })
}

// same fails unless an accepted message is encoded as the bytes consumed.
func same(t testing.TB, encoded, consumed []byte) {
	t.Helper()
	if !bytes.Equal(encoded, consumed) {
		t.Errorf("another encoding of one message\n got %x\nwant %x", encoded, consumed)
	}
}

// refused fails unless a parser of memory says that b is malformed.
func refused(t testing.TB, err error) bool {
	t.Helper()
	if !isMalformed(err) {
		t.Errorf("got %v, want a *MalformedError", err)
	}
	return false
}

// refusedStream is refused for a reader of a stream, which may also end.
func refusedStream(t testing.TB, b []byte, err error) bool {
	t.Helper()
	if err == io.ErrUnexpectedEOF || err == io.EOF && len(b) == 0 {
		return false
	}
	return refused(t, err)
}

func checkRequest(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	req, err := ReadRequest(r)
	consumed := b[:len(b)-r.Len()]
	if e, ok := errors.AsType[*UnsupportedError](err); ok {
		d := decoder{b: consumed}
		if got := d.varint("type", 1<<62-1); got != e.Type || got >= 1 && got <= 3 {
			t.Errorf("type %d was called unsupported, as %d", got, e.Type)
		}
		d.bytes("body", MaxRequestLen)
		if err := d.done(); err != nil {
			t.Errorf("an unsupported request was not consumed as a whole: %v", err)
		}
		return false
	}
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, AppendRequest(nil, req), consumed)
	return true
}

func checkHeader(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	h, err := ReadHeader(r)
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, h.Append(nil), b[:len(b)-r.Len()])
	return true
}

func checkRefusal(t testing.TB, b []byte) bool {
	r := bytes.NewReader(b)
	e, err := readRefusalFrame(r)
	if err != nil {
		return refusedStream(t, b, err)
	}
	same(t, AppendRefusal(nil, e.Status, e.Text), b[:len(b)-r.Len()])
	if s := e.Error(); len(s) > 2048 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("text of the error is not safe to print: %q", s)
	}
	return true
}

func checkIndexing(t testing.TB, b []byte) bool {
	i, err := ParseIndexing(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, i.Append(nil), b)
	if i.Done < 0 || i.Done > i.Total || i.Total > MaxFileSize {
		t.Errorf("accepted %+v", i)
	}
	return true
}

func checkOffer(t testing.TB, b []byte) bool {
	o, err := ParseOffer(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, o.Append(nil), b)
	if o.Size < 0 || o.Size > MaxFileSize || o.ValuesLen < 0 || o.ValuesLen > MaxInlineValues {
		t.Errorf("accepted %+v", o)
	}
	return true
}

func checkValues(t testing.TB, b []byte) bool {
	v, err := ParseValues(b)
	if err != nil {
		return refused(t, err)
	}
	same(t, v.Append(nil), b)
	rebuilt := NewValues(v.Len())
	for i := range v.Len() {
		rebuilt.Set(i, v.At(i))
	}
	same(t, rebuilt.Bytes(), b)
	return true
}

// TestSeedCorpora proves that the seeds of every fuzz target of the package are
// still where go test looks for them, and that some are accepted and some
// refused.
func TestSeedCorpora(t *testing.T) {
	var names []string
	for _, target := range targets() {
		names = append(names, target.name)
		if len(target.seeds) == 0 {
			t.Errorf("%s: no seeds by f.Add", target.name)
		}
		for _, m := range target.seeds {
			if !target.check(t, m.bytes(t)) {
				t.Errorf("%s: the seed %q is not accepted", target.name, m.name)
			}
		}
		files, err := filepath.Glob(filepath.Join("testdata", "fuzz", target.name, "*"))
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for _, file := range files {
			if target.check(t, seed(t, file)) {
				accepted++
			}
		}
		if accepted == 0 || accepted == len(files) {
			t.Errorf("%s: %d of %d seed files are accepted, want some and not all", target.name, accepted, len(files))
		}
	}
	slices.Sort(names)
	if got := fuzzFunctions(t); !slices.Equal(got, names) {
		t.Errorf("fuzz functions: got %v, want %v", got, names)
	}
	dirs, err := filepath.Glob(filepath.Join("testdata", "fuzz", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, dir := range dirs {
		dirs[i] = filepath.Base(dir)
	}
	if !slices.Equal(dirs, names) {
		t.Errorf("directories of seeds: got %v, want %v", dirs, names)
	}
}

// seed reads a seed file with one []byte.
func seed(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	version, rest, _ := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	literal, opened := strings.CutPrefix(strings.TrimSpace(rest), "[]byte(")
	literal, closed := strings.CutSuffix(literal, ")")
	b, err := strconv.Unquote(literal)
	if version != "go test fuzz v1" || !opened || !closed || err != nil {
		t.Fatalf("%s is no seed file of one []byte", file)
	}
	return []byte(b)
}

// fuzzFunctions returns the fuzz functions that the package's tests declare.
func fuzzFunctions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Fuzz") {
				names = append(names, fn.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}
