package serve

import (
	"testing"
	"time"

	"malcolm/certs"
	"malcolm/transfer/admission"
)

// An activity is idle when everything begun has ended, and tells all who wait.
func TestActivity(t *testing.T) {
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var a activity
	if !closed(a.idle()) || a.count() != 0 {
		t.Error("busy at first, want idle")
	}
	a.begin()
	a.begin()
	first, second := a.idle(), a.idle()
	a.end()
	if closed(first) || closed(second) || a.count() != 1 {
		t.Errorf("idle with %d under way", a.count())
	}
	a.end()
	if !closed(first) || !closed(second) || !closed(a.idle()) {
		t.Error("busy with nothing under way")
	}
	a.begin()
	third := a.idle()
	a.end()
	if !closed(third) {
		t.Error("busy after a second time")
	}
}

// Every state has a name.
func TestServeStates(t *testing.T) {
	for s := StateIndexing; s <= StateStopped; s++ {
		if s.String() == "" {
			t.Errorf("state %d has no name", s)
		}
	}
}

// TestResetKey: a restart on the same machine has the same reset key. Another
// machine with the same identity has another, and so has a run that knows no
// machine.
func TestResetKey(t *testing.T) {
	var ids [2]*certs.Identity
	for i := range ids {
		var err error
		if ids[i], err = certs.Generate(); err != nil {
			t.Fatal(err)
		}
	}
	key := func(id int, machine byte) [32]byte {
		cfg := Config{Identity: ids[id], Machine: [32]byte{machine}}
		return cfg.resetKey()
	}
	if once, again := key(0, 1), key(0, 1); once != again {
		t.Error("a restart has another key")
	}
	for i, other := range [][32]byte{key(0, 2), key(1, 1), key(0, 0)} {
		if other == key(0, 1) {
			t.Errorf("case %d has the same key", i)
		}
	}
	if once, again := key(0, 0), key(0, 0); once == again {
		t.Error("two runs that know no machine have the same key")
	}
}

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
