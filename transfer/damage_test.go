package transfer

import (
	"testing"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"

	"malcolm/transfer/manifest"
)

// A disk gives other bytes than were hashed. When a client reports it, the
// server finds out, names the chunk, and hashes its file anew.
func TestDamagedDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk, 1)
		servers := w.holders(data, data)
		slow(200<<10, servers...)
		rotten := servers[0]
		o := w.get(getConfig{Targets: targetsOf(servers...), Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Started); ok {
				rotten.src.mu.Lock()
				rotten.src.data = corrupted(t, data, 0)
				for c := range manifest.Count(int64(len(data))) {
					rotten.src.data[c*chunk] = ^data[c*chunk]
				}
				rotten.src.mu.Unlock()
			}
		}})
		o.has("data.bin", data)
		refused, _ := only[fetch.ChunkRefused](o)
		if refused.Changed || refused.Target != rotten.targets[0] {
			t.Errorf("refused = %+v, want a wrong chunk of the first server", refused)
		}
		damaged := serveEvents[serve.Damaged](rotten)
		if len(damaged) != 1 || damaged[0].Chunk != refused.Chunk || damaged[0].Length != chunk {
			t.Errorf("told %+v, want chunk %d", damaged, refused.Chunk)
		}
		if got := serveEvents[serve.Ready](rotten); len(got) != 2 || got[1].Checksum == got[0].Checksum {
			t.Errorf("ready = %+v, want another file the second time", got)
		}
		if got := serveEvents[serve.Damaged](servers[1]); len(got) != 0 {
			t.Errorf("the other server told %+v", got)
		}
	})
}
