package metrics

import (
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	buildInfo = gauge("build_info", "What was built; always 1.", "version", "revision", "goversion")
	runInfo   = gauge("run_info", "Which command runs; always 1.", "command")
	runStart  = gauge("run_start_timestamp_seconds", "When the run began, since 1970.")
	runEnd    = gauge("run_end_timestamp_seconds", "When the run ended, since 1970. Only in the file.")
	runExit   = gauge("run_exit_code", "The exit code of a run that has ended: 0 is success. Only in the file.")
	runReady  = gauge("ready", "Whether the run is ready: /readyz as a number.")
)

// A run is the part of the metrics that every command has.
type run struct {
	command string
	begun   time.Time
	ready   func() (ok bool, why string)
}

func (*run) Describe(ch chan<- *prometheus.Desc) { describe(ch, "build_", "run_", "ready") }

func (r *run) Collect(ch chan<- prometheus.Metric) {
	e := emitter(ch)
	version, revision, goversion := built()
	e.of(buildInfo, 1, version, revision, goversion)
	e.of(runInfo, 1, r.command)
	e.of(runStart, seconds(r.begun))
	ready, _ := r.ready()
	e.flag(runReady, ready)
}

// An ending is what is known of a run once it has ended.
type ending struct {
	at   time.Time
	code int
}

func (ending) Describe(chan<- *prometheus.Desc) {} // run has described them

func (x ending) Collect(ch chan<- prometheus.Metric) {
	e := emitter(ch)
	e.of(runEnd, seconds(x.at))
	e.of(runExit, float64(x.code))
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// built says what was built, as the toolchain recorded it.
func built() (version, revision, goversion string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown", "unknown", "unknown"
	}
	version, revision, goversion = info.Main.Version, "unknown", info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision, goversion
}
