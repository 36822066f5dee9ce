package fetch

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"

	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

// listingOf returns the listing of files with these bytes, named "0", "1", ...
func listingOf(t *testing.T, files ...[]byte) []byte {
	t.Helper()
	var entries []wire.Entry
	for i, data := range files {
		entries = append(entries, wire.Entry{
			Path: string(rune('a' + i)), Size: int64(len(data)), Checksum: sumOf(t, data),
		})
	}
	b, err := wire.AppendListing(nil, entries)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sumOf(t *testing.T, data []byte) [32]byte {
	t.Helper()
	_, sum, err := manifest.Build(t.Context(), bytes.NewReader(data), int64(len(data)), manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// treeSession returns a session over holders of a listing and files, on an
// agreed tree.
func treeSession(t *testing.T, listing []byte, files [][]byte, change ...func(*sourcetest.Conn)) (*Session, error) {
	t.Helper()
	var sources []source.Source
	for i, change := range change {
		sources = append(sources, sourcetest.HolderOfTree(place(i), listing, files, change))
	}
	s := Open(t.Context(), Servers{Sources: sources}, Watch{})
	t.Cleanup(s.Close)
	s.anew()
	if err := s.agreeEarly(Ballot{}, nil); err != nil {
		t.Fatal(err)
	}
	return s, s.obtainTree(Ballot{})
}

// A listing is fetched like a file, and the download is then of its files.
func TestListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := [][]byte{file(3*chunk, 1), file(10, 2), file(3*chunk, 1)}
		s, err := treeSession(t, listingOf(t, files...), files, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := s.download
		if d.tree == nil || len(d.tree.Entries()) != 3 || d.content.Files() != 2 || d.content.Chunks() != 4 {
			t.Errorf("download %+v, want that of 3 files, 2 of them the same", d)
		}
		if d.result.Name != "tree" || d.result.Size != 3*chunk+10 || d.offer.Kind != wire.KindTree {
			t.Errorf("result %+v", d.result)
		}
	})
}

// What the servers agree on may still be no listing.
func TestListingRefused(t *testing.T) {
	for name, listing := range map[string][]byte{
		"bytes":      file(100, 1),
		"several":    file(3*chunk, 1),
		"cut short":  listingOf(t, file(10, 1), file(11, 2))[:70],
		"impossible": impossible(t),
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := treeSession(t, listing, nil, nil)
			if refused, ok := errors.AsType[*ListingError](err); !ok || KindOf(err) != KindIntegrity {
				t.Errorf("%s: error = %v, %v", name, err, refused)
			}
		})
	}
}

// impossible returns the listing of two files with one checksum and other
// sizes.
func impossible(t *testing.T) []byte {
	b, err := wire.AppendListing(nil, []wire.Entry{{Path: "a", Size: 1}, {Path: "b", Size: 2}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// More bytes than are allowed are refused before anything is written.
func TestTreeTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := [][]byte{file(10, 1), file(20, 2)}
		listing := listingOf(t, files...)
		s := Open(t.Context(), Servers{Sources: []source.Source{sourcetest.HolderOfTree(place(0), listing, files, nil)}}, Watch{})
		defer s.Close()
		s.anew()
		b := Ballot{MaxSize: 29}
		if err := s.agreeEarly(b, nil); err != nil {
			t.Fatal(err)
		}
		if large, ok := errors.AsType[*TooLargeError](s.obtainTree(b)); !ok || large.Size != 30 {
			t.Errorf("error = %v, want that 30 bytes are too large", large)
		}
	})
}
