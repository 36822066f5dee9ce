package main

import (
	"os"
	"testing"
	"time"
)

// TestPace: what is drawn is told of more often than what is written.
func TestPace(t *testing.T) {
	drawn, written := &terminal{screen: os.Stderr}, &terminal{}
	for _, test := range []struct {
		t              *terminal
		interval, want time.Duration
	}{
		{written, time.Second, time.Second}, {drawn, time.Second, eventTime}, {drawn, 50 * time.Millisecond, 50 * time.Millisecond},
		{drawn, 0, 0}, {&terminal{screen: os.Stderr, flags: OutputFlags{JSON: true}}, time.Second, time.Second},
	} {
		if got := test.t.pace(test.interval); got != test.want {
			t.Errorf("%v: %v, want %v", test.interval, got, test.want)
		}
	}
}
