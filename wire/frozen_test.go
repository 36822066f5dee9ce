package wire

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/bits"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The numbers of malcolm/1, with the names of the specification. They never
// change; another number needs another ALPN.
var (
	frozenTypes    = map[string]uint64{"hello": 1, "manifest": 2, "range": 3, "recheck": 4}
	frozenStatuses = map[string]uint64{
		"ok": 0, "indexing": 1, "changed": 2, "not found": 3, "out of range": 4, "unsupported": 5,
		"malformed": 6, "denied": 7, "busy": 8, "stopping": 9, "unreadable": 10,
	}
	frozenCloseCodes = map[string]uint64{
		"done": 0, "stopping": 1, "protocol": 2, "limit": 3, "denied": 4, "untrusted": 5, "internal": 6,
	}
	frozenStreamCodes = map[string]uint64{
		"cancelled": 1, "changed": 2, "unreadable": 3, "stalled": 4, "stopping": 5, "protocol": 6, "internal": 7,
	}
)

func TestFrozenLimits(t *testing.T) {
	if got, want := ALPN, "malcolm/1"; got != want {
		t.Errorf("ALPN: got %q, want %q", got, want)
	}
	for _, tt := range []struct {
		name      string
		got, want uint64
	}{
		{"MaxRequestLen", MaxRequestLen, 4096},
		{"MaxOfferLen", MaxOfferLen, 1024},
		{"MaxNameLen", MaxNameLen, 230},
		{"MaxTextLen", MaxTextLen, 256},
		{"MaxSelectorLen", MaxSelectorLen, 1024},
		{"MaxFileSize", MaxFileSize, 17_592_186_044_416},
		{"MaxChunks", MaxChunks, 1_048_576},
		{"MaxInlineValues", MaxInlineValues, 65_536},
		{"values of the largest file", uint64(ValuesLen(MaxChunks)), 33_554_432},
		{"flag inline manifest", flagInlineManifest, 1},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, tt.got, tt.want)
		}
	}
}

// TestFrozenNumbers compares the constants of the code, all of them, with the
// numbers above.
func TestFrozenNumbers(t *testing.T) {
	for prefix, want := range map[string]map[string]uint64{
		"type":   frozenTypes,
		"Status": frozenStatuses,
		"Close":  frozenCloseCodes,
		"Stream": frozenStreamCodes,
	} {
		got := constants(t, prefix)
		if inOneWord := withoutSpaces(want); !maps.Equal(got, inOneWord) {
			t.Errorf("constants %s...:\n got %v\nwant %v", prefix, got, inOneWord)
		}
	}
	if got := (Hello{}).requestType(); got != 1 {
		t.Errorf("type of hello: got %d, want 1", got)
	}
	if got := (ManifestRequest{}).requestType(); got != 2 {
		t.Errorf("type of manifest: got %d, want 2", got)
	}
	if got := (RangeRequest{}).requestType(); got != 3 {
		t.Errorf("type of range: got %d, want 3", got)
	}
	if got := (RecheckRequest{}).requestType(); got != 4 {
		t.Errorf("type of recheck: got %d, want 4", got)
	}
}

