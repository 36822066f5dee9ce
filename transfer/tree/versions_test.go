package tree

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"malcolm/wire"
)

// drawListing draws a small tree with few paths and contents, so that two of
// them have much in common.
var drawListing = rapid.Custom(func(t *rapid.T) (list []wire.Entry) {
	part := rapid.SampledFrom([]string{"a", "b", "a-b", "\xff"})
	paths := rapid.SliceOfNDistinct(rapid.SliceOfN(part, 1, 3), 0, 8, func(p []string) string { return strings.Join(p, "/") }).Draw(t, "paths")
	slices.SortFunc(paths, slices.Compare)
	for _, p := range paths {
		path := strings.Join(p, "/")
		if n := len(list); n > 0 && strings.HasPrefix(path, list[n-1].Path+"/") {
			continue
		}
		e := wire.Entry{Path: path, Kind: wire.EntryKind(rapid.IntRange(0, 3).Draw(t, "kind"))}
		switch {
		case e.IsFile():
			e.Size = int64(rapid.IntRange(1, 2).Draw(t, "size"))
			e.Checksum = [32]byte{byte(rapid.IntRange(1, 2).Draw(t, "checksum"))}
		case e.Kind == wire.EntryLink:
			e.Target = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "target")
		}
		list = append(list, e)
	}
	if err := wire.CheckEntries(list); err != nil {
		t.Fatal(err)
	}
	return list
})

func byPath(list []wire.Entry) map[string]wire.Entry {
	m := make(map[string]wire.Entry)
	for _, e := range list {
		m[e.Path] = e
	}
	return m
}

// Every path comes once, in order, with what each listing has there.
func TestPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		listings := rapid.SliceOfN(drawListing, 0, 5).Draw(t, "listings")
		want := make(map[string]bool)
		for _, list := range listings {
			for _, e := range list {
				want[e.Path] = true
			}
		}
		before, differ := "", 0
		for v := range Paths(listings...) {
			if !want[v.Path] || before != "" && !wire.PathLess(before, v.Path) {
				t.Fatalf("%q behind %q", v.Path, before)
			}
			delete(want, v.Path)
			before = v.Path
			var said []string
			for i, e := range v.Entries {
				has, ok := byPath(listings[i])[v.Path]
				if ok != (e != nil) || ok && has != *e {
					t.Fatalf("%q: listing %d has %v, got %v", v.Path, i, has, e)
				}
				said = append(said, fmt.Sprint(ok, has))
			}
			for i, class := range v.Classes(nil) {
				if first := slices.Index(said, said[i]); class != first {
					t.Fatalf("%q: listing %d is of class %d, want %d", v.Path, i, class, first)
				}
			}
			if alike := len(slices.Compact(slices.Clone(said))) == 1; alike != v.AreSame() {
				t.Fatalf("%q: %q are the same: %v", v.Path, said, !alike)
			} else if !alike {
				differ++
			}
		}
		if len(want) > 0 {
			t.Fatalf("not yielded: %q", slices.Collect(maps.Keys(want)))
		}
		for range Differences(listings...) {
			differ--
		}
		if differ != 0 {
			t.Fatalf("%d more paths differ", differ)
		}
	})
}

// What differs turns one listing into the other, and nothing more.
func TestDiff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawListing.Draw(t, "a"), drawListing.Draw(t, "b")
		m := byPath(a)
		for d := range Diff(a, b) {
			var before, after wire.Entry
			if d.Before != nil {
				before = *d.Before
			}
			if d.After != nil {
				after = *d.After
			}
			if m[d.Path] != before || before == after || d.Change == 0 {
				t.Fatalf("%+v, and the first has %+v", d, m[d.Path])
			}
			if delete(m, d.Path); d.After != nil {
				m[d.Path] = after
			}
		}
		if !maps.Equal(m, byPath(b)) {
			t.Fatalf("%v became %v, want %v", a, m, b)
		}
	})
}

func TestCompare(t *testing.T) {
	f := func(kind wire.EntryKind, size int64, sum byte, target string) *wire.Entry {
		return &wire.Entry{Path: "p", Kind: kind, Size: size, Checksum: [32]byte{sum}, Target: target}
	}
	tests := []struct {
		a, b *wire.Entry
		want Change
	}{
		{nil, nil, 0},
		{f(0, 1, 1, ""), f(0, 1, 1, ""), 0},
		{nil, f(0, 1, 1, ""), Added},
		{f(0, 1, 1, ""), nil, Removed},
		{f(0, 1, 1, ""), f(1, 1, 1, ""), Executable},
		{f(0, 1, 1, ""), f(0, 1, 2, ""), Checksum},
		{f(0, 1, 1, ""), f(1, 2, 2, ""), Executable | Size | Checksum},
		{f(0, 1, 1, ""), f(2, 0, 0, ""), Kind},
		{f(2, 0, 0, ""), f(3, 0, 0, "x"), Kind},
		{f(3, 0, 0, "y"), f(3, 0, 0, "x"), Target},
	}
	for _, test := range tests {
		if got := Compare(test.a, test.b); got != test.want {
			t.Errorf("%v and %v: %b, want %b", test.a, test.b, got, test.want)
		}
	}
}

// A caller that has seen enough may stop.
func TestDiffStops(t *testing.T) {
	a := []wire.Entry{file("a", 1, 1), file("b", 1, 1)}
	for range Diff(a, nil) {
		break
	}
	for range Paths(a) {
		break
	}
}
