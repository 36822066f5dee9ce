package manifest

import (
	"bytes"
	"fmt"
	"math/bits"
	"testing"

	"github.com/zeebo/xxh3"
	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"
	"pgregory.net/rapid"
)

// pattern returns n bytes as the golden sums have them.
func pattern(n int64) []byte {
	period := make([]byte, 251)
	for i := range period {
		period[i] = byte(i)
	}
	return bytes.Repeat(period, int(n/251)+1)[:n]
}

// naiveValue computes the tree as the BLAKE3 paper defines it, one KiB and one
// parent at a time: the left subtree is the largest full one that leaves
// something for the right.
func naiveValue(p []byte, counter uint64, root bool) [32]byte {
	node := naiveNode(p, counter)
	if root {
		node.Flags |= guts.FlagRoot
	}
	return cvBytes(guts.ChainingValue(node))
}

func naiveNode(p []byte, counter uint64) guts.Node {
	if len(p) <= guts.ChunkSize {
		return guts.CompressChunk(p, &guts.IV, counter, 0)
	}
	left := guts.ChunkSize << (bits.Len(uint((len(p)-1)/guts.ChunkSize)) - 1)
	return guts.ParentNode(
		guts.ChainingValue(naiveNode(p[:left], counter)),
		guts.ChainingValue(naiveNode(p[left:], counter+uint64(left)/guts.ChunkSize)), &guts.IV, 0)
}

// feed writes p in pieces of step bytes.
func feed(t testing.TB, h *Hasher, p []byte, step int) {
	t.Helper()
	for len(p) > 0 {
		n := min(step, len(p))
		if got, err := h.Write(p[:n]); got != n || err != nil {
			t.Fatalf("Write of %d bytes = %d, %v", n, got, err)
		}
		p = p[n:]
	}
}

// chunkSums are the naive value and the xxh3 of each chunk.
type chunkSums struct {
	value [32]byte
	xxh   [16]byte
}

func naiveSums(data []byte, chunkSize int64) []chunkSums {
	size := int64(len(data))
	sums := make([]chunkSums, count(size, chunkSize))
	for i := range sums {
		offset, length := span(size, chunkSize, i)
		p := data[offset : offset+length]
		sums[i].value = naiveValue(p, uint64(offset)/1024, length == size)
		sums[i].xxh = xxh3.Hash128(p).Bytes()
	}
	return sums
}

// hashFile hashes all chunks of data with one Hasher, last chunk first, in
// pieces of step bytes. It compares each with want, and returns what the values
// merge to.
func hashFile(t testing.TB, data []byte, chunkSize int64, step int, want []chunkSums) [32]byte {
	t.Helper()
	size := int64(len(data))
	values := make([][32]byte, len(want))
	h := Hasher{XXH3: true}
	for i := len(want) - 1; i >= 0; i-- {
		offset, length := span(size, chunkSize, i)
		h.reset(size, chunkSize, i)
		feed(t, &h, data[offset:offset+length], step)
		value, xxh := h.Sum()
		if value != want[i].value {
			t.Errorf("size %d, chunks of %d, pieces of %d: value %d = %x, want %x", size, chunkSize, step, i, value, want[i].value)
		}
		if xxh != want[i].xxh {
			t.Errorf("size %d, chunks of %d, pieces of %d: xxh3 %d = %x, want %x", size, chunkSize, step, i, xxh, want[i].xxh)
		}
		values[i] = value
	}
	return Merge(len(want), func(i int) [32]byte { return values[i] })
}

func TestChecksumOfGoldenSizes(t *testing.T) {
	data := pattern(goldenSums[len(goldenSums)-1].size)
	for _, g := range goldenSums {
		p := data[:g.size]
		if got := fmt.Sprintf("%x", blake3.Sum256(p)); got != g.sum {
			t.Fatalf("size %d: the reference gives %s, b3sum %s", g.size, got, g.sum)
		}
		want := naiveSums(p, ChunkSize(g.size))
		for _, step := range []int{1 << 30, 1000, 16383, 16384, 16385, 65537, 81920} {
			if got := fmt.Sprintf("%x", hashFile(t, p, ChunkSize(g.size), step, want)); got != g.sum {
				t.Errorf("size %d in pieces of %d = %s, want %s", g.size, step, got, g.sum)
			}
		}
	}
}

