package fetch

import "testing"

// TestChunkMark: adding to a mark leaves the rest of it as it is.
func TestChunkMark(t *testing.T) {
	m := make(ChunkMap, 4)
	m.flag(0, markRefused)
	m.delivered(0, 3)
	m.flag(1, markTwice)
	m.delivered(1, MapServers-1)
	m.delivered(2, MapServers+40)
	m.kept(3)
	tests := []struct {
		server               int
		kept, twice, refused bool
	}{{3, false, false, true}, {MapServers - 1, false, true, false}, {MapServers, false, false, false}, {-1, true, false, false}}
	for chunk, want := range tests {
		got := m[chunk]
		if !got.Good() || got.Server() != want.server || got.Kept() != want.kept || got.Twice() != want.twice || got.Refused() != want.refused {
			t.Errorf("chunk %d: good %v, server %d, kept %v, twice %v, refused %v, want good and %+v",
				chunk, got.Good(), got.Server(), got.Kept(), got.Twice(), got.Refused(), want)
		}
	}
	for _, none := range []ChunkMark{0, markTwice, markRefused} {
		if none.Good() || none.Kept() || none.Server() >= 0 {
			t.Errorf("the mark %#x is of a chunk that is there, want none", none)
		}
	}
	var off ChunkMap
	off.kept(0)
	off.delivered(0, 1)
	off.flag(0, markTwice)
}
