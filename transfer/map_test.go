package transfer

import (
	"testing"
	"time"
)

// TestChunkMark: what is added to a mark leaves the rest of it as it is.
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

// TestMapOfALie: the map names who delivered each chunk, as often as the
// reports do, and the chunk that was refused.
func TestMapOfALie(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(10*chunk+5, 1)
		servers := w.holders(data, data, data)
		lied := lie(servers[1])
		o := w.get(GetConfig{Targets: targetsOf(servers...), Map: true})
		o.has("data.bin", data)
		if got, want := len(o.Map), 11; got != want {
			t.Fatalf("the map has %d chunks, want %d", got, want)
		}
		bytes := make([]int64, len(servers))
		wrong := lied()
		for c, m := range o.Map {
			if !m.Good() || m.Kept() || m.Refused() != (c == wrong) {
				t.Errorf("chunk %d: good %v, kept %v, refused %v, want good, fetched, and %d refused", c, m.Good(), m.Kept(), m.Refused(), wrong)
				continue
			}
			bytes[m.Server()] += min(chunk, o.Size-int64(c)*chunk)
		}
		for i, s := range o.Servers {
			if bytes[i] != s.Bytes {
				t.Errorf("by the map %s delivered %d bytes, by its report %d", s.Target, bytes[i], s.Bytes)
			}
		}
		if maps := events[Progress](o); len(maps[len(maps)-1].Map) != len(o.Map) {
			t.Error("the last progress has no map")
		}
	})
}

// TestMapOfAResume: what an earlier run left is marked as kept.
func TestMapOfAResume(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(12*chunk, 1)
		o := interrupt(t, w, 0.5, w.holders(data, data)...)
		o = w.get(GetConfig{Targets: targetsOf(w.holders(data, data)...), Dir: o.dir, Resume: true, Map: true})
		o.has("data.bin", data)
		var kept int64
		for _, m := range o.Map {
			if m.Kept() {
				kept += chunk
			}
		}
		if kept == 0 || kept != o.Resumed {
			t.Errorf("the map has %d bytes kept, want the %d of the result", kept, o.Resumed)
		}
	})
}

// TestMapOfASecondCopy: a chunk that two servers were asked for is marked.
func TestMapOfASecondCopy(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		servers := w.holders(data, data)
		servers[0].links[0].set(func(l *link) { l.delay = 300 * time.Millisecond })
		servers[1].links[0].set(func(l *link) { l.delay = time.Millisecond })
		o := w.get(GetConfig{Targets: targetsOf(servers...), Map: true})
		o.has("data.bin", data)
		var twice int
		for _, m := range o.Map {
			if m.Twice() {
				twice++
			}
			if m.Server() != 1 {
				t.Errorf("a chunk is from server %d, want 1", m.Server())
			}
		}
		if twice != 1 {
			t.Errorf("%d chunks are marked as asked for twice, want 1", twice)
		}
	})
}

// TestNoMap: nobody pays for a map that was not asked for.
func TestNoMap(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		o := w.get(GetConfig{Targets: targetsOf(w.holders(data)...)})
		o.has("data.bin", data)
		if o.Map != nil {
			t.Errorf("there is a map of %d chunks, want none", len(o.Map))
		}
	})
}