// TestChecksumOfOtherChunkSizes covers chunk sizes that only files over 1 GiB
// have, and small ones, at all their borders.
func TestChecksumOfOtherChunkSizes(t *testing.T) {
	for chunkSize := int64(1 << 10); chunkSize <= 1<<20; chunkSize <<= 1 {
		data := pattern(3*chunkSize + 1)
		for n := int64(1); n <= 3; n++ {
			for _, d := range []int64{-1, 0, 1} {
				p := data[:n*chunkSize+d]
				got := hashFile(t, p, chunkSize, 131072, naiveSums(p, chunkSize))
				if want := blake3.Sum256(p); got != want {
					t.Errorf("size %d, chunks of %d: %x, want %x", len(p), chunkSize, got, want)
				}
			}
		}
	}
}

func TestChecksumOfLargestChunks(t *testing.T) {
	data := pattern(goldenLarge.size)
	got := hashFile(t, data, MaxChunkSize, 1<<17, naiveSums(data, MaxChunkSize))
	if got := fmt.Sprintf("%x", got); got != goldenLarge.sum {
		t.Errorf("checksum = %s, want %s", got, goldenLarge.sum)
	}
}

// TestPositionOverFourTebibytes has positions that do not fit in 32 bits.
func TestPositionOverFourTebibytes(t *testing.T) {
	for _, c := range []struct {
		size  int64
		chunk int
	}{
		{4<<40 + 33333, 4 << 40 / MaxChunkSize},
		{4<<40 + 1, 4 << 40 / MaxChunkSize},
		{4 << 40, 4<<40/MaxChunkSize - 1},
		{16<<40 - 16<<20 + 4097, 1<<20 - 1},
		{16 << 40, 1<<20 - 1},
	} {
		offset, length := Span(c.size, c.chunk)
		p := pattern(length)
		var h Hasher
		h.Reset(c.size, c.chunk)
		feed(t, &h, p, 1<<20)
		if got, _ := h.Sum(); got != naiveValue(p, uint64(offset)>>10, false) {
			t.Errorf("chunk %d of %d bytes: value %x is wrong", c.chunk, c.size, got)
		}
	}
}

func TestHasherRefusesMoreThanTheChunk(t *testing.T) {
	const size = MinChunkSize + 20000
	data := pattern(size)
	h := Hasher{XXH3: true}
	h.Reset(size, 1)
	feed(t, &h, data[MinChunkSize:][:19999], 16385)
	if n, err := h.Write([]byte{1, 2}); n != 0 || err == nil {
		t.Errorf("Write over the end = %d, %v, want 0 and an error", n, err)
	}
	if got := h.Remaining(); got != 1 {
		t.Errorf("Remaining() = %d, want 1", got)
	}
	feed(t, &h, data[size-1:], 1)
	if n, err := h.Write([]byte{1}); n != 0 || err == nil {
		t.Errorf("Write after the end = %d, %v, want 0 and an error", n, err)
	}
	if n, err := h.Write(nil); n != 0 || err != nil {
		t.Errorf("Write(nil) = %d, %v, want 0, nil", n, err)
	}
	for range 2 {
		value, xxh := h.Sum()
		if want := naiveValue(data[MinChunkSize:], MinChunkSize>>10, false); value != want {
			t.Errorf("value = %x, want %x", value, want)
		}
		if want := xxh3.Hash128(data[MinChunkSize:]).Bytes(); xxh != want {
			t.Errorf("xxh3 = %x, want %x", xxh, want)
		}
	}
	if n, err := new(Hasher).Write([]byte{1}); n != 0 || err == nil {
		t.Errorf("Write before Reset = %d, %v, want 0 and an error", n, err)
	}
}

