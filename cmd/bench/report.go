package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// A report is the result of one run, and the content of the --json file.
type report struct {
	Date    time.Time    `json:"date"`
	Machine machine      `json:"machine"`
	Size    int64        `json:"size"` // bytes of the file
	Rounds  int          `json:"rounds"`
	Links   []linkReport `json:"links"`
	Figures []figure     `json:"figures"`
	Targets []verdict    `json:"targets"`
	Skipped []skip       `json:"skipped"`
}

// A machine describes where it was measured.
type machine struct {
	System    string `json:"system"`
	Kernel    string `json:"kernel,omitempty"`
	Processor string `json:"processor,omitempty"`
	CPUs      int    `json:"cpus"`
	Go        string `json:"go"`
}

// A linkReport holds the rows that were measured over one link.
type linkReport struct {
	Name string      `json:"name"`
	Rows []rowReport `json:"rows"`
}

// A rowReport holds the samples of a row, in the order of the rounds, and what
// follows from them.
type rowReport struct {
	Name      string   `json:"name"`
	Title     string   `json:"title"`
	Seconds   spread   `json:"seconds"`
	CPUPerGB  float64  `json:"cpu_seconds_per_gb"` // median
	ClientRSS int64    `json:"client_bytes"`       // greatest; -1 is not known
	ServerRSS int64    `json:"server_bytes"`
	Lost      float64  `json:"packets_lost"` // median
	Samples   []sample `json:"samples"`
}

// newReport makes a report of the rows.
func newReport(c *runCmd, p *plan) *report {
	r := &report{Date: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(), Size: int64(c.Size), Rounds: c.Rounds, Skipped: p.skipped}
	for _, one := range p.cells {
		if one.failed != "" {
			r.Skipped = append(r.Skipped, skip{one.name(), one.failed})
		}
		if len(one.samples) > 0 {
			r.add(one.link.name, newRowReport(one.row, one.samples, r.Size))
		}
	}
	return r
}

func (r *report) add(link string, row rowReport) {
	if n := len(r.Links); n == 0 || r.Links[n-1].Name != link {
		r.Links = append(r.Links, linkReport{Name: link})
	}
	last := &r.Links[len(r.Links)-1]
	last.Rows = append(last.Rows, row)
}

func newRowReport(r row, samples []sample, size int64) rowReport {
	of := func(f func(sample) float64) spread {
		values := column(samples, f)
		if len(values) == 0 {
			return spread{unknown, unknown, unknown}
		}
		return spreadOf(values)
	}
	return rowReport{
		Name: r.name, Title: r.title, Samples: samples,
		Seconds:   of(seconds),
		CPUPerGB:  of(func(s sample) float64 { return s.CPU }).Median / float64(size) * 1e9,
		ClientRSS: int64(of(func(s sample) float64 { return float64(s.ClientRSS) }).Max),
		ServerRSS: int64(of(func(s sample) float64 { return float64(s.ServerRSS) }).Max),
		Lost:      of(func(s sample) float64 { return float64(s.Lost) }).Median,
	}
}

// row finds a row; nil if it was not measured.
func (l *linkReport) row(name string) *rowReport {
	for i := range l.Rows {
		if l.Rows[i].Name == name {
			return &l.Rows[i]
		}
	}
	return nil
}

// figure finds a figure; nil if it was not measured.
func (r *report) figure(name string) *figure {
	for i := range r.Figures {
		if r.Figures[i].Name == name {
			return &r.Figures[i]
		}
	}
	return nil
}

// rate is the median bytes a second of a row.
func (r *report) rate(row *rowReport) float64 { return float64(r.Size) / row.Seconds.Median }

func thisMachine() machine {
	m := machine{System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Processor = processor(string(text))
	}
	return m
}

// processor reads /proc/cpuinfo.
func processor(text string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// publish writes the table, and the files asked for.
func (c *runCmd) publish(s *streams, r *report) error {
	if _, err := fmt.Fprint(s.out, r.markdown()); err != nil {
		return err
	}
	if c.JSON != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.JSON, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if c.SVG != "" {
		return os.WriteFile(c.SVG, []byte(r.svg()), 0o644)
	}
	return nil
}
