package fetch

import (
	"testing"
	"time"
)

// The pauses between two tries double up to longestPause, give or take a
// quarter.
func TestBackOff(t *testing.T) {
	var b backOff
	for i, want := range []time.Duration{0, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second} {
		got := b.next()
		if got < want-want/4 || got > want+want/4 {
			t.Errorf("pause %d is %v, want about %v", i, got, want)
		}
	}
}
