// Package metrics shows numbers of a run to Prometheus, and its health to who
// supervises it: over HTTP, and in a file for node_exporter's textfile
// collector.
//
// Nothing is counted here. A scrape asks a server for its status and a session
// for its snapshot, which never make a transfer wait, and turns the answers
// into metrics (https://prometheus.io/docs/practices/naming). Labels have
// fixed values, or what the user typed: the sources and ports of the command,
// of which the first [maxNamed] have their names and the rest is one.
package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"malcolm/transfer/pace"
)

// maxNamed bounds the sources, and the ports, that have a name of their own in
// labels.
const maxNamed = 100

// others is the label of all beyond maxNamed.
const others = "others"

// A metric is one name that Prometheus sees.
type metric struct {
	Name, Help string
	Kind       string   // "counter", "gauge" or "histogram"
	Labels     []string // nil: none
	desc       *prometheus.Desc
	value      prometheus.ValueType
}

// table has every metric, in the order in which it is described here and in
// the manual.
var table []*metric

func define(kind, name, help string, labels ...string) *metric {
	m := &metric{
		Name: "malcolm_" + name, Help: help, Kind: kind, Labels: labels, value: prometheus.GaugeValue,
		desc: prometheus.NewDesc("malcolm_"+name, help, labels, nil),
	}
	if kind == "counter" {
		m.value = prometheus.CounterValue
	}
	table = append(table, m)
	return m
}

func counter(name, help string, labels ...string) *metric {
	return define("counter", name, help, labels...)
}

func gauge(name, help string, labels ...string) *metric {
	return define("gauge", name, help, labels...)
}

func histogram(name, help string) *metric { return define("histogram", name, help) }

// Table returns every metric as a table in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, m := range table {
		labels := make([]string, len(m.Labels))
		for i, l := range m.Labels {
			labels[i] = "`" + l + "`"
		}
		b.WriteString("| `" + m.Name + "` | " + m.Kind + " | " + strings.Join(labels, ", ") + " | " + m.Help + " |\n")
	}
	return b.String()
}

// describe sends the descriptions of the metrics that begin with one of
// prefixes.
func describe(ch chan<- *prometheus.Desc, prefixes ...string) {
	for _, m := range table {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(m.Name, "malcolm_"+p) }) {
			ch <- m.desc
		}
	}
}

// An emitter sends values of metrics.
type emitter chan<- prometheus.Metric

func (e emitter) of(m *metric, value float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(m.desc, m.value, value, labels...)
}

func (e emitter) count(m *metric, value int64, labels ...string) { e.of(m, float64(value), labels...) }

func (e emitter) flag(m *metric, set bool, labels ...string) {
	value := 0.0
	if set {
		value = 1
	}
	e.of(m, value, labels...)
}

func (e emitter) spread(m *metric, s pace.Spread) {
	buckets := make(map[float64]uint64, len(pace.Bounds))
	var sum uint64
	for i, bound := range pace.Bounds {
		sum += uint64(s.Slots[i])
		buckets[bound.Seconds()] = sum
	}
	sum += uint64(s.Slots[len(pace.Bounds)])
	e <- prometheus.MustNewConstHistogram(m.desc, sum, s.Sum.Seconds(), buckets)
}

// names gives a label to the first maxNamed things that ask, and one common
// label to all others. A thing keeps its label.
type names map[string]bool

func (n names) of(name string) string {
	if !n[name] && len(n) == maxNamed {
		return others
	}
	n[name] = true
	return name
}
