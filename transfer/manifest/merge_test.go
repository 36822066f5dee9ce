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

func TestSum(t *testing.T) {
	data := pattern(5*blockLen + 1)
	for _, n := range []int{1, 1023, blockLen, blockLen + 1, len(data)} {
		want := blake3.Sum256(data[:n])
		if got := Sum(data[:n]); got != want {
			t.Errorf("Sum of %d bytes = %x, want %x", n, got, want)
		}
		if got := Sum(data[:n/3], data[n/3:n]); got != want {
			t.Errorf("Sum of %d bytes in two parts = %x, want %x", n, got, want)
		}
	}
}

// built returns the values and the checksum of pattern(size).
func built(t *testing.T, size int64) (wire.Values, [32]byte) {
	t.Helper()
	values, checksum, err := Build(context.Background(), bytes.NewReader(pattern(size)), size, BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return values, checksum
}

// changed returns a copy of values with that of one chunk replaced.
func changed(t *testing.T, values wire.Values, chunk int, value [32]byte) wire.Values {
	t.Helper()
	c, err := wire.ParseValues(bytes.Clone(values.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	c.Set(chunk, value)
	return c
}

func TestCheckAccepts(t *testing.T) {
	for _, size := range []int64{0, 1, MinChunkSize, MinChunkSize + 1, 5*MinChunkSize + 17} {
		values, checksum := built(t, size)
		if err := Check(values, size, checksum); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestKnown(t *testing.T) {
	for size, want := range map[int64]bool{0: true, 1: true, MinChunkSize: true, MinChunkSize + 1: false, wire.MaxFileSize: false} {
		var values wire.Values
		var checksum [32]byte
		if want {
			values, checksum = built(t, size)
		}
		got, ok := Known(size, checksum)
		if ok != want || !bytes.Equal(got.Bytes(), values.Bytes()) {
			t.Errorf("size %d: values %x, %t, want %x, %t", size, got.Bytes(), ok, values.Bytes(), want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	const size = 5*MinChunkSize + 17
	good, checksum := built(t, size)
	empty, emptySum := built(t, 0)
	one, _ := built(t, 1)
	first := func(n int) wire.Values {
		values := wire.NewValues(n)
		for i := range min(n, good.Len()) {
			values.Set(i, good.At(i))
		}
		return values
	}
	exchanged := changed(t, changed(t, good, 1, good.At(2)), 2, good.At(1))

	for _, c := range []struct {
		name     string
		values   wire.Values
		size     int64
		checksum [32]byte
		reason   string
	}{
		{"negative size", good, -1, checksum, "no file has a size of -1 bytes"},
		{"size over the limit", good, wire.MaxFileSize + 1, checksum, "no file has a size of 17592186044417 bytes"},
		{"chunk missing", first(5), size, checksum, "they are of 5 chunks, not 6"},
		{"chunk too many", first(7), size, checksum, "they are of 7 chunks, not 6"},
		{"none", first(0), size, checksum, "they are of 0 chunks, not 6"},
		{"chunk of an empty file", first(1), 0, good.At(0), "they are of 1 chunks, not 0"},
		{"first value", changed(t, good, 0, [32]byte{}), size, checksum, "they merge to"},
		{"last value", changed(t, good, 5, [32]byte{}), size, checksum, "they merge to"},
		{"values exchanged", exchanged, size, checksum, "they merge to"},
		{"other checksum", good, size, emptySum, "they merge to"},
		{"empty, other checksum", empty, 0, checksum, "they merge to"},
		{"one byte, other checksum", one, 1, checksum, "they merge to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got *CheckError
			if err := Check(c.values, c.size, c.checksum); !errors.As(err, &got) {
				t.Fatalf("Check = %v, want a *CheckError", err)
			}
			if !strings.HasPrefix(got.Reason, c.reason) {
				t.Errorf("reason = %q, want %q", got.Reason, c.reason)
			}
		})
	}
}

func BenchmarkChecksum(b *testing.B) {
	values := wire.NewValues(4096)
	b.ReportAllocs()
	for b.Loop() {
		Checksum(values)
	}
}
