package main

import (
	"fmt"
	"slices"
	"strings"
)

// reference is the row with which the others are compared.
const reference = "malcolm-4"

// markdown writes the whole report as tables.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %s from memory to memory, %s\n", r.Date.Format("2006-01-02"), r.Machine, Size(r.Size), plural(r.Rounds, "round"))
	for i := range r.Links {
		b.WriteString(r.linkTable(&r.Links[i]))
	}
	if len(r.Figures) > 0 {
		b.WriteString("\n| figure | median | least to greatest |\n| --- | ---: | ---: |\n")
		for _, f := range r.Figures {
			fmt.Fprintf(&b, "| %s | %s | %s to %s |\n", f.Title, withUnit(f.Value.Median, f.Unit), digits(f.Value.Min), digits(f.Value.Max))
		}
	}
	if len(r.Targets) > 0 {
		b.WriteString("\n| target | over | wanted | measured | reached |\n| --- | --- | ---: | ---: | --- |\n")
		for _, v := range r.Targets {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", v.Title, v.Link, v.Wanted, v.Measured, v.Reached)
		}
	}
	if len(r.Skipped) > 0 {
		b.WriteString("\nNot measured:\n\n")
		for _, k := range r.Skipped {
			fmt.Fprintf(&b, "- %s: %s\n", k.Name, k.Reason)
		}
	}
	return b.String()
}

// linkTable writes the rows of one link.
func (r *report) linkTable(l *linkReport) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| over %s | s | MB/s | CPU s/GB | client MiB | server MiB | packets lost | %s is … times as quick |\n", linkTitle(l.Name), reference)
	b.WriteString("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	ours := l.row(reference)
	for i := range l.Rows {
		row := &l.Rows[i]
		quicker := ""
		if ours != nil && row != ours {
			if s, ok := timesAsQuick(ours.Samples, row.Samples); ok {
				quicker = s.ratio()
			}
		}
		fmt.Fprintf(&b, "| %s | %.2f (%.2f to %.2f) | %.0f | %s | %s | %s | %s | %s |\n", row.Title,
			row.Seconds.Median, row.Seconds.Min, row.Seconds.Max, r.rate(row)/1e6,
			known(row.CPUPerGB, "%.2f"), known(float64(row.ClientRSS)/mib, "%.0f"), known(float64(row.ServerRSS)/mib, "%.0f"),
			known(row.Lost, "%.0f"), quicker)
	}
	return b.String()
}

// ratio writes a spread of ratios.
func (s spread) ratio() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Min, s.Max)
}

// linkTitle says what a link is.
func linkTitle(name string) string {
	if name == "veth" {
		return fmt.Sprintf("a veth pair of MTU %d", mtu)
	}
	return "the loopback interface"
}

// known writes a number, or a dash for one that is not known.
func known(v float64, format string) string {
	if v < 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// String writes what is known of a machine.
func (m machine) String() string {
	words := []string{strings.TrimSpace(m.System + " " + m.Kernel), plural(m.CPUs, "CPU"), m.Processor, m.Go}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

// digits writes a number with three digits or more.
func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func withUnit(v float64, unit string) string { return strings.TrimSpace(digits(v) + " " + unit) }
