package fetch

import (
	"archive/tar"
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
	"malcolm/wire"
)

// A directory becomes a tar archive, in the order of its listing, with all that
// it has.
func TestStreamOfTree(t *testing.T) {
	for name, m := range map[string]sample{
		"varied":        varied(),
		"without bytes": {"a": []byte(nil), "b": "c", "d": []byte{}},
		"odd names":     {"a\xff": []byte("x"), string(bytes.Repeat([]byte("n"), 255)): []byte("y"), "deep/" + string(bytes.Repeat([]byte("d"), 200)) + "/e": []byte("z")},
	} {
		synctest.Test(t, func(t *testing.T) {
			listing, files := m.listing(t)
			var times []time.Time
			for range m {
				times = append(times, time.Unix(int64(1e9+len(times)), 0))
			}
			list := wire.Times{Entries: times}.Append(nil)
			offer := wire.Offer{Kind: wire.KindTree, Name: "tree", Times: sumOf(t, list), TimesSize: int64(len(list))}
			held := append([][]byte{listing, list}, files...)
			var sources []source.Source
			for i := range 2 {
				sources = append(sources, sourcetest.Holding(place(i), offer, held, nil))
			}
			s := Open(t.Context(), Servers{Sources: sources}, Watch{})
			defer s.Close()
			var out bytes.Buffer
			if _, err := s.Stream(Ballot{}, Stream{Out: &out, Window: 2 * chunk}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkTar(t, m, tar.NewReader(&out), times)
		})
	}
}

func checkTar(t *testing.T, m sample, from *tar.Reader, times []time.Time) {
	t.Helper()
	seen, last := 0, ""
	for {
		h, err := from.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := h.Name[len("tree/"):]
		if h.Typeflag == tar.TypeDir {
			path = path[:len(path)-1]
		}
		if seen > 0 && !wire.PathLess(last, path) {
			t.Errorf("%q comes behind %q", path, last)
		}
		if !h.ModTime.Equal(times[seen]) {
			t.Errorf("%q has the time %v, want %v", path, h.ModTime, times[seen])
		}
		last = path
		seen++
		what, ok := m[path]
		if !ok {
			t.Errorf("%q is not in the tree", path)
			continue
		}
		data, err := io.ReadAll(from)
		switch want := what.(type) {
		case string:
			if h.Typeflag != tar.TypeSymlink || h.Linkname != want {
				t.Errorf("%q leads to %q, want %q", path, h.Linkname, want)
			}
		case []byte:
			if err != nil || !bytes.Equal(data, want) || (want == nil) != (h.Typeflag == tar.TypeDir) {
				t.Errorf("%q has %d bytes, %v, want %d others", path, len(data), err, len(want))
			}
			if runs := h.Mode&0o100 != 0; want != nil && runs != (path == "a/run.sh") {
				t.Errorf("%q has mode %o", path, h.Mode)
			}
		}
	}
	if seen != len(m) {
		t.Errorf("%d entries, want %d", seen, len(m))
	}
}
