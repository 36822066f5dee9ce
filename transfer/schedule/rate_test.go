package schedule_test

import (
	"math"
	"testing"
	"time"
)

// The rate of a server falls while it owes and is silent, not while it is idle.
func TestRate(t *testing.T) {
	d := newDesk(t, layout(mb, mb))
	d.join(0, mb, 0)
	d.pass(time.Hour)
	d.Sample(0, 0, 0, d.now)
	if got := d.Rate(0); got != mb {
		t.Errorf("rate after an idle hour = %v, want %v", got, float64(mb))
	}
	d.one(0)
	d.pass(2 * time.Second)
	d.Sample(0, 0, 0, d.now)
	if got := d.Rate(0); math.Abs(got-0.186*mb) > mb/1000 {
		t.Errorf("rate after 2 s of silence = %v, want %v", got, 0.186*mb)
	}
}