func TestStatusString(t *testing.T) {
	for want, n := range frozenStatuses {
		if got := Status(n).String(); got != want {
			t.Errorf("status %d: got %q, want %q", n, got, want)
		}
	}
	for _, n := range []uint64{11, 64, 1<<64 - 1} {
		if got, want := Status(n).String(), fmt.Sprintf("status %d", n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestSpecificationTables compares the tables of the package comment, row by
// row, with the numbers above.
func TestSpecificationTables(t *testing.T) {
	spec := specification(t)
	codes := strings.SplitN(spec["Codes"], "\nThe code with which one side of a stream", 2)
	if len(codes) != 2 {
		t.Fatal("the section about codes has not two tables")
	}
	for name, tt := range map[string]struct {
		got, want map[string]uint64
	}{
		"request types": {columns(t, spec["Request"], "type"), frozenTypes},
		"statuses":      {columns(t, spec["Reply"], "status"), frozenStatuses},
		"close codes":   {rows(codes[0]), frozenCloseCodes},
		"stream codes":  {rows(codes[1]), frozenStreamCodes},
	} {
		if !maps.Equal(tt.got, tt.want) {
			t.Errorf("%s of the specification:\n got %v\nwant %v", name, tt.got, tt.want)
		}
	}
}

// TestSpecificationLimits finds each limit in the package comment.
func TestSpecificationLimits(t *testing.T) {
	spec := specification(t)
	log2 := func(n uint64) int {
		if n&(n-1) != 0 {
			t.Fatalf("%d is no power of two", n)
		}
		return bits.Len64(n) - 1
	}
	size := fmt.Sprintf("at most 2^%d", log2(MaxFileSize))
	for _, tt := range []struct{ section, want string }{
		{"Connection", fmt.Sprintf("ALPN %q", ALPN)},
		{"Notation", fmt.Sprintf("hash        %d bytes\n", hashLen)},
		{"Notation", fmt.Sprintf("proof       bytes<=%d of length 0 (none) or %[1]d", hashLen)},
		{"Request", fmt.Sprintf("length of the body, at most %d\n", MaxRequestLen)},
		{"Request", fmt.Sprintf("bit 0 = send the values with the offer if they\n\t                are at most %d bytes", MaxInlineValues)},
		{"Request", fmt.Sprintf("bytes<=%d selector", MaxSelectorLen)},
		{"Request", "offset + length is " + size + "\n"},
		{"Reply", fmt.Sprintf("A text is bytes<=%d ", MaxTextLen)},
		{"Reply", "each " + size},
		{"Offer", fmt.Sprintf("At most %d bytes.", MaxOfferLen)},
		{"Offer", "size of the file in bytes, " + size},
		{"Offer", fmt.Sprintf("nanoseconds, 0 to %d", maxNanos)},
		{"Offer", fmt.Sprintf("bytes<=%d  name", MaxNameLen)},
		{"Offer", fmt.Sprintf("none follow; at\n\t            most %d", MaxInlineValues)},
		{"Values", fmt.Sprintf("%dn bytes for the n chunks of a file, at most 2^%d.", hashLen, log2(MaxChunks))},
	} {
		if !strings.Contains(spec[tt.section], tt.want) {
			t.Errorf("section %q does not say %q", tt.section, tt.want)
		}
	}
}

// specification returns the sections of the package comment by their titles.
func specification(t *testing.T) map[string]string {
	t.Helper()
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(file.Doc.Text(), "\n# ")[1:] {
		title, text, _ := strings.Cut(s, "\n")
		sections[title] = text
	}
	return sections
}

// columns reads the table under the line "first name body": the number and the
// name of each row.
func columns(t *testing.T, section, first string) map[string]uint64 {
	t.Helper()
	head := regexp.MustCompile(`(?m)^\t` + first + ` +name +body$`).FindStringIndex(section)
	if head == nil {
		t.Fatalf("no table of %s, name, body", first)
	}
	line := section[head[0]:head[1]]
	name, body := strings.Index(line, "name"), strings.Index(line, "body")
	got := map[string]uint64{}
	for row := range strings.Lines(section[head[1]+1:]) {
		if !strings.HasPrefix(row, "\t") {
			break
		}
		n, err := strconv.ParseUint(strings.TrimSpace(row[:min(name, len(row))]), 10, 64)
		if err != nil {
			continue // a further line of the row above
		}
		got[strings.TrimSpace(row[name:body])] = n
	}
	return got
}

// rows reads a table of numbers and names of one word.
func rows(section string) map[string]uint64 {
	got := map[string]uint64{}
	for _, m := range regexp.MustCompile(`(?m)^\t(\d+)  (\w+) `).FindAllStringSubmatch(section, -1) {
		n, _ := strconv.ParseUint(m[1], 10, 64)
		got[m[2]] = n
	}
	return got
}

// constants returns the numbers that the package gives to names with prefix,
// without it and in lower case.
func constants(t *testing.T, prefix string) map[string]uint64 {
	t.Helper()
	got := map[string]uint64{}
	for _, name := range []string{"codes.go", "request.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
				return true
			}
			lit, ok := spec.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is not an explicit number", spec.Names[0].Name)
			}
			v, err := strconv.ParseUint(lit.Value, 0, 64)
			if err != nil {
				t.Fatalf("%s: %v", spec.Names[0].Name, err)
			}
			got[strings.ToLower(strings.TrimPrefix(spec.Names[0].Name, prefix))] = v
			return true
		})
	}
	return got
}

func withoutSpaces(m map[string]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for k, v := range m {
		out[strings.ReplaceAll(k, " ", "")] = v
	}
	return out
}
