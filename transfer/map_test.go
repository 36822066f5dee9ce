package transfer

import (
	"testing"
	"time"
)

// The map names who delivered each chunk, in line with the reports, and the
// chunk that was refused.
func TestMapOfALie(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(10*chunk+5, 1)
		servers := w.holders(data, data, data)
		lied := lie(servers[1])
		o := w.get(getConfig{Targets: targetsOf(servers...), Map: true})
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
		if maps := events[progress](o); len(maps[len(maps)-1].Map) != len(o.Map) {
			t.Error("the last progress has no map")
		}
	})
}

// The map marks what an earlier run left as kept.
func TestMapOfAResume(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(12*chunk, 1)
		servers := w.holders(data, data)
		slow(2<<20, servers...)
		o := interrupt(t, w, 0.5, servers...)
		o = w.get(getConfig{Targets: targetsOf(w.holders(data, data)...), Dir: o.dir, Resume: true, Map: true})
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

// The map marks a chunk that two servers were asked for.
func TestMapOfASecondCopy(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		servers := w.holders(data, data)
		servers[0].links[0].set(func(l *link) { l.delay = 300 * time.Millisecond })
		servers[1].links[0].set(func(l *link) { l.delay = time.Millisecond })
		o := w.get(getConfig{Targets: targetsOf(servers...), Map: true})
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

// Without a wish for a map none is made.
func TestMapIsMadeOnlyOnDemand(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		o := w.get(getConfig{Targets: targetsOf(w.holders(data)...)})
		o.has("data.bin", data)
		if o.Map != nil {
			t.Errorf("there is a map of %d chunks, want none", len(o.Map))
		}
	})
}
