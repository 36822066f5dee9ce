package serve

import (
	"testing"
)

// Every state has a name.
func TestServeStates(t *testing.T) {
	for s := StateIndexing; s <= StateStopped; s++ {
		if s.String() == "" {
			t.Errorf("state %d has no name", s)
		}
	}
}
