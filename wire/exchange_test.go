package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"
)

// exampleFile is the file of the example: byte n is n mod 251.
func exampleFile() []byte {
	b := make([]byte, 300_000)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// subtree returns the root node of b as a subtree of a file, which begins with
// chunk counter of BLAKE3 (1024 bytes each): the plain recursive definition.
func subtree(b []byte, counter uint64) guts.Node {
	if len(b) <= guts.ChunkSize {
		return guts.CompressChunk(b, &guts.IV, counter, 0)
	}
	left := guts.ChunkSize
	for 2*left < len(b) {
		left *= 2
	}
	l := guts.ChainingValue(subtree(b[:left], counter))
	r := guts.ChainingValue(subtree(b[left:], counter+uint64(left/guts.ChunkSize)))
	return guts.ParentNode(l, r, &guts.IV, 0)
}

// exampleValues returns the values of the two chunks of b. It fails unless they
// merge to b's checksum.
func exampleValues(t *testing.T, b []byte) []byte {
	t.Helper()
	const chunk = 256 << 10
	first := guts.ChainingValue(subtree(b[:chunk], 0))
	second := guts.ChainingValue(subtree(b[chunk:], chunk/guts.ChunkSize))
	var values []byte
	for _, cv := range [][8]uint32{first, second} {
		for _, w := range cv {
			values = binary.LittleEndian.AppendUint32(values, w)
		}
	}
	var root []byte
	for _, w := range guts.ChainingValue(guts.ParentNode(first, second, &guts.IV, guts.FlagRoot)) {
		root = binary.LittleEndian.AppendUint32(root, w)
	}
	if sum := blake3.Sum256(b); !bytes.Equal(root, sum[:]) {
		t.Fatalf("the values merge to %x, want %x", root, sum)
	}
	return values
}

// example returns the blocks of bytes in the section "Example".
func example(t *testing.T) [][]byte {
	t.Helper()
	line := regexp.MustCompile(`^\t([0-9a-f]{2}(?: [0-9a-f]{2}){0,15})(?:$|  +\S)`)
	var blocks [][]byte
	inside := false
	for text := range strings.Lines(specification(t)["Example"]) {
		text = strings.TrimRight(text, "\n")
		if !strings.HasPrefix(text, "\t") {
			inside = false
			continue
		}
		m := line.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no bytes in the line %q", text)
		}
		b, err := hex.DecodeString(strings.ReplaceAll(m[1], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if !inside {
			blocks = append(blocks, nil)
		}
		inside = true
		blocks[len(blocks)-1] = append(blocks[len(blocks)-1], b...)
	}
	return blocks
}

// What is said in the example.
type exchange struct {
	open   Open
	stat   StatRequest
	opened Opened
	offer  Offer
	values Values
	ranges RangesRequest
}

func said(t *testing.T) exchange {
	b := exampleFile()
	sum := blake3.Sum256(b)
	tail := func(typ uint64, data ...byte) Tail { return Tail{{Type: typ, Data: append([]byte{}, data...)}} }
	return exchange{
		open:   Open{Run: [16]byte(unhexed("6f1d8a02c47be95033a7f6184dd2905e")), Tail: tail(0xabcdef, 0x9c, 0x41, 0x07)},
		stat:   StatRequest{Values: true, Tail: tail(0x12345)},
		opened: Opened{Limits: Limits{Streams: 100, Flight: 256 << 20, Longest: 64 << 20, Wasted: 20}, Tail: tail(0x1020305, 0x5a)},
		offer: Offer{
			Size: int64(len(b)), ModTime: time.Unix(1_700_000_000, 0).UTC(), Checksum: sum,
			Name: "a.bin", ValuesLen: 64, Tail: tail(0x31415927),
		},
		values: Values{b: exampleValues(t, b)},
		ranges: RangesRequest{[]Span{{sum, 0, 3}, {sum, 256 << 10, 3}}},
	}
}

func frame(body ...byte) []byte { return append(Header{Length: len(body)}.Append(nil), body...) }

// TestExampleWritten encodes what is said in the example.
func TestExampleWritten(t *testing.T) {
	want, file := said(t), exampleFile()
	first, second := file[:3], file[256<<10:][:3]
	failed := FailedSpan{Refusal: Refusal{Status: StatusUnreadable, Wait: time.Second, Text: "disk"}}
	blocks := [][]byte{
		AppendRequest(AppendRequest(nil, want.open), want.stat),
		bytes.Join([][]byte{frame(want.opened.Append(nil)...), frame(want.offer.Append(nil)...), want.values.AppendFrames(nil, 0, 2)}, nil),
		AppendRequest(nil, want.ranges),
		append(frame(append(bytes.Clone(first), second[0])...), frame(second[1:]...)...),
		bytes.Join([][]byte{frame(first[0]), failed.Append(nil), frame(second...)}, nil),
	}
	got := example(t)
	if len(got) != len(blocks) {
		t.Fatalf("the example has %d blocks of bytes, want %d", len(got), len(blocks))
	}
	for i, want := range blocks {
		if !bytes.Equal(got[i], want) {
			t.Errorf("block %d of the example\n got %x\nwant %x", i, got[i], want)
		}
	}
}

// TestExampleRead decodes the first four blocks, and nothing is left of them.
func TestExampleRead(t *testing.T) {
	blocks := example(t)
	if len(blocks) != 5 {
		t.Fatalf("the example has %d blocks of bytes, want 5", len(blocks))
	}
	var got exchange
	var errs [6]error
	r := bytes.NewReader(blocks[0])
	got.open, errs[0] = ReadOpen(r)
	request, err := ReadRequest(r)
	got.stat, _ = request.(StatRequest)
	errs[1] = err
	r = bytes.NewReader(blocks[1])
	got.opened, errs[2] = ReadOpened(r, okHeader(t, r))
	got.offer, errs[3] = ReadOffer(r, okHeader(t, r))
	got.values, errs[4] = ReadValues(r, got.offer.ValuesLen/ValueLen)
	if r.Len() > 0 {
		t.Errorf("%d bytes are left of the first reply", r.Len())
	}
	request, errs[5] = ReadRequest(bytes.NewReader(blocks[2]))
	got.ranges, _ = request.(RangesRequest)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	if want := said(t); !reflect.DeepEqual(got, want) {
		t.Errorf("read\n got %+v\nwant %+v", got, want)
	}
}

func okHeader(t *testing.T, r io.Reader) Header {
	t.Helper()
	h, err := ReadHeader(r)
	if err != nil || h.Status != StatusOK {
		t.Fatalf("got %+v, %v, want ok", h, err)
	}
	return h
}

// TestExampleRanges reads both replies to the ranges, frame by frame.
func TestExampleRanges(t *testing.T) {
	file := exampleFile()
	blocks := example(t)
	if len(blocks) != 5 {
		t.Fatalf("the example has %d blocks of bytes, want 5", len(blocks))
	}
	whole := append(bytes.Clone(file[:3]), file[256<<10:][:3]...)
	cut := append(bytes.Clone(file[:1]), file[256<<10:][:3]...)
	for i, want := range map[int][]byte{3: whole, 4: cut} {
		var got []byte
		failed := 0
		r := bytes.NewReader(blocks[i])
		for r.Len() > 0 {
			h, err := ReadHeader(r)
			if err != nil {
				t.Fatal(err)
			}
			if h.Status == StatusFailedSpan {
				f, err := ReadFailedSpan(r, h)
				want := Refusal{Status: StatusUnreadable, Wait: time.Second, Text: "disk"}
				if err != nil || f.Index != 0 || f.Refusal != want {
					t.Errorf("failed span: got %+v, %v", f, err)
				}
				failed++
				continue
			}
			part := make([]byte, h.Length)
			if _, err := io.ReadFull(r, part); err != nil || h.Status != StatusOK || h.Length == 0 {
				t.Fatalf("frame %+v: %v", h, err)
			}
			got = append(got, part...)
		}
		if !bytes.Equal(got, want) || failed != i-3 {
			t.Errorf("block %d: got % x and %d failed spans, want % x and %d", i, got, failed, want, i-3)
		}
	}
}
