package transfer

import (
	"malcolm/transfer/serve"
	"slices"
	"testing"
)

// While a server sends what it has of a range, it announces what it will read
// next, and nothing else.
func TestReadAhead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(40*chunk, 1)
		s := w.serve(newSource(data), 0, 1, serve.Config{})
		w.get(getConfig{Targets: s.targets}).has("data.bin", data)
		s.src.mu.Lock()
		aheads := slices.Clone(s.src.aheads)
		s.src.mu.Unlock()
		if len(aheads) == 0 {
			t.Error("nothing was announced")
		}
		reads := s.src.log()
		for _, a := range aheads {
			if !slices.ContainsFunc(reads, func(r read) bool { return r.off == a.off && r.n == a.n && !r.at.Before(a.at) }) {
				t.Errorf("%d bytes at %d were announced and not read then", a.n, a.off)
			}
		}
	})
}
