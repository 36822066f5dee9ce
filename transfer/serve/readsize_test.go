package serve

import (
	"testing"
	"time"

	"malcolm/transfer/admission"
)

// The read size for a client follows what it takes.
func TestReadSize(t *testing.T) {
	s := readSize{firstBytes, growBytes}
	for i, step := range []struct {
		sent, n int
		took    time.Duration
		want    int
	}{
		{firstBytes, firstBytes, 0, 2 * firstBytes},
		{2 * firstBytes, 2 * firstBytes, quickTake - 1, 4 * firstBytes},
		{4 * firstBytes, 4 * firstBytes, quickTake, 4 * firstBytes}, // neither quick nor slow
		{4 * firstBytes, 4 * firstBytes, slowTake + 1, 2 * firstBytes},
		{2 * firstBytes, 2 * firstBytes, 0, 2 * firstBytes}, // growBytes must be taken quickly
		{2 * firstBytes, 2 * firstBytes, 0, 4 * firstBytes},
		{admission.LeastBuffer + 1, 4 * firstBytes, pieceTime, 2 * admission.LeastBuffer},
		{0, 2 * admission.LeastBuffer, pieceTime, admission.LeastBuffer},
		{1, admission.LeastBuffer, pieceTime, admission.LeastBuffer},
		{growBytes, growBytes, 0, 2 * admission.LeastBuffer},
	} {
		if s.adapt(step.sent, step.n, step.took); s.bytes != step.want {
			t.Fatalf("step %d: %d bytes, want %d", i, s.bytes, step.want)
		}
	}
	for range 20 {
		s.adapt(s.bytes, s.bytes, 0)
	}
	if s.bytes != admission.MostBuffer {
		t.Errorf("%d bytes for a quick client, want %d", s.bytes, admission.MostBuffer)
	}
}
