package metrics

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"malcolm/transfer/fetch"
	"malcolm/transfer/serve"
)

// A server looks after its connections each second. After deafTime without that
// it counts as stuck.
const deafTime = 10 * time.Second

// Config says what of a run is shown, and where.
type Config struct {
	Command  string        // "serve", "get", ...
	File     string        // see [Open]; empty: none
	Interval time.Duration // between two writes of the file; 0: only at the start and the end
	PProf    bool          // profiles too: see [Metrics.Listen]
	// Warn tells of a file that cannot be written, once, and when it can
	// again. Any goroutine calls it.
	Warn func(format string, args ...any)
}

// Metrics are those of one run. Any goroutine may call the methods. A nil
// *Metrics shows nothing.
type Metrics struct {
	cfg      Config
	run      *run
	own      *prometheus.Registry // what is of malcolm
	filed    *prometheus.Registry // the same for the file; nil: no file
	all      prometheus.Gatherers // and of its process
	fetching *sessions            // nil: the command is serve
	serving  atomic.Pointer[serve.Server]
	http     *listener // nil: nobody listens
	file     *file     // nil: no file
}

// Open begins to show a run of get, repair or verify, and of serve once
// [Metrics.Serve] is called. It finds out whether the file can be written: its
// name ends in .prom, and it is not there or holds metrics of malcolm. The
// error is a [*NameError] or a [*localfile.Error].
func Open(cfg Config) (*Metrics, error) {
	m := &Metrics{cfg: cfg, run: &run{command: cfg.Command, begun: time.Now()}, own: prometheus.NewRegistry()}
	m.run.ready = m.ready
	if cfg.File != "" {
		f, err := openFile(cfg.File)
		if err != nil {
			return nil, err
		}
		m.file, m.filed = f, prometheus.NewRegistry()
	}
	m.register(m.run)
	if cfg.Command != "serve" {
		m.fetching = newSessions()
		m.register(m.fetching)
	}
	process := prometheus.NewRegistry()
	process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.all = prometheus.Gatherers{m.own, process}
	return m, nil
}

// register adds a collector. In files its metrics have the file's name as one
// more label, to tell several files of one machine apart.
func (m *Metrics) register(c prometheus.Collector) {
	m.own.MustRegister(c)
	if m.filed != nil {
		prometheus.WrapRegistererWith(prometheus.Labels{"run": m.file.run()}, m.filed).MustRegister(c)
	}
}

// Serve shows what a server does. It is called once, before anybody asks.
func (m *Metrics) Serve(s *serve.Server) {
	if m != nil {
		m.serving.Store(s)
		m.register(newServer(s.Brief))
	}
}

// Watch shows a session until release is called, after the session's end.
func (m *Metrics) Watch(snapshot func() fetch.Snapshot) (release func()) {
	if m == nil {
		return func() {}
	}
	return m.fetching.watch(snapshot)
}

// Begin begins to write the file.
func (m *Metrics) Begin() {
	if m != nil && m.file != nil {
		m.file.begin(m.filed, m.cfg.Interval, m.cfg.Warn)
	}
}

// Close ends everything that was begun. The file gets how the run ended.
func (m *Metrics) Close(code int) {
	if m == nil {
		return
	}
	if m.http != nil {
		m.http.close()
	}
	if m.file != nil {
		m.register(ending{time.Now(), code})
		m.file.end(m.filed, m.cfg.Warn)
	}
}

// live reports whether what runs answers. It never waits.
func (m *Metrics) live() (ok bool, why string) {
	if m.fetching != nil {
		return m.fetching.alive()
	}
	s := m.serving.Load()
	if s == nil || s.Silent() < deafTime {
		return true, ""
	}
	return false, "nobody has looked after the connections for " + s.Silent().Truncate(time.Second).String()
}

// ready reports whether the run does its work.
func (m *Metrics) ready() (ok bool, why string) {
	if m.fetching != nil {
		return m.fetching.isReady()
	}
	s := m.serving.Load()
	if s == nil {
		return false, "starting"
	}
	ok, why = s.Ready()
	if st := s.Brief().Indexing; why == serve.Indexing && st.Total > 0 {
		why += " " + percent(st.Done, st.Total)
	}
	return ok, why
}

// Listen serves the metrics over HTTP to who comes to ln, which belongs to it,
// until Close; with /livez, /readyz and, if the configuration says so,
// profiles.
func (m *Metrics) Listen(ln net.Listener) { m.http = listen(ln, m.handler()) }
