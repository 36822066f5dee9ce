package content

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"malcolm/transfer/manifest"
)

const kib = 1 << 10

// mixed has files of no, one and several chunks.
func mixed(t *testing.T) *Content {
	t.Helper()
	c, err := Of(File{Size: 0}, File{Size: 100}, File{Size: 600 * kib}, File{Size: 0}, File{Size: 1}, File{Size: 0})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each chunk of each file has its number, and its place among all bytes.
func TestPlaces(t *testing.T) {
	c := mixed(t)
	want := []struct {
		place Place
		start int64
	}{
		{Place{1, 0, 0, 100}, 0},
		{Place{2, 0, 0, 256 * kib}, 100},
		{Place{2, 1, 256 * kib, 256 * kib}, 100 + 256*kib},
		{Place{2, 2, 512 * kib, 88 * kib}, 100 + 512*kib},
		{Place{4, 0, 0, 1}, 100 + 600*kib},
	}
	if c.Chunks() != len(want) || c.Size() != 101+600*kib || c.Files() != 6 || c.LongestChunk() != 256*kib {
		t.Errorf("%d chunks, %d bytes, %d files, longest %d", c.Chunks(), c.Size(), c.Files(), c.LongestChunk())
	}
	for i, w := range want {
		if got := c.Place(i); got != w.place || c.Start(i) != w.start || c.At(w.start) != i || c.Length(i, 1) != w.place.Length {
			t.Errorf("chunk %d: %+v from %d, want %+v", i, got, c.Start(i), w)
		}
	}
	if c.Start(len(want)) != c.Size() || c.FirstChunk(6) != len(want) || c.FirstChunk(3) != 4 || c.FileChunks(2) != 3 {
		t.Error("the end is not behind the last chunk")
	}
}

// A range over several files has one span in each that has bytes.
func TestSpans(t *testing.T) {
	c := mixed(t)
	for _, tt := range []struct {
		first, count int
		want         []Span
	}{
		{0, 0, nil},
		{0, 5, []Span{{1, 0, 100}, {2, 0, 600 * kib}, {4, 0, 1}}},
		{0, 2, []Span{{1, 0, 100}, {2, 0, 256 * kib}}},
		{2, 1, []Span{{2, 256 * kib, 256 * kib}}},
		{3, 2, []Span{{2, 512 * kib, 88 * kib}, {4, 0, 1}}},
	} {
		if got := c.Spans(tt.first, tt.count); !slices.Equal(got, tt.want) {
			t.Errorf("%d from %d: %v, want %v", tt.count, tt.first, got, tt.want)
		}
	}
}

// Whole chunks fit in bytes and in files.
func TestWhole(t *testing.T) {
	c := mixed(t)
	for _, tt := range []struct {
		first int
		n     int64
		spans int
		want  int
	}{
		{0, 99, 9, 0},
		{0, 100, 9, 1},
		{0, 100 + 256*kib, 9, 2},
		{0, 100 + 256*kib - 1, 9, 1},
		{0, 1 << 40, 9, 5},
		{0, 1 << 40, 2, 4},
		{0, 1 << 40, 1, 1},
		{2, 1 << 40, 1, 2},
		{3, 88 * kib, 9, 1},
		{3, 88*kib + 1, 9, 2},
		{5, 1 << 40, 9, 0},
	} {
		if got := c.Whole(tt.first, tt.n, tt.spans); got != tt.want {
			t.Errorf("from %d, %d bytes in %d files: %d chunks, want %d", tt.first, tt.n, tt.spans, got, tt.want)
		}
	}
}

// Whole chunks up to one fit in bytes.
func TestWholeBefore(t *testing.T) {
	c := mixed(t)
	for _, tt := range []struct {
		end  int
		n    int64
		want int
	}{
		{5, 0, 0}, {5, 1, 1}, {5, 88 * kib, 1}, {5, 88*kib + 1, 2}, {5, 1 << 40, 5},
		{1, 99, 0}, {1, 100, 1}, {0, 100, 0}, {2, 256 * kib, 1}, {2, 256*kib + 100, 2},
	} {
		if got := c.WholeBefore(tt.end, tt.n); got != tt.want {
			t.Errorf("up to %d, %d bytes: %d chunks, want %d", tt.end, tt.n, got, tt.want)
		}
	}
}

// Files may be cut in another way.
func TestFilesCutInAnotherWay(t *testing.T) {
	c, err := OfCut(func(size int64) int64 { return 10 }, File{Size: 25}, File{Size: 3})
	if err != nil || c.Chunks() != 4 || c.LongestChunk() != 10 {
		t.Fatalf("%v, %+v", err, c)
	}
	for chunk, want := range []Place{{0, 0, 0, 10}, {0, 1, 10, 10}, {0, 2, 20, 5}, {1, 0, 0, 3}} {
		if got := c.Place(chunk); got != want {
			t.Errorf("chunk %d: %+v, want %+v", chunk, got, want)
		}
	}
	if got, want := c.Spans(1, 1), []Span{{0, 10, 10}}; !slices.Equal(got, want) {
		t.Errorf("spans %v, want %v", got, want)
	}
}

// One file has the chunks of package manifest.
func TestOneFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 1<<44).Draw(t, "size")
		c := OfOne(File{Size: size})
		if c.Size() != size || c.Chunks() != manifest.Count(size) {
			t.Fatalf("%d bytes, %d chunks", c.Size(), c.Chunks())
		}
		if size == 0 {
			return
		}
		chunk := rapid.IntRange(0, c.Chunks()-1).Draw(t, "chunk")
		offset, n := manifest.Span(size, chunk)
		if p := c.Place(chunk); p != (Place{0, chunk, offset, n}) || c.Start(chunk) != offset || c.Length(chunk, 1) != n || c.At(offset) != chunk || c.At(offset+n-1) != chunk {
			t.Fatalf("chunk %d from %d, %d bytes", chunk, c.Start(chunk), c.Length(chunk, 1))
		}
	})
}

