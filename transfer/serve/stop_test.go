package serve

import (
	"testing"
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
