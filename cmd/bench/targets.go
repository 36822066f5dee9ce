package main

import "fmt"

// A verdict says whether a target was reached.
type verdict struct {
	Title    string `json:"title"`
	Link     string `json:"link"` // empty for a figure
	Wanted   string `json:"wanted"`
	Measured string `json:"measured"`
	Reached  string `json:"reached"` // yes, no, or empty where there is nothing to reach
}

// quickness is a target: how many times as quick one row is as another.
type quickness struct {
	title   string
	a, b    string
	atLeast float64
}

var quicknessTargets = []quickness{
	{"malcolm, 4 servers: GRO on against off", "malcolm-4", "malcolm-4-nogro", 1.4},
	{"malcolm, 1 server, against plain quic-go, 1 connection", "malcolm-1", "quic-1", 1.5},
	{"malcolm, 4 servers, against aria2, SHA-256 checked", "malcolm-4", "aria2-sha256", 1.2},
	{"malcolm, 4 servers, against aria2, unverified (aim: 1.0)", "malcolm-4", "aria2", 0.9},
	{"malcolm, 4 servers: share of the ceiling, 4 flows", "malcolm-4", "ceiling-4", 0.35},
	{"malcolm, 4 servers: TCP against QUIC (0.70 of the time)", "malcolm-4-tcp", "malcolm-4", 1 / 0.70},
	{"malcolm over TCP, 4 servers, against aria2, unverified", "malcolm-4-tcp", "aria2", 1.2},
	{"malcolm over TCP, 4 servers, against aria2, SHA-256 checked", "malcolm-4-tcp", "aria2-sha256", 1.7},
	{"malcolm, 4 mirrors, against aria2, unverified", "mirrors", "aria2", 1.0},
	{"malcolm, 4 mirrors, against aria2, SHA-256 checked", "mirrors", "aria2-sha256", 1.5},
	{"malcolm over TCP, 1 server, against curl, unverified", "malcolm-1-tcp", "curl", 1.0},
}

// joinedMost is a target: the CPU time with joined sends against that without
// them, over each link.
var joinedMost = map[string]float64{"loopback": 0.95, "veth": 0.93}

// Targets for memory, in MiB, and for CPU.
const (
	getMost    = 64
	getSize    = 2e9 // bytes of the file for which getMost is meant
	serveMost  = 192
	sparseMost = 1.05
)

// judge compares what was measured with the targets.
func (r *report) judge() {
	for i := range r.Links {
		l := &r.Links[i]
		for _, q := range quicknessTargets {
			a, b := l.row(q.a), l.row(q.b)
			if a == nil || b == nil {
				continue
			}
			if ratios := ratiosOf(a.Samples, b.Samples, seconds); len(ratios) > 0 {
				least, most := interval(ratios)
				measured := fmt.Sprintf("%.2f (95 %%: %.2f to %.2f)", median(ratios), least, most)
				r.verdict(q.title, l.Name, fmt.Sprintf("≥ %.3g ×", q.atLeast), measured, most >= q.atLeast)
			}
		}
		r.judgeJoined(l)
		for _, name := range []string{reference, reference + "-tcp"} {
			row := l.row(name)
			if row == nil || row.ClientRSS < 0 {
				continue
			}
			title := "get VmHWM, " + row.Title + ", " + Size(r.Size).String()
			if r.Size != getSize {
				title += " (meant for " + Size(getSize).String() + ")"
			}
			had := float64(row.ClientRSS) / mib
			r.verdict(title, l.Name, fmt.Sprintf("≤ %d MiB", getMost), fmt.Sprintf("%.0f MiB", had), had <= getMost)
		}
	}
	if f := r.figure("memory"); f != nil {
		r.verdict(f.Title, "loopback", fmt.Sprintf("≤ %d MiB", serveMost), fmt.Sprintf("%.0f MiB", f.Value.Max), f.Value.Max <= serveMost)
	}
	if f := r.figure("sparse"); f != nil {
		title := fmt.Sprintf("CPU for a GB, %s against %s", Size(4*r.Size), Size(r.Size/2))
		r.verdict(title, "loopback", fmt.Sprintf("≤ %g ×", sparseMost), f.Value.ratio(), f.Value.Median <= sparseMost)
	}
	if f := r.figure("small"); f != nil {
		r.Targets = append(r.Targets, verdict{Title: f.Title, Link: "loopback", Wanted: "report", Measured: withUnit(f.Value.Median, f.Unit)})
	}
}

// judgeJoined compares the CPU time with joined sends with that without.
func (r *report) judgeJoined(l *linkReport) {
	on, off := l.row(reference), l.row(reference+"-nojoin")
	if on == nil || off == nil {
		return
	}
	if ratios := ratiosOf(off.Samples, on.Samples, cpuSeconds); len(ratios) > 0 {
		least, most := interval(ratios)
		wanted := joinedMost[l.Name]
		measured := fmt.Sprintf("%.3f (95 %%: %.3f to %.3f)", median(ratios), least, most)
		r.verdict("malcolm, 4 servers: CPU time, joined sends on against off", l.Name, fmt.Sprintf("≤ %g ×", wanted), measured, least <= wanted)
	}
}

func (r *report) verdict(title, link, wanted, measured string, reached bool) {
	answer := "no"
	if reached {
		answer = "yes"
	}
	r.Targets = append(r.Targets, verdict{title, link, wanted, measured, answer})
}
