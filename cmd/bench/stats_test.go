package main

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1}, 5},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
		{[]float64{2, 2, 2, 100, 2}, 2},
	}
	for _, test := range tests {
		before := slices.Clone(test.values)
		if got := median(test.values); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.values, got, test.want)
		}
		if !slices.Equal(before, test.values) {
			t.Errorf("median changed %v to %v", before, test.values)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v, want NaN", got)
	}
}

// TestMedianHalves: at least half of the values are on either side.
func TestMedianHalves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 20).Draw(t, "values")
		m := median(values)
		var below, above int
		for _, v := range values {
			if v <= m {
				below++
			}
			if v >= m {
				above++
			}
		}
		if 2*below < len(values) || 2*above < len(values) {
			t.Fatalf("median %v has %d values up to it and %d from it on, of %d", m, below, above, len(values))
		}
	})
}

// TestInterval: the ranks are those of the tables for the sign test.
func TestInterval(t *testing.T) {
	for n, cut := range map[int]int{1: 0, 2: 0, 5: 0, 6: 0, 8: 0, 9: 1, 11: 1, 12: 2, 15: 3, 25: 7} {
		var values []float64
		for i := range n {
			values = append(values, float64((i*7+3)%n)) // 0 to n - 1, for no n here is a multiple of 7
		}
		if least, most := interval(values); least != float64(cut) || most != float64(n-1-cut) {
			t.Errorf("of %d values: %v to %v, want the %d outermost left out", n, least, most, cut)
		}
	}
}

// TestTimesAsQuick: pairs are made by round, also when one row lacks a round.
func TestTimesAsQuick(t *testing.T) {
	ours := []sample{{Round: 0, Seconds: 2}, {Round: 1, Seconds: 4}, {Round: 2, Seconds: 5}}
	theirs := []sample{{Round: 2, Seconds: 20}, {Round: 0, Seconds: 3}}
	got, ok := timesAsQuick(ours, theirs)
	if want := (spread{Median: 2.75, Min: 1.5, Max: 4}); !ok || got != want {
		t.Errorf("got %v, %v, want %v", got, ok, want)
	}
	if got, ok := timesAsQuick(ours[1:2], theirs); ok {
		t.Errorf("rows without a common round gave %v", got)
	}
}

func TestColumnLeavesOutTheUnknown(t *testing.T) {
	samples := []sample{{Lost: 3}, {Lost: unknown}, {Lost: 0}}
	got := column(samples, func(s sample) float64 { return float64(s.Lost) })
	if want := []float64{3, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestUnknownStaysUnknown: a number that no sample has is no zero in the
// report.
func TestUnknownStaysUnknown(t *testing.T) {
	got := newRowReport(row{name: "x"}, []sample{{Seconds: 2, CPU: 3, ClientRSS: unknown, ServerRSS: 7, Lost: unknown}}, 1e9)
	if got.Lost != unknown || got.ClientRSS != unknown || got.ServerRSS != 7 || got.CPUPerGB != 3 {
		t.Errorf("got %+v", got)
	}
}
