package vote

import (
	"testing"

	"pgregory.net/rapid"
)

// bruteApart tries every set of pairs.
func bruteApart(pairs []pair) (best int) {
	for set := range 1 << len(pairs) {
		hosts, ids, n, fits := make(map[host]bool), make(map[ID]bool), 0, true
		for i, p := range pairs {
			if set>>i&1 == 0 {
				continue
			}
			fits = fits && !hosts[p.host] && !ids[p.id]
			hosts[p.host], ids[p.id] = true, true
			n++
		}
		if fits {
			best = max(best, n)
		}
	}
	return best
}

func TestApartAgainstEverySet(t *testing.T) {
	draw := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) pair {
		p := pair{id: ID{rapid.SampledFrom([]byte("uvwxyz")).Draw(t, "id")}}
		if rapid.IntRange(0, 4).Draw(t, "named") == 0 {
			p.host = host{id: p.id}
		} else {
			p.host = host{name: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "host")}
		}
		return p
	}), 0, 10)
	rapid.Check(t, func(t *rapid.T) {
		pairs := draw.Draw(t, "pairs")
		if got, want := apart(pairs), bruteApart(pairs); got != want {
			t.Fatalf("%v: got %d, want %d", pairs, got, want)
		}
	})
}

// A long chain makes every search as deep as it can be.
func TestApartOfAChain(t *testing.T) {
	const n = 1000
	var pairs []pair
	for i := range n {
		h := host{name: string(rune(1000 + i))}
		pairs = append(pairs, pair{h, ID{byte(i), byte(i >> 8)}}, pair{h, ID{byte(i + 1), byte((i + 1) >> 8)}})
	}
	if got := apart(pairs); got != n {
		t.Errorf("got %d, want %d", got, n)
	}
}
