package fetch

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"malcolm/transfer/manifest"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// TestFilesAreCounted compares the count with what follows from the set of good
// chunks, in any order of arrival.
func TestFilesAreCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int64{0, 1, 4096, 1 << 18, 1<<18 + 1, 1 << 20, 1<<20 + 7}), 1, 30).Draw(t, "sizes")
		var entries []wire.Entry
		for i, size := range sizes {
			e := wire.Entry{Path: fmt.Sprintf("f%02d", i), Size: size, Checksum: sha256.Sum256(fmt.Append(nil, size))}
			if size == 0 {
				e.Checksum = manifest.Merge(0, nil)
			}
			entries = append(entries, e)
		}
		whole, err := tree.New(entries)
		if err != nil {
			t.Fatal(err)
		}
		c := whole.Content()
		told := make(map[string]bool)
		n := newFileCount(whole, func(e *wire.Entry) {
			if told[e.Path] {
				t.Fatalf("%s is told twice", e.Path)
			}
			told[e.Path] = true
		})
		good := make(map[int]bool)
		for _, chunk := range rapid.Permutation(numbers(c.Chunks())).Draw(t, "order") {
			good[chunk] = true
			n.good(chunk)
			want := 0
			for i := range entries {
				file, ok := whole.FileOf(i)
				all := true
				for chunk := 0; ok && chunk < c.FileChunks(file); chunk++ {
					all = all && good[c.FirstChunk(file)+chunk]
				}
				if all {
					want++
				}
				if told[entries[i].Path] != all {
					t.Fatalf("%s: told %v, want %v", entries[i].Path, told[entries[i].Path], all)
				}
			}
			if n.done != want {
				t.Fatalf("%d files are done, want %d", n.done, want)
			}
		}
		if n.done != len(entries) || n.done != n.totals.Files || len(n.left) != 0 {
			t.Fatalf("%d of %d files are done, %d are counted", n.done, n.totals.Files, len(n.left))
		}
	})
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
