package schedule_test

import (
	"testing"
)

func TestSimulation(t *testing.T) {
	for _, r := range simulate(t, 200, false) {
		if r.over() > 3 {
			t.Errorf("%+v: more than 1.5 × bound + 3 s", r)
		}
	}
}

func TestSimulationWithFaults(t *testing.T) {
	for _, r := range simulate(t, 200, true) {
		if r.over() > 10 {
			t.Errorf("%+v: more than 1.5 × bound + 10 s", r)
		}
	}
}
