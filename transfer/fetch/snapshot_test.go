package fetch

import (
	"context"
	"fmt"
	"testing"

	"malcolm/transfer/source"
	"malcolm/transfer/source/sourcetest"
)

// BenchmarkSnapshot is what it costs to look at a session over a thousand
// sources: its loop makes a snapshot each tick whether or not anybody looks,
// and a look waits for nobody.
func BenchmarkSnapshot(b *testing.B) {
	var sources []source.Source
	for i := range 1000 {
		sources = append(sources, &sourcetest.Source{Place: source.Target{Host: fmt.Sprint("host-", i), Port: 1}})
	}
	s := Open(context.Background(), Servers{Sources: sources}, Watch{})
	defer s.Close()
	b.Run("publish", func(b *testing.B) {
		for b.Loop() {
			s.publish()
		}
	})
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			s.Snapshot()
		}
	})
}
