package manifest

import (
	"bytes"
	"context"
	"errors"
	"math/bits"
	"strings"
	"testing"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"

	"malcolm/wire"
)

// naiveMerge is the recursive definition: the left child has the largest power
// of two of values that leaves at least one for the right.
func naiveMerge(values [][32]byte, flags uint32) [32]byte {
	if len(values) == 1 {
		return values[0]
	}
	left := 1 << (bits.Len(uint(len(values)-1)) - 1)
	node := guts.ParentNode(cvWords(naiveMerge(values[:left], 0)), cvWords(naiveMerge(values[left:], 0)), &guts.IV, flags)
	return cvBytes(guts.ChainingValue(node))
}

func TestMerge(t *testing.T) {
	if got, want := Merge(0, nil), blake3.Sum256(nil); got != want {
		t.Errorf("Merge of nothing = %x, want %x", got, want)
	}
	values := make([][32]byte, 4097)
	for i := range values {
		values[i] = blake3.Sum256([]byte{byte(i), byte(i >> 8)})
	}
	sizes := []int{255, 256, 257, 1023, 4095, 4096, 4097}
	for n := 1; n <= 70; n++ {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		next := 0
		got := Merge(n, func(i int) [32]byte {
			if i != next {
				t.Fatalf("Merge of %d asks for value %d, want %d", n, i, next)
			}
			next++
			return values[i]
		})
		if want := naiveMerge(values[:n], guts.FlagRoot); got != want {
			t.Errorf("Merge of %d = %x, want %x", n, got, want)
		}
		if next != n {
			t.Errorf("Merge of %d asked for %d values", n, next)
		}
	}
}

func TestMergeOfMostChunks(t *testing.T) {
	values := make([][32]byte, wire.MaxChunks)
	for i := range values {
		values[i][0], values[i][1], values[i][2] = byte(i), byte(i>>8), byte(i>>16)
	}
	got := Merge(len(values), func(i int) [32]byte { return values[i] })
	if want := naiveMerge(values, guts.FlagRoot); got != want {
		t.Errorf("Merge of %d = %x, want %x", len(values), got, want)
	}
}

func TestDigest(t *testing.T) {
	for _, n := range []int{0, 1, 21, 22, 341, 342, 5000} {
		m := wire.NewManifest(1, MinChunkSize, n)
		for i := range n {
			m.SetChunk(i, [32]byte{byte(i), 1}, [16]byte{byte(i >> 8), 2})
		}
		if got, want := Digest(m), blake3.Sum256(m.Bytes()); got != want {
			t.Errorf("Digest of %d chunks = %x, want %x", n, got, want)
		}
	}
}

// built returns the manifest and the checksum of pattern(size).
func built(t *testing.T, size int64) (wire.Manifest, [32]byte) {
	t.Helper()
	m, checksum, err := Build(context.Background(), bytes.NewReader(pattern(size)), size, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m, checksum
}

// changed returns a copy of m with one chunk's hashes replaced.
func changed(t *testing.T, m wire.Manifest, chunk int, value [32]byte, xxh [16]byte) wire.Manifest {
	t.Helper()
	c, err := wire.ParseManifest(bytes.Clone(m.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	c.SetChunk(chunk, value, xxh)
	return c
}

func TestCheckAccepts(t *testing.T) {
	for _, size := range []int64{0, 1, MinChunkSize, MinChunkSize + 1, 5*MinChunkSize + 17} {
		m, checksum := built(t, size)
		if err := Check(m, size, checksum); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
	m, checksum := built(t, 2*MinChunkSize)
	if err := Check(changed(t, m, 1, m.Value(1), [16]byte{}), m.Size(), checksum); err != nil {
		t.Errorf("another xxh3: %v", err)
	}
}

func TestCheckRefuses(t *testing.T) {
	const size = 5*MinChunkSize + 17
	good, checksum := built(t, size)
	empty, emptySum := built(t, 0)
	one, _ := built(t, 1)
	shaped := func(size, chunkSize int64, n int) wire.Manifest {
		m := wire.NewManifest(size, chunkSize, n)
		for i := range min(n, good.Len()) {
			m.SetChunk(i, good.Value(i), good.XXH3(i))
		}
		return m
	}
	exchanged := changed(t, changed(t, good, 1, good.Value(2), good.XXH3(1)), 2, good.Value(1), good.XXH3(2))

	for _, c := range []struct {
		name     string
		m        wire.Manifest
		size     int64
		checksum [32]byte
		reason   string
	}{
		{"other size", good, size - 1, checksum, "it is for 1310737 bytes, not 1310736"},
		{"negative size", good, -1, checksum, "no file has a size of -1 bytes"},
		{"size over the limit", good, wire.MaxFileSize + 1, checksum, "no file has a size of 17592186044417 bytes"},
		{"half the chunk size", shaped(size, MinChunkSize/2, 6), size, checksum, "its chunks have 131072 bytes, not 262144"},
		{"no chunk size", shaped(size, 0, 6), size, checksum, "its chunks have 0 bytes, not 262144"},
		{"chunk missing", shaped(size, MinChunkSize, 5), size, checksum, "it has 5 chunks, not 6"},
		{"chunk too many", shaped(size, MinChunkSize, 7), size, checksum, "it has 7 chunks, not 6"},
		{"none", shaped(size, MinChunkSize, 0), size, checksum, "it has 0 chunks, not 6"},
		{"chunk of an empty file", shaped(0, MinChunkSize, 1), 0, good.Value(0), "it has 1 chunks, not 0"},
		{"first value", changed(t, good, 0, [32]byte{}, good.XXH3(0)), size, checksum, "its values merge to"},
		{"last value", changed(t, good, 5, [32]byte{}, good.XXH3(5)), size, checksum, "its values merge to"},
		{"values exchanged", exchanged, size, checksum, "its values merge to"},
		{"other checksum", good, size, emptySum, "its values merge to"},
		{"empty, other checksum", empty, 0, checksum, "its values merge to"},
		{"one byte, other checksum", one, 1, checksum, "its values merge to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got *CheckError
			if err := Check(c.m, c.size, c.checksum); !errors.As(err, &got) {
				t.Fatalf("Check = %v, want a *CheckError", err)
			}
			if !strings.HasPrefix(got.Reason, c.reason) {
				t.Errorf("reason = %q, want %q", got.Reason, c.reason)
			}
		})
	}
}

func BenchmarkChecksum(b *testing.B) {
	m := wire.NewManifest(1<<30, MinChunkSize, 4096)
	b.ReportAllocs()
	for b.Loop() {
		Checksum(m)
	}
}
