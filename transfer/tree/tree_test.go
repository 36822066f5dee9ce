package tree

import (
	"errors"
	"slices"
	"testing"

	"malcolm/transfer/content"
	"malcolm/transfer/manifest"
	"malcolm/wire"
)

func file(path string, size int64, sum byte) wire.Entry {
	e := wire.Entry{Path: path, Size: size, Checksum: [32]byte{sum}}
	if size == 0 {
		e.Checksum = manifest.Merge(0, nil)
	}
	return e
}

// Files of the same bytes are one file of the content.
func TestTree(t *testing.T) {
	tree, err := New([]wire.Entry{
		file("a", 10, 1), file("b", 0, 0), {Path: "c", Kind: wire.EntryDirectory}, file("d", 20, 2), file("e", 10, 1),
		{Path: "f", Kind: wire.EntryLink, Target: "a"}, file("g", 10, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := tree.Content()
	want := []content.File{{Size: 10, Checksum: [32]byte{1}}, {Size: 20, Checksum: [32]byte{2}}}
	if c.Files() != 2 || c.File(0) != want[0] || c.File(1) != want[1] {
		t.Errorf("content of %d files", c.Files())
	}
	if got := slices.Collect(tree.Holders(0)); !slices.Equal(got, []int{0, 4, 6}) {
		t.Errorf("holders of the first: %v", got)
	}
	if got := slices.Collect(tree.Holders(1)); !slices.Equal(got, []int{3}) {
		t.Errorf("holders of the second: %v", got)
	}
	for i, want := range []int{0, -1, -1, 1, 0, -1, 0} {
		if got, ok := tree.FileOf(i); ok != (want >= 0) || ok && got != want {
			t.Errorf("entry %d has file %d, %v, want %d", i, got, ok, want)
		}
	}
	if got, want := tree.Totals(), (Totals{Files: 5, Directories: 1, Links: 1, Bytes: 50}); got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
}

// In order, each file has a content of its own.
func TestInOrder(t *testing.T) {
	tree, err := InOrder([]wire.Entry{file("a", 10, 1), file("b", 0, 0), file("c", 10, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if n := tree.Content().Files(); n != 2 {
		t.Errorf("%d files, want 2", n)
	}
	if got, ok := tree.FileOf(2); got != 1 || !ok {
		t.Errorf("the last entry has file %d, want 1", got)
	}
}

// Sizes that no bytes can have are refused.
func TestImpossibleSizes(t *testing.T) {
	if _, err := New([]wire.Entry{file("a", 10, 1), file("b", 11, 1)}); !errors.Is(err, ErrSizes) {
		t.Errorf("two sizes: %v", err)
	}
	if _, err := New([]wire.Entry{{Path: "a", Checksum: [32]byte{1}}}); !errors.Is(err, errEmpty) {
		t.Errorf("an empty file with the checksum of another: %v", err)
	}
}
