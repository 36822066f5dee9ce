package fetch

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

// The times of a tree are those of the list that most servers name, and that
// the first of them to give it has.
func TestTreeTimes(t *testing.T) {
	m := sample{"a": file(10, 1), "b": []byte(nil), "c": "a", "d/e": file(10, 2)}
	at := func(second int64) []byte {
		return wire.Times{
			Entries:     []time.Time{time.Unix(second, 5), time.Unix(second+1, 0), time.Unix(second+2, 0), time.Unix(second+3, 0)},
			Directories: []time.Time{time.Unix(second+4, 0), time.Unix(second+5, 0)},
		}.Append(nil)
	}
	right, other := at(1e9), at(2e9)
	short := wire.Times{Entries: []time.Time{time.Unix(3e9, 0)}}.Append(nil)
	long := wire.Times{Entries: make([]time.Time, 4), Directories: make([]time.Time, 3)}.Append(nil)
	for _, test := range []struct {
		name  string
		named [][]byte // by each server
		gives [][]byte
		want  int64 // 0: none
		wrong int
	}{
		{"agreed", [][]byte{right, right}, [][]byte{right, right}, 1e9, 0},
		{"most", [][]byte{other, right, right}, [][]byte{other, right, right}, 1e9, 0},
		{"tied", [][]byte{other, right}, [][]byte{other, right}, 2e9, 0},
		{"not given by one", [][]byte{right, right}, [][]byte{nil, right}, 1e9, 0},
		{"given by none", [][]byte{right}, [][]byte{nil}, 0, 0},
		{"too few", [][]byte{short}, [][]byte{short}, 0, 1},
		{"too many directories", [][]byte{long}, [][]byte{long}, 0, 1},
		{"other bytes", [][]byte{right}, [][]byte{other}, 0, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			listing, files := m.listing(t)
			var sources []source.Source
			for i, list := range test.named {
				offer := wire.Offer{Kind: wire.KindTree, Name: "tree", Times: sumOf(t, list), TimesSize: int64(len(list))}
				held := append([][]byte{listing}, files...)
				given := test.gives[i]
				sources = append(sources, sourcetest.Holding(place(i), offer, held, func(c *sourcetest.Conn) {
					serve := c.OnRange
					c.OnRange = func(ctx context.Context, spans []source.Span) (source.Body, error) {
						if spans[0].Checksum == offer.Times && given != nil {
							return sourcetest.NewBody(bytes.NewReader(given)), nil
						}
						return serve(ctx, spans)
					}
				}))
			}
			dir, missing := t.TempDir(), 0
			s := Open(t.Context(), Servers{Sources: sources}, Watch{Events: func(e Event) {
				if _, ok := e.(NoModTime); ok {
					missing++
				}
			}})
			defer s.Close()
			out := Output{Dir: dir}
			out.RemoteTime = true
			r, err := s.Get(Ballot{}, out)
			if test.wrong == len(test.named) { // nobody is left
				if err == nil || r.Servers[0].State != StateWrong {
					t.Errorf("%s: error = %v, want that the server is wrong", test.name, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			if (missing > 0) != (test.want == 0) {
				t.Errorf("%s: told %d times that there are none", test.name, missing)
			}
			for i, path := range []string{"a", "b", "c", "d/e", ".", "d"} {
				info, err := os.Lstat(filepath.Join(dir, "tree", path))
				if err != nil {
					t.Fatal(err)
				}
				if test.want > 0 && info.ModTime().Unix() != test.want+int64(i) {
					t.Errorf("%s: %s has the time %v, want %v", test.name, path, info.ModTime(), time.Unix(test.want+int64(i), 0))
				}
			}
		})
	}
}