// TestHasherForgets resets in the middle of a chunk.
func TestHasherForgets(t *testing.T) {
	data := pattern(100 << 10)
	h := Hasher{XXH3: true}
	for _, given := range []int{1, 16384, 40000, 49152, 102400} {
		h.Reset(int64(len(data)), 0)
		feed(t, &h, data[:given], 1<<20)
		h.Reset(33333, 0)
		feed(t, &h, data[:33333], 1<<20)
		value, xxh := h.Sum()
		if value != blake3.Sum256(data[:33333]) || xxh != xxh3.Hash128(data[:33333]).Bytes() {
			t.Errorf("after %d bytes of another chunk: %x, %x are wrong", given, value, xxh)
		}
	}
}

func TestAnySplittingGivesTheSameSums(t *testing.T) {
	data := pattern(200 << 10)
	rapid.Check(t, func(t *rapid.T) {
		chunkSize := int64(1024) << rapid.IntRange(0, 8).Draw(t, "chunk size in KiB, log2")
		size := rapid.Int64Range(1, int64(len(data))).Draw(t, "size")
		chunk := rapid.IntRange(0, count(size, chunkSize)-1).Draw(t, "chunk")
		offset, length := span(size, chunkSize, chunk)
		p := data[offset : offset+length]

		h := Hasher{XXH3: rapid.Bool().Draw(t, "xxh3 too")}
		h.reset(size, chunkSize, chunk)
		for at := int64(0); at < length; {
			n := rapid.OneOf(
				rapid.Int64Range(0, length-at),
				rapid.Map(rapid.Int64Range(0, 5*blockLen), func(n int64) int64 { return min(n, length-at) }),
				rapid.Just(min(blockLen-at%blockLen, length-at)), // up to the grid
			).Draw(t, "bytes")
			if _, err := h.Write(p[at : at+n]); err != nil {
				t.Fatal(err)
			}
			at += n
			if got := h.Remaining(); got != length-at {
				t.Fatalf("Remaining() = %d, want %d", got, length-at)
			}
		}
		value, xxh := h.Sum()
		if want := naiveValue(p, uint64(offset)>>10, length == size); value != want {
			t.Errorf("value = %x, want %x", value, want)
		}
		var want [16]byte
		if h.XXH3 {
			want = xxh3.Hash128(p).Bytes()
		}
		if xxh != want {
			t.Errorf("xxh3 = %x, want %x", xxh, want)
		}
	})
}

func TestHasherDoesNotAllocate(t *testing.T) {
	const size = 3*MinChunkSize + 12345
	data := pattern(size)
	h := Hasher{XXH3: true}
	for _, step := range []int{1 << 20, 16384, 10007} {
		chunk := 0
		got := testing.AllocsPerRun(8, func() {
			offset, length := Span(size, chunk)
			h.Reset(size, chunk)
			feed(t, &h, data[offset:offset+length], step)
			h.Sum()
			chunk = (chunk + 1) % 4
		})
		if got != 0 {
			t.Errorf("in pieces of %d: %v allocations a chunk, want 0", step, got)
		}
	}
}

func BenchmarkHasher(b *testing.B) {
	const size = 1 << 30
	data := pattern(MinChunkSize)
	for _, c := range []struct {
		step int
		xxh3 bool
	}{{256 << 10, true}, {64 << 10, true}, {16 << 10, true}, {10007, true}, {256 << 10, false}} {
		b.Run(fmt.Sprintf("write=%d,xxh3=%t", c.step, c.xxh3), func(b *testing.B) {
			h := Hasher{XXH3: c.xxh3}
			b.ReportAllocs()
			b.SetBytes(MinChunkSize)
			for b.Loop() {
				h.Reset(size, 5)
				feed(b, &h, data, c.step)
				h.Sum()
			}
		})
	}
}
