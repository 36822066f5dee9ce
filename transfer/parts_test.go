package transfer

import (
	"testing"
	"time"

	"malcolm/transfer/fetch"
)

// A server with several slow connections sends the last chunks over all of
// them, and each byte once.
func TestLastChunksOverAllConnections(t *testing.T) {
	withoutRace(t)
	const (
		connections = 4
		rate        = 128 << 10 // bytes a second, of each
	)
	for _, narrows := range []bool{false, true} { // so that one of them dies
		bubble(t, func(t *testing.T, w *world) {
			data := file(18*chunk+5, 1)
			s := w.holders(data)[0]
			s.links[0].set(func(l *link) { l.each = rate })
			var ended time.Time
			narrow := at(0.9, func() {
				if narrows {
					s.links[0].set(func(l *link) { l.mtu, l.narrow = 600, firstPort })
				}
			})
			o := w.get(getConfig{Targets: s.targets, Connections: connections, Events: func(e fetch.Event) {
				narrow(e)
				if _, ok := e.(fetch.Finishing); ok {
					ended = time.Now()
				}
			}})
			o.has("data.bin", data)
			_, began := only[fetch.Started](o)
			took, best := ended.Sub(began), time.Duration(float64(len(data))/(connections*rate)*float64(time.Second))
			t.Logf("took %v, bound %v", took, best)
			none[fetch.ChunkRefused](o)
			if narrows {
				return
			}
			if sent := s.total(); sent != int64(len(data)) || o.Duplicate > 0 {
				t.Errorf("%d bytes sent, %d wasted, want each once", sent, o.Duplicate)
			}
			if took > best+best/8 {
				t.Errorf("took %v, want about %v", took, best)
			}
		})
	}
}
