package wire

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The numbers of malcolm/1, with the names of the specification. They never
// change; another number needs another ALPN.
var (
	frozenTypes    = map[string]uint64{"open": 0, "stat": 1, "values": 2, "ranges": 3, "recheck": 4, "path": 5}
	frozenStatuses = map[string]uint64{
		"ok": 0, "indexing": 1, "changed": 2, "not found": 3, "out of range": 4, "unsupported": 5,
		"malformed": 6, "denied": 7, "busy": 8, "stopping": 9, "unreadable": 10, "failed span": 11,
	}
	frozenCloseCodes = map[string]uint64{
		"done": 0, "stopping": 1, "protocol": 2, "limit": 3, "denied": 4, "untrusted": 5, "internal": 6,
	}
	frozenStreamCodes = map[string]uint64{
		"cancelled": 1, "changed": 2, "unreadable": 3, "stalled": 4, "stopping": 5, "protocol": 6, "internal": 7,
	}
	frozenSegments = map[string]uint64{"end": 0, "reset": 1, "close": 2}
	frozenKinds    = map[string]uint64{"file": 0, "tree": 1}
	frozenEntries  = map[string]uint64{"file": 0, "executable": 1, "directory": 2, "link": 3}
)

func TestFrozenLimits(t *testing.T) {
	if got, want := ALPN, "malcolm/1"; got != want {
		t.Errorf("ALPN: got %q, want %q", got, want)
	}
	for _, tt := range []struct {
		name      string
		got, want uint64
	}{
		{"MaxRequestLen", MaxRequestLen, 16_384},
		{"MaxFrameLen", MaxFrameLen, 131_072},
		{"MaxSegmentLen", MaxSegmentLen, 262_144},
		{"MaxOfferLen", MaxOfferLen, 1024},
		{"MaxNameLen", MaxNameLen, 230},
		{"MaxReportLen", MaxReportLen, 64},
		{"MaxPackets", MaxPackets, 281_474_976_710_656},
		{"MaxWindow", MaxWindow, 1_099_511_627_776},
		{"MaxRTT in microseconds", uint64(MaxRTT / time.Microsecond), 67_108_864},
		{"MaxRank", MaxRank, 1000},
		{"MaxTextLen", MaxTextLen, 256},
		{"MaxWait", MaxWait, 4_294_967_296},
		{"MaxSelectorLen", MaxSelectorLen, 1024},
		{"MaxSpans", MaxSpans, 256},
		{"MaxFileSize", MaxFileSize, 17_592_186_044_416},
		{"MaxChunks", MaxChunks, 1_048_576},
		{"MaxInlineValues", MaxInlineValues, 65_536},
		{"LeastLongest", LeastLongest, 16_777_216},
		{"ValueLen", ValueLen, 32},
		{"MaxEntries", MaxEntries, 1_048_576},
		{"MaxListingLen", MaxListingLen, 134_217_728},
		{"MaxPathLen", MaxPathLen, 4096},
		{"MaxPartLen", MaxPartLen, 255},
		{"types in a tail", maxTail, 16},
		{"bytes of a type in a tail", maxTailLen, 256},
		{"first idle type", firstIdle, 65_536},
		{"last idle type", lastIdle, 1_073_741_824},
		{"bytes of an idle type", maxIdleLen, 16},
		{"type congestion of a tail", tailCongestion, 1},
		{"bytes of a congestion control's name", maxCongestionLen, 16},
		{"run", runLen, 16},
		{"key", keyLen, 8},
		{"flag values", flagValues, 1},
		{"streams and wasted", maxCount, 2_147_483_647},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, tt.got, tt.want)
		}
	}
	for name, tt := range map[string]struct{ got, want string }{
		"listing":        {listingMagic, "malcolm listing 1\n"},
		"list of times":  {timesMagic, "malcolm times 1\n"},
		"file of values": {valuesMagic, "malcolm values 1\n"},
	} {
		if tt.got != tt.want {
			t.Errorf("first bytes of a %s: got %q, want %q", name, tt.got, tt.want)
		}
	}
}

// TestFrozenNumbers compares the constants of the code, all of them, with the
// numbers above.
func TestFrozenNumbers(t *testing.T) {
	for prefix, want := range map[string]map[string]uint64{
		"type":    frozenTypes,
		"Status":  frozenStatuses,
		"Close":   frozenCloseCodes,
		"Stream":  frozenStreamCodes,
		"Segment": frozenSegments,
		"Kind":    frozenKinds,
		"Entry":   frozenEntries,
	} {
		got := constants(t, prefix)
		if inOneWord := withoutSpaces(want); !maps.Equal(got, inOneWord) {
			t.Errorf("constants %s...:\n got %v\nwant %v", prefix, got, inOneWord)
		}
	}
	for want, r := range []Request{Open{}, StatRequest{}, ValuesRequest{}, RangesRequest{}, RecheckRequest{}, PathRequest{}} {
		if got := r.requestType(); got != uint64(want) {
			t.Errorf("type of %T: got %d, want %d", r, got, want)
		}
	}
	if checksumBLAKE3 != 0 {
		t.Errorf("kind of a BLAKE3: got %d, want 0", checksumBLAKE3)
	}
}

func TestStatusString(t *testing.T) {
	for want, n := range frozenStatuses {
		if got := Status(n).String(); got != want {
			t.Errorf("status %d: got %q, want %q", n, got, want)
		}
	}
	for _, n := range []uint64{12, 64, 1<<64 - 1} {
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
	entries := map[string]uint64{"file": 0, "executable file": 1, "empty directory": 2, "link": 3}
	for name, tt := range map[string]struct {
		got, want map[string]uint64
	}{
		"request types": {columns(t, spec["Request"], "type"), frozenTypes},
		"statuses":      {columns(t, spec["Reply"], "status"), frozenStatuses},
		"close codes":   {rows(codes[0]), frozenCloseCodes},
		"stream codes":  {rows(codes[1]), frozenStreamCodes},
		"segment kinds": {rows(spec["Connection"]), frozenSegments},
		"offer kinds":   {listed(t, spec["Offer"]), frozenKinds},
		"entry kinds":   {listed(t, spec["Listing"]), entries},
	} {
		if !maps.Equal(tt.got, tt.want) {
			t.Errorf("%s of the specification:\n got %v\nwant %v", name, tt.got, tt.want)
		}
	}
}

// listed reads the numbers of "kind: 0 = name, 1 = name; ..." or "...\n\t
// bytes<=".
func listed(t *testing.T, section string) map[string]uint64 {
	t.Helper()
	_, list, ok := strings.Cut(section, "kind: ")
	if !ok {
		t.Fatal("no list of kinds")
	}
	list = list[:strings.IndexAny(list, ";<")]
	got := map[string]uint64{}
	for _, m := range regexp.MustCompile(`(\d+) =\s+(\w+(?: \w+)?)(?:,|$|\n)`).FindAllStringSubmatch(list, -1) {
		n, _ := strconv.ParseUint(m[1], 10, 64)
		got[m[2]] = n
	}
	return got
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
	for _, name := range []string{"codes.go", "request.go", "reply.go", "listing.go"} {
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