// For any files: spans cover exactly the bytes of their range, and a number
// of whole chunks is the largest that fits.
func TestAnyFiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var files []File
		for _, size := range rapid.SliceOfN(rapid.Int64Range(0, 900*kib), 1, 30).Draw(t, "sizes") {
			files = append(files, File{Size: size})
		}
		c, err := Of(files...)
		if err != nil || c.Chunks() == 0 {
			return
		}
		first := rapid.IntRange(0, c.Chunks()-1).Draw(t, "first")
		count := rapid.IntRange(1, c.Chunks()-first).Draw(t, "count")
		spans := c.Spans(first, count)
		var sum int64
		for i, s := range spans {
			sum += s.Length
			if s.Length < 1 || s.Offset+s.Length > files[s.File].Size || i > 0 && s.File <= spans[i-1].File {
				t.Fatalf("spans %v", spans)
			}
		}
		if n := c.Length(first, count); sum != n || n != c.Start(first+count)-c.Start(first) {
			t.Fatalf("%d bytes in spans, %d in the range", sum, n)
		}
		if got := c.Whole(first, sum, len(spans)); got != count {
			t.Fatalf("%d chunks fit, want %d", got, count)
		}
		if got := c.Whole(first, sum-1, len(spans)); got != count-1 {
			t.Fatalf("%d chunks fit in a byte less, want %d", got, count-1)
		}
		if got := c.WholeBefore(first+count, sum); got != count {
			t.Fatalf("%d chunks before one fit, want %d", got, count)
		}
		if got := c.WholeBefore(first+count, sum-1); got != count-1 {
			t.Fatalf("%d chunks before one fit in a byte less, want %d", got, count-1)
		}
		if got := c.Whole(first, sum, max(1, len(spans)-1)); len(spans) > 1 && got >= count || got < 0 {
			t.Fatalf("%d chunks fit in a file less", got)
		}
	})
}

// More chunks than a download may have are refused.
func TestTooMany(t *testing.T) {
	files := make([]File, 16)
	for i := range files {
		files[i].Size = 16 << 40
	}
	c, err := Of(files...)
	if err != nil || c.Chunks() != MaxChunks {
		t.Fatalf("%v, want all chunks", err)
	}
	if _, err := Of(append(files, File{Size: 1})...); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v, want %v", err, ErrTooMany)
	}
}
