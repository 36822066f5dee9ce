package fetch

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"malcolm/wire"
)

// drawEntries draws a small tree with few paths and contents, so that two of
// them have much in common.
var drawEntries = rapid.Custom(func(t *rapid.T) (list []wire.Entry) {
	part := rapid.SampledFrom([]string{"a", "b", "a-"})
	paths := rapid.SliceOfN(rapid.SliceOfN(part, 1, 3), 0, 7).Draw(t, "paths")
	slices.SortFunc(paths, slices.Compare) // the order of listings
	for _, p := range paths {
		e := wire.Entry{Path: strings.Join(p, "/"), Kind: wire.EntryKind(rapid.IntRange(0, 3).Draw(t, "kind"))}
		if n := len(list); n > 0 && (e.Path == list[n-1].Path || strings.HasPrefix(e.Path, list[n-1].Path+"/")) {
			continue
		}
		switch {
		case e.IsFile():
			e.Size, e.Checksum = 1, [32]byte{byte(rapid.IntRange(1, 2).Draw(t, "content"))}
		case e.Kind == wire.EntryLink:
			e.Target = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "target")
		}
		list = append(list, e)
	}
	return list
})

// A plan makes what is there what is wanted, touches nothing that is right, and
// says whether something is in the way.
func TestPlanMend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, have := drawEntries.Draw(t, "want"), drawEntries.Draw(t, "have")
		wanted, there := make(map[string]wire.Entry), make(map[string]wire.Entry)
		for _, e := range want {
			wanted[e.Path] = e
		}
		for _, e := range have {
			there[e.Path] = e
		}
		p := planMend(want, have)
		_, blocked := p.blocker()
		inWay := false
		for _, e := range p.extra {
			if _, ok := wanted[e.Path]; ok || there[e.Path] != e {
				t.Fatalf("%q is extra", e.Path)
			}
			for _, w := range p.fetch {
				inWay = inWay || strings.HasPrefix(w.Path, e.Path+"/") || strings.HasPrefix(e.Path, w.Path+"/") && w.Kind != wire.EntryDirectory
			}
			delete(there, e.Path)
		}
		if blocked != inWay {
			t.Fatalf("something is in the way: %v, want %v", blocked, inWay)
		}
		for _, e := range p.modes {
			if was := there[e.Path]; !was.IsFile() || was.Kind == e.Kind || was.Checksum != e.Checksum {
				t.Fatalf("%+v differs from %+v by its mode", was, e)
			}
			there[e.Path] = e
		}
		for _, e := range p.fetch {
			if there[e.Path] == e {
				t.Fatalf("%q is right, and is fetched", e.Path)
			}
			there[e.Path] = e
		}
		if !maps.Equal(there, wanted) {
			t.Fatalf("there is %v, want %v", there, wanted)
		}
	})
}

func TestMuchIsNotDeletedUnasked(t *testing.T) {
	tests := []struct{ extra, of, most, allows int }{ // allows -1: they are removed
		{0, 0, 0, -1},
		{0, 1000, 0, -1},
		{1, 2, 0, -1},
		{1, 1, 0, 0}, // nothing here is of the tree
		{50, 50, 0, 0},
		{2, 19, 0, 1},
		{2, 20, 0, -1},
		{100, 1000, 0, -1},
		{101, 1 << 20, 0, 100},
		{50, 50, 50, -1},
		{51, 1000, 50, 50},
	}
	for _, test := range tests {
		p := mendPlan{extra: make([]wire.Entry, test.extra)}
		err := p.mayDelete("d", test.of, test.most)
		e, _ := err.(*DeleteError)
		if test.allows < 0 && err != nil || test.allows >= 0 && (e == nil || e.Allows != test.allows || e.Extra != test.extra || e.Of != test.of) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
