package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/metrics"
	"malcolm/transport"
)

// MetricsFlags are the flags of commands that show numbers to programs.
type MetricsFlags struct {
	Metrics     flags.Listen `placeholder:"ADDR" help:"Answer Prometheus at http://ADDR/metrics, and /livez and /readyz. A port alone, as 9100, is only for this machine; 0.0.0.0:9100 is for all."`
	MetricsFile flags.Path   `placeholder:"FILE" help:"Write the metrics to FILE, which ends in .prom, at each interval and at the end, for node_exporter."`
	PProf       bool         `name:"pprof" help:"With --metrics on an address of this machine: answer at /debug/pprof/ too, for go tool pprof."`

	given net.Listener // takes the place of --metrics; nil: nothing does
}

// at returns where metrics are, or will be, answered; the zero Listen: nowhere.
func (f *MetricsFlags) at() flags.Listen {
	if f.given != nil {
		return flags.Listen{AddrPort: addrOf(f.given.Addr())}
	}
	return f.Metrics
}

// WatchFlags are the flags for a close look at a run.
type WatchFlags struct {
	QLogFlags
	MetricsFlags
}

// ShowFlags are the flags of get that show what it does.
type ShowFlags struct {
	MapFlags
	MetricsFlags
}

// openWatch opens what the flags ask for; nil: they ask for nothing.
func (t *terminal) openWatch(ctx context.Context, f WatchFlags, command string, interval time.Duration) (*transport.QLog, *metrics.Metrics, error) {
	qlog, err := t.openQLog(f.QLogFlags)
	if err != nil {
		return nil, nil, err
	}
	m, err := t.measure(ctx, f.MetricsFlags, command, interval)
	return qlog, m, err
}

// A measureError says that the address for metrics cannot be listened on.
type measureError struct {
	addr string
	why  string
}

func (e *measureError) Error() string { return "metrics on " + e.addr + ": " + e.why }

// measure begins to show the metrics of a run, until the run ends. If the port
// for metrics is taken, a server does not start: it would run unwatched, and
// nobody would know. A copy goes on without metrics: its bytes matter more, and
// the port may belong to another copy.
func (t *terminal) measure(ctx context.Context, f MetricsFlags, command string, interval time.Duration) (m *metrics.Metrics, err error) {
	at := f.at()
	switch {
	case f.PProf && !at.IsValid():
		return nil, usage("--pprof needs --metrics: it answers there")
	case f.PProf && !at.IsLoopback():
		return nil, usage(fmt.Sprintf("--pprof with --metrics %s: profiles are only for this machine, as with --metrics %d", at, at.Port()))
	case !at.IsValid() && f.MetricsFile == "":
		return nil, nil
	}
	m, err = metrics.Open(metrics.Config{
		Command: command, File: string(f.MetricsFile), Interval: interval, PProf: f.PProf, Warn: t.Warn,
	})
	if err != nil {
		return nil, err
	}
	t.metrics = m // run ends it
	if at.IsValid() {
		ln, err := f.given, error(nil)
		if ln == nil {
			ln, err = new(net.ListenConfig).Listen(ctx, "tcp", at.String())
		}
		failed := &measureError{at.String(), listenReason(err)}
		switch {
		case err == nil:
			m.Listen(ln)
			t.Say("metrics: http://%s/metrics", ln.Addr())
		case command == "serve":
			return nil, failed
		default:
			t.Warn("%v; the run goes on without", failed)
		}
	}
	m.Begin()
	return m, nil
}

// listenReason says why an address cannot be listened on.
func listenReason(err error) string {
	if err == nil || transport.InUse(err) {
		return "in use by another program"
	}
	return bindReason(err)
}
