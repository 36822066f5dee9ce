package partfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"
)

var (
	testHeader = Header{Size: 35, ChunkSize: testChunk, Checksum: [32]byte{0: 0xc0, 31: 0x0c}}
	testHolder = Holder{Host: "häuschen", PID: 4711, Start: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
)

// testXXH is what the tests record of a chunk.
func testXXH(chunk int) [16]byte { return [16]byte{0: 0xaa, 15: byte(chunk + 1)} }

// testJournal is a journal of testHeader with a record for each of chunks,
// closed.
func testJournal(chunks ...int) []byte {
	s := newSealer(testHeader)
	b := s.append(testHolder.append(testHeader.append(nil)), record{kind: recordClosed})
	for _, chunk := range chunks {
		b = s.append(b, record{kind: recordGood, chunk: uint32(chunk), xxh: testXXH(chunk)})
	}
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenJournal(t *testing.T) {
	fields := unhex(t, `6d616c636f6c6d4a 00000001 00000000 0000000000000023 0000000000000008
		c0000000000000000000000000000000 0000000000000000000000000000000c`)
	header := append(append(fields, make([]byte, 440)...), unhex(t, "bdf8242ca6b84d9b")...)
	holder := unhex(t, `0000000000001267 0000000069a42a40 09 68c3a475736368656e`)
	holder = append(append(holder, make([]byte, 504-len(holder))...), unhex(t, "7886b716cca16d3d")...)
	closed := unhex(t, `00000004 00000000 00000000000000000000000000000000 1526161d5dd1035a`)
	good := unhex(t, `00000001 00000003 aa000000000000000000000000000004 da974ea4f8aaa9b1`)
	void := unhex(t, `00000002 00000003 00000000000000000000000000000000 e9cb1705684aa70f`)

	for _, c := range []struct {
		name      string
		got, want []byte
	}{
		{"header", testHeader.append([]byte("before"))[6:], header},
		{"holder", testHolder.append([]byte("before"))[6:], holder},
		{"journal", testJournal(3), bytes.Join([][]byte{header, holder, closed, good}, nil)},
	} {
		if !bytes.Equal(c.got, c.want) {
			at := 0
			for at < min(len(c.got), len(c.want)) && c.got[at] == c.want[at] {
				at++
			}
			t.Errorf("%s of %d bytes, want %d; from byte %d on % .16x, want % .16x", c.name, len(c.got), len(c.want), at, c.got[at:], c.want[at:])
		}
	}
	s := newSealer(testHeader)
	for _, c := range []struct {
		want record
		b    []byte
	}{
		{record{kind: recordClosed}, closed},
		{record{kind: recordGood, chunk: 3, xxh: testXXH(3)}, good},
		{record{kind: recordVoid, chunk: 3}, void},
	} {
		if got := s.append(nil, c.want); !bytes.Equal(got, c.b) {
			t.Errorf("record %+v\n% x, want\n% x", c.want, got, c.b)
		}
		if got, ok := s.parse(c.b); !ok || got != c.want {
			t.Errorf("parsed %+v, %t, want %+v", got, ok, c.want)
		}
	}
	if got, ok := parseHeader(header); !ok || got != testHeader {
		t.Errorf("parsed %+v, %t, want %+v", got, ok, testHeader)
	}
	if got, ok := parseHolder(holder); !ok || got != testHolder {
		t.Errorf("parsed %+v, %t, want %+v", got, ok, testHolder)
	}
}

func TestLongHostIsCut(t *testing.T) {
	long := Holder{Host: strings.Repeat("h", 300), PID: -1, Start: time.Unix(-5, 0).UTC()}
	b := long.append(nil)
	if len(b) != holderLen {
		t.Fatalf("%d bytes, want %d", len(b), holderLen)
	}
	want := long
	want.Host = long.Host[:maxHost]
	if got, ok := parseHolder(b); !ok || got != want {
		t.Errorf("got %+v, %t, want %+v", got, ok, want)
	}
}

// Records and headers with a right check and impossible values are refused.
func TestSenselessJournal(t *testing.T) {
	s := newSealer(testHeader)
	for _, r := range []record{
		{}, {kind: 5}, {kind: recordGood, chunk: 5}, {kind: recordGood, chunk: 1 << 31}, {kind: recordVoid, chunk: 5},
		{kind: recordVoid, chunk: 1, xxh: testXXH(1)}, {kind: recordClosed, chunk: 1}, {kind: recordOpen, xxh: testXXH(0)},
	} {
		if got, ok := s.parse(s.append(nil, r)); ok {
			t.Errorf("took %+v", got)
		}
	}
	for _, h := range []Header{
		{Size: -1, ChunkSize: 1}, {Size: 1}, {Size: 1, ChunkSize: -1}, {Size: maxChunks + 1, ChunkSize: 1},
	} {
		if _, ok := parseHeader(h.append(nil)); ok {
			t.Errorf("took %+v", h)
		}
	}
	resealed := testHeader.append(nil)
	resealed[100] = 1
	binary.BigEndian.PutUint64(resealed[504:], xxh3.Hash(resealed[:504]))
	if _, ok := parseHeader(resealed); ok {
		t.Error("took a header with bytes that have no meaning")
	}
}

// claimsOf opens a full part file of testHeader with this journal, and returns
// what it claims.
func claimsOf(t *testing.T, fsys *crashFS, journal []byte) (claims map[int][16]byte, usable bool, err error) {
	t.Helper()
	fsys.Put("x.part", rightBytes(testHeader.Size))
	fsys.Put("x.part.journal", journal)
	records, readErr := ReadRecords(fsys, "x", testHeader)
	f, err := Open(context.Background(), fsys, testOptions(Resume))
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	claims = map[int][16]byte{}
	err = f.EachRecord(func(chunk int, xxh [16]byte) bool {
		if _, ok := claims[chunk]; ok {
			t.Fatalf("chunk %d came twice", chunk)
		}
		claims[chunk] = xxh
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range f.Chunks() {
		if _, ok := claims[chunk]; ok != f.Claimed(chunk) {
			t.Fatalf("chunk %d is claimed: %t, and has a record: %t", chunk, f.Claimed(chunk), ok)
		}
	}
	if readErr != nil || !maps.Equal(records.XXH3, claims) || records.Whole != f.UsableJournal() {
		t.Fatalf("read without a lock: %v, %+v, opened: %x, %t", readErr, records, claims, f.UsableJournal())
	}
	return claims, f.UsableJournal(), nil
}

func testOptions(a Action) Options {
	return Options{
		Name: "x", Size: testHeader.Size, ChunkSize: testHeader.ChunkSize, Checksum: testHeader.Checksum, Action: a,
	}
}

func neverChoose(int) int { return 0 }

// wantClaims fails the test unless the claims are those of these chunks.
func wantClaims(t *testing.T, what string, got map[int][16]byte, chunks ...int) {
	t.Helper()
	want := map[int][16]byte{}
	for _, chunk := range chunks {
		want[chunk] = testXXH(chunk)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("%s: claims %x, want %x", what, got, want)
	}
}

// Records behind the cut are not claimed; all those before it are. If a record
// was cut, chunks without one are unknown.
func TestJournalCutAtEveryByte(t *testing.T) {
	whole, chunks := testJournal(4, 0, 2), []int{4, 0, 2}
	fsys := newCrashFS(neverChoose)
	for n := range len(whole) + 1 {
		got, usable, err := claimsOf(t, fsys, whole[:n])
		if err != nil {
			t.Fatal(err)
		}
		records := max(0, (n-recordsAt)/recordLen)
		wantClaims(t, "cut", got, chunks[:max(0, records-1)]...)
		if want := records > 0 && n%recordLen == 0; usable != want {
			t.Fatalf("cut at %d: usable %t, want %t", n, usable, want)
		}
	}
}

func TestJournalEveryBitFlipped(t *testing.T) {
	whole, chunks := testJournal(4, 0, 2), []int{4, 0, 2}
	fsys := newCrashFS(neverChoose)
	for bit := range 8 * len(whole) {
		flipped := bytes.Clone(whole)
		flipped[bit/8] ^= 1 << (bit % 8)
		got, usable, err := claimsOf(t, fsys, flipped)
		if err != nil {
			t.Fatal(err)
		}
		switch at := bit / 8; {
		case at < headerLen:
			wantClaims(t, "header", got)
		case at < recordsAt:
			wantClaims(t, "holder", got, chunks...)
			if _, ok := parseHolder(flipped[headerLen:]); ok || !usable {
				t.Fatalf("bit %d: holder taken: %t, journal usable: %t", bit, ok, usable)
			}
			continue
		default:
			wantClaims(t, "records", got, chunks[:max(0, (at-recordsAt)/recordLen-1)]...)
		}
		if usable {
			t.Fatalf("bit %d: the journal is usable", bit)
		}
	}
}

func TestStrangeJournals(t *testing.T) {
	other := testHeader
	other.Checksum[5] ^= 1
	foreign := newSealer(other)
	good := testJournal(1)
	version := bytes.Clone(good)
	version[11] = 2
	binary.BigEndian.PutUint64(version[504:], xxh3.Hash(version[:504]))
	s := newSealer(testHeader)
	void := s.append(testJournal(1, 2), record{kind: recordVoid, chunk: 1})
	for _, c := range []struct {
		name    string
		journal []byte
		usable  bool
		claims  []int
	}{
		{"whole", testJournal(1, 4), true, []int{1, 4}},
		{"empty", nil, false, nil},
		{"zeros", make([]byte, 5000), false, nil},
		{"garbage behind the magic", append([]byte(magic), bytes.Repeat([]byte("garbage "), 700)...), false, nil},
		{"other version", version, false, nil},
		{"records of another file", append(bytes.Clone(good), foreign.append(nil, record{kind: recordGood, chunk: 2})...), false, []int{1}},
		{"records twice", testJournal(1, 2, 1, 1, 2), true, []int{1, 2}},
		{"out of range", append(s.append(bytes.Clone(good), record{kind: recordGood, chunk: 5}), testJournal(2)[recordsAt:]...), false, []int{1}},
		{"zeros behind", append(bytes.Clone(good), make([]byte, 100_000)...), false, []int{1}},
		{"void", void, true, []int{2}},
		{"void and good again", s.append(bytes.Clone(void), record{kind: recordGood, chunk: 1, xxh: testXXH(1)}), true, []int{1, 2}},
		{"open again", s.append(bytes.Clone(good), record{kind: recordOpen}), false, []int{1}},
		{"holder of zeros", slicesReplace(good, headerLen, make([]byte, holderLen)), true, []int{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, usable, err := claimsOf(t, newCrashFS(neverChoose), c.journal)
			if err != nil {
				t.Fatal(err)
			}
			wantClaims(t, c.name, got, c.claims...)
			if usable != c.usable {
				t.Errorf("usable %t, want %t", usable, c.usable)
			}
		})
	}
}

// A file that never was a journal belongs to another program. It stays, unless
// the user said to start over.
func TestFileInTheJournalsPlace(t *testing.T) {
	const mine = "the diary of somebody else"
	for _, action := range []Action{Fetch, Resume, ResumeOwn, StartOver} {
		fsys := newTestFS(t)
		fsys.put(t, "x.part.journal", mine)
		if action != Fetch {
			fsys.put(t, "x.part", "left")
		}
		f, err := Open(t.Context(), fsys, testOptions(action))
		if action == StartOver {
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			continue
		}
		wantReason(t, err, Foreign)
		fsys.want(t, "x.part.journal", mine)
	}
	fsys := newTestFS(t)
	fsys.put(t, "x", "finished")
	fsys.put(t, "x.part.journal", mine)
	if err := FinishLeftover(fsys, "x"); err != nil {
		t.Fatal(err)
	}
	fsys.want(t, "x.part.journal", mine)
}

func slicesReplace(b []byte, at int, with []byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

// With a journal of another file nothing is touched, unless the user said to
// start over, or the part file is empty.
func TestJournalOfAnotherFile(t *testing.T) {
	for name, change := range map[string]func(*Header){
		"size":       func(h *Header) { h.Size++ },
		"chunk size": func(h *Header) { h.ChunkSize *= 2 },
		"checksum":   func(h *Header) { h.Checksum[31]++ },
	} {
		t.Run(name, func(t *testing.T) {
			fsys := newTestFS(t)
			other := testHeader
			change(&other)
			s := newSealer(other)
			journal := string(s.append(testHolder.append(other.append(nil)), record{kind: recordGood, chunk: 0, xxh: testXXH(0)}))
			fsys.put(t, "x.part", "left")
			fsys.put(t, "x.part.journal", journal)
			found, err := Look(fsys, "x")
			if err != nil {
				t.Fatal(err)
			}
			if found.Journal != JournalUsable || found.Header != other || found.Holder != testHolder {
				t.Errorf("found %+v, want %+v of %+v", found, other, testHolder)
			}
			if got := found.PartState(testHeader); got != PartOtherChecksum {
				t.Errorf("part state %d, want %d", got, PartOtherChecksum)
			}
			if got := found.PartState(other); got != PartSame {
				t.Errorf("part state %d, want %d", got, PartSame)
			}
			fsys.forget()
			_, err = Open(context.Background(), fsys, testOptions(Resume))
			wantReason(t, err, OtherFile)
			fsys.want(t, "x.part", "left")
			fsys.want(t, "x.part.journal", journal)
			if got := fsys.onlyCalls("write", "write journal", "truncate", "allocate", "remove", "remove journal"); len(got) != 0 {
				t.Errorf("changed something: %q", got)
			}

			f := openTest(t, fsys, testOptions(StartOver))
			if f.Claimed(0) || !f.UsableJournal() {
				t.Errorf("claimed %t, usable %t after starting over", f.Claimed(0), f.UsableJournal())
			}
			fsys.wantPart(t, strings.Repeat("\x00", int(testHeader.Size)))
			f.Close()

			fsys.put(t, "x.part", "")
			fsys.put(t, "x.part.journal", journal)
			if found, err = Look(fsys, "x"); err != nil || found.PartState(testHeader) != PartSame {
				t.Errorf("an empty part file is of another file: %+v, %v", found, err)
			}
			f = openTest(t, fsys, testOptions(Resume))
			if f.Claimed(0) || !f.UsableJournal() {
				t.Errorf("claimed %t, usable %t for an empty part file", f.Claimed(0), f.UsableJournal())
			}
		})
	}
}

func TestLookAtJournals(t *testing.T) {
	for _, c := range []struct {
		name    string
		journal []byte
		want    Found
	}{
		{"usable", testJournal(1), Found{Journal: JournalUsable, Header: testHeader, Holder: testHolder}},
		{"cut", testJournal(1)[:headerLen+20], Found{Journal: JournalUsable, Header: testHeader}},
		{"torn", testJournal(1)[:headerLen-1], Found{Journal: JournalUnusable}},
		{"header spoilt", slicesReplace(testJournal(1), 20, []byte{9}), Found{Journal: JournalUnusable, Holder: testHolder}},
		{"empty", nil, Found{Journal: JournalUnusable}},
	} {
		fsys := newTestFS(t)
		fsys.put(t, "x.part.journal", string(c.journal))
		if got, err := Look(fsys, "x"); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
		if got := c.want.PartState(Header{Size: 1, ChunkSize: 1}); got != PartNone {
			t.Errorf("%s: part state %d of a journal without a part file, want %d", c.name, got, PartNone)
		}
		// It is stale: a new part file takes its place without
		// complaint.
		f := openTest(t, fsys, testOptions(Fetch))
		if f.Claimed(1) || !f.UsableJournal() {
			t.Errorf("%s: claimed %t, usable %t", c.name, f.Claimed(1), f.UsableJournal())
		}
		f.Close()
		fsys.wantNames(t)
	}
}

// Whatever becomes of a journal, there is no panic, and every claim has a
// record of this header. The input is what was recorded, and what was written
// over it. It is small, or the fuzzer spends its time on making it small.
func FuzzJournal(f *testing.F) {
	seeds := []struct {
		chunks, patch []byte
		at, cut       uint16
	}{
		{nil, nil, 0, 0}, {[]byte{0, 1, 2, 3, 4}, nil, 0, 0}, {[]byte{4, 4, 1}, nil, 0, 30},
		{[]byte{1, 2}, []byte{7}, recordsAt + 40, 0}, {[]byte{1}, []byte("malcolmK"), 0, 0},
		{[]byte{3, 0}, make([]byte, 64), recordsAt, 0}, {[]byte{2}, []byte{255}, headerLen + hostAt - 1, 0},
		{[]byte{2}, []byte{1}, recordsAt + 3*recordLen + 9, 0}, {[]byte{3}, testJournal(2)[recordsAt+recordLen:], recordsAt + recordLen, 0},
	}
	for _, s := range seeds {
		f.Add(s.chunks, s.patch, s.at, s.cut)
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, chunks, patch []byte, at, cut uint16) {
		recorded := make([]int, len(chunks))
		for i, chunk := range chunks {
			recorded[i] = int(chunk % 5)
		}
		journal := testJournal(recorded...)
		journal = append(journal, make([]byte, max(0, int(at)+len(patch)-len(journal)))...)
		copy(journal[at:], patch)
		journal = journal[:max(0, len(journal)-int(cut))]
		checkClaims(t, journal)
	})
}

func checkClaims(t *testing.T, journal []byte) {
	t.Helper()
	got, _, err := claimsOf(t, newCrashFS(neverChoose), journal)
	if err != nil {
		wantReason(t, err, OtherFile)
		return
	}
	s := newSealer(testHeader)
	for chunk, xxh := range got {
		want := s.append(nil, record{kind: recordGood, chunk: uint32(chunk), xxh: xxh})
		if chunk >= 5 || !bytes.HasPrefix(journal, testHeader.append(nil)) || !bytes.Contains(journal[recordsAt:], want) {
			t.Errorf("chunk %d is claimed without a record", chunk)
		}
	}
	if h, ok := parseHeader(journal); ok && !bytes.HasPrefix(journal, h.append(nil)) {
		t.Errorf("header %+v is not what it was parsed from", h)
	}
}

// A journal of the largest file, with a record for every chunk, is read in one
// buffer.
func TestJournalOfEveryChunk(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 32 MiB")
	}
	const chunks, marked = maxChunks, 2 * maxPending
	fsys := newTestFS(t)
	o := Options{Name: "x", Size: chunks, ChunkSize: 1, SkipPreallocate: true}
	s := newSealer(o.header())
	b := make([]byte, 0, recordsAt+(chunks+1)*recordLen)
	b = s.append(testHolder.append(o.header().append(b)), record{kind: recordClosed})
	for chunk := range chunks {
		b = s.append(b, record{kind: recordGood, chunk: uint32(chunks - 1 - chunk), xxh: testXXH(chunk)})
	}
	fsys.put(t, "x.part", "1")
	if err := os.WriteFile(filepath.Join(fsys.path, "x.part.journal"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	b = nil
	o.Action = Resume
	var f *File
	count := 0
	allocated := allocatedBy(func() {
		f = openTest(t, fsys, o)
		err := f.EachRecord(func(chunk int, xxh [16]byte) bool {
			if chunk != chunks-1-count || chunk < marked && !f.MarkExisting(chunk, xxh) {
				t.Fatalf("record %d is of chunk %d", count, chunk)
			}
			count++
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if count != chunks || f.MarkedCount() != marked {
		t.Errorf("%d records, want %d; %d marked, want %d", count, chunks, f.MarkedCount(), marked)
	}
	if want := uint64(chunks * 9); allocated > want {
		t.Errorf("%d bytes allocated, want at most %d", allocated, want)
	}
	fsys.forget()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := fsys.onlyCalls("write journal"); len(got) != 0 {
		t.Errorf("recorded again what the journal has: %q", got)
	}
}
