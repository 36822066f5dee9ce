package fetch

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

// A repair goes on where an earlier one was cut off if it lacks the same, and
// else takes nothing from it: the chunks have other numbers.
func TestRepairTreeResumes(t *testing.T) {
	for _, test := range []struct {
		name, lacks string // by the second run
		fetched     int64
	}{
		{"the same", "one", 2 * chunk},
		{"something else of that size", "two", 3 * chunk},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, dir := sample{"one": file(3*chunk, 1), "two": file(3*chunk, 2)}, t.TempDir()
			m.without("one").write(t, dir)
			cutOffRepair(t, m, dir)
			m.write(t, dir)
			if err := os.Remove(filepath.Join(dir, test.lacks)); err != nil {
				t.Fatal(err)
			}
			r, err := treeServers(t, m).RepairTree(Ballot{}, dir, MendTree{})
			if err != nil || r.Fetched != test.fetched || r.Made != 1 {
				t.Errorf("%s: %+v, %v, want %d bytes fetched", test.name, r, err, test.fetched)
			}
			m.has(t, dir)
		})
	}
}

// cutOffRepair is a repair that ends after its first chunk.
func cutOffRepair(t *testing.T, m sample, dir string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listing, files := m.listing(t)
	cut := func(c *sourcetest.Conn) {
		serve := c.OnRange
		c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
			body, err := serve(ctx, spans)
			if err != nil || spans[0].Checksum == sumOf(t, listing) {
				return body, err
			}
			return sourcetest.NewBody(io.MultiReader(io.LimitReader(body, chunk), cutOff{func() { synctest.Wait(); cancel() }})), nil
		}
	}
	s := Open(ctx, Servers{Sources: []source.Source{sourcetest.HolderOfTree(place(0), listing, files, cut)}}, Watch{})
	defer s.Close()
	if r, err := s.RepairTree(Ballot{}, dir, MendTree{}); err == nil || r.Fetched != chunk {
		t.Fatalf("%+v, %v, want that it is cut off after a chunk", r, err)
	}
}

// A cutOff fails, and calls a function before.
type cutOff struct{ then func() }

func (c cutOff) Read([]byte) (int, error) {
	c.then()
	return 0, errors.New("cut off")
}

// With -R a repair also sets the times of directories, once all in them is at
// its place; and those of the files that it fetches.
func TestRepairTreeTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, dir := sample{"a/b": file(10, 1), "c": file(10, 2), "d/e/f": file(10, 3)}, t.TempDir()
		m.without("a/b").write(t, dir)
		at := func(i int) time.Time { return time.Unix(int64(1e9+i), 0) }
		list := wire.Times{Entries: []time.Time{at(0), at(1), at(2)}, Directories: []time.Time{at(3), at(4), at(5), at(6)}}.Append(nil)
		listing, files := m.listing(t)
		offer := wire.Offer{Kind: wire.KindTree, Name: "tree", Times: sumOf(t, list), TimesSize: int64(len(list))}
		held := append([][]byte{listing}, append(files, list)...)
		for _, fetched := range []bool{true, false} { // also if nothing is fetched
			s := Open(t.Context(), Servers{Sources: []source.Source{sourcetest.Holding(place(0), offer, held, nil)}}, Watch{})
			defer s.Close()
			how := MendTree{}
			how.RemoteTime = true
			if r, err := s.RepairTree(Ballot{}, dir, how); err != nil || (r.Made == 1) != fetched {
				t.Fatalf("%+v, %v", r, err)
			}
			for path, want := range map[string]time.Time{"a/b": at(0), ".": at(3), "a": at(4), "d": at(5), "d/e": at(6)} {
				if info, err := os.Stat(filepath.Join(dir, path)); err != nil || !info.ModTime().Equal(want) {
					t.Errorf("fetched: %t: %s has the time %v, %v, want %v", fetched, path, info.ModTime(), err, want)
				}
			}
			if info, err := os.Stat(filepath.Join(dir, "c")); err != nil || info.ModTime().Equal(at(1)) {
				t.Errorf("a right file has another time: %v", err)
			}
			if err := os.Chtimes(filepath.Join(dir, "d/e"), time.Time{}, at(100)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
