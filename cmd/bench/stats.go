package main

import (
	"math"
	"slices"
)

// A spread describes values by their median, the least and the greatest.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of values; all zero without values.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	return spread{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// median returns the middle value, or the mean of the two in the middle; NaN
// without values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// A sample is the result of one run of one row. A negative number is not known.
type sample struct {
	Round     int     `json:"round"` // from 0
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu_seconds"`  // of both sides
	ClientRSS int64   `json:"client_bytes"` // the most that was resident
	ServerRSS int64   `json:"server_bytes"`
	Lost      int64   `json:"packets_lost"`
}

// column takes one number of each sample, without the unknown ones.
func column(samples []sample, of func(sample) float64) []float64 {
	var values []float64
	for _, s := range samples {
		if v := of(s); v >= 0 {
			values = append(values, v)
		}
	}
	return values
}

func seconds(s sample) float64 { return s.Seconds }

func cpuSeconds(s sample) float64 { return s.CPU }

// interval returns the bounds between which the true median lies with a
// confidence of at least 95 %. It needs no distribution: whether a value is
// above the median is a coin (David and Nagaraja, Order Statistics, section
// 7.1). Fewer than six values cannot be that sure; then it returns the least
// and the greatest.
func interval(values []float64) (least, most float64) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	outside, ways := 0.0, 1.0 // ways to choose the values below the cut
	cut := 0
	for ; 2*(cut+1) < n; cut++ {
		outside += 2 * ways / math.Pow(2, float64(n))
		ways = ways * float64(n-cut) / float64(cut+1)
		if outside+2*ways/math.Pow(2, float64(n)) > 0.05 {
			break
		}
	}
	return sorted[cut], sorted[n-1-cut]
}

// timesAsQuick says how many times as quick a was as b, paired by round: the
// spread of b's seconds divided by a's. It reports false if they share no
// round.
func timesAsQuick(a, b []sample) (spread, bool) {
	ratios := ratiosOf(a, b, seconds)
	return spreadOf(ratios), len(ratios) > 0
}

// ratiosOf returns a number of b divided by that of a, for each round that they
// share.
func ratiosOf(a, b []sample, of func(sample) float64) (ratios []float64) {
	for _, x := range a {
		for _, y := range b {
			if x.Round == y.Round {
				ratios = append(ratios, of(y)/of(x))
			}
		}
	}
	return ratios
}
