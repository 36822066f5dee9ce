package transfer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/manifest"
)

// A server whose disk gives other bytes than were hashed finds it out when a
// client tells it, says which chunk it is, and hashes its file anew.
func TestDamagedDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk, 1)
		servers := w.holders(data, data)
		slow(200<<10, servers...)
		rotten := servers[0]
		o := w.get(GetConfig{Targets: targetsOf(servers...), Events: func(e GetEvent) {
			if _, ok := e.(Started); ok {
				rotten.src.mu.Lock()
				rotten.src.data = corrupted(t, data, 0)
				for c := range manifest.Count(int64(len(data))) {
					rotten.src.data[c*chunk] = ^data[c*chunk]
				}
				rotten.src.mu.Unlock()
			}
		}})
		o.has("data.bin", data)
		refused, _ := only[ChunkRefused](o)
		if refused.Changed || refused.Target != rotten.targets[0] {
			t.Errorf("refused = %+v, want a wrong chunk of the first server", refused)
		}
		damaged := serveEvents[Damaged](rotten)
		if len(damaged) != 1 || damaged[0].Chunk != refused.Chunk || damaged[0].Length != chunk {
			t.Errorf("told %+v, want chunk %d", damaged, refused.Chunk)
		}
		if got := serveEvents[Ready](rotten); len(got) != 2 || got[1].Checksum == got[0].Checksum {
			t.Errorf("ready = %+v, want another file the second time", got)
		}
		if got := serveEvents[Damaged](servers[1]); len(got) != 0 {
			t.Errorf("the other server told %+v", got)
		}
	})
}

// A server that lies is not helped by being asked to look; an honest one that is
// asked without reason looks at its disk once a second at most.
func TestRecheckIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := w.holders(file(3*chunk, 1))[0]
		synctest.Wait()
		ix := s.run.index
		v := readyVersion(t.Context(), ix)
		defer ix.release(v)
		before := s.src.sent()
		looks := 0
		for range 100 {
			good, err := ix.examine(v, 1)
			if err == nil && !good {
				t.Fatal("a good chunk is taken for damaged")
			}
			if err == nil {
				looks++
			} else if !errors.Is(err, errRecheckBusy) {
				t.Fatal(err)
			}
			time.Sleep(recheckEvery / 10)
		}
		if read := s.src.sent() - before; looks > 10 || read > int64(looks)*chunk {
			t.Errorf("%d looks read %d bytes in 10 s, want at most 10 of a chunk each", looks, read)
		}
	})
}
