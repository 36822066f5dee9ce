package main

import (
	"log/slog"
	"os"
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer"
)

// OutputFlags are the flags of every command about what it writes, and how.
type OutputFlags struct {
	JSON      bool   `name:"json" help:"Write one JSON object a line to stdout, for scripts."`
	Quiet     bool   `short:"q" xor:"loudness" help:"Write errors only."`
	Verbose   bool   `short:"v" xor:"loudness" help:"Also say what is decided: what is tried again, moved, or fetched twice."`
	LogFormat string `enum:"text,json" default:"text" placeholder:"FORMAT" help:"What stderr gets: text, or json, one record a line. Default ${default}."`
	LogTime   string `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"Write the time before each line of stderr: auto, always or never. auto does where nobody watches: serve, get, repair and verify off a terminal and a journal."`
	ColorFlags
}

// output lets [run] have the flags of the command that it runs.
func (f OutputFlags) output() OutputFlags { return f }

// use makes t write as the flags say, in place of what it was told before.
func (t *terminal) use(f OutputFlags, timed bool) {
	t.flags, t.least, t.log, t.json = f, levelReport, slog.New(lineHandler{t, timed}), nil
	switch {
	case f.Quiet:
		t.least = slog.LevelError
	case f.Verbose:
		t.least = slog.LevelDebug
	}
	if f.LogFormat == "json" {
		t.On = false
		t.log = slog.New(newRecordHandler(t)) // which has the time
	}
	if f.JSON {
		t.json = &eventWriter{out: t.stdout, quit: t.quit}
	}
	// What libraries log goes the same way.
	slog.SetLogLoggerLevel(slog.LevelWarn)
	slog.SetDefault(t.log)
}

// isTimed reports whether the lines of a command have the time before them. One that
// is over soon has none by itself; a terminal has a person before it, who sees when.
func (f OutputFlags) isTimed(cmd command, sys system) bool {
	if f.LogTime != "auto" {
		return f.LogTime == "always"
	}
	switch cmd.(type) {
	case *getCmd, *serveCmd, *repairCmd, *verifyCmd:
		file, _ := sys.stderr.(*os.File)
		return !screen.IsTerminal(file) && sys.getenv("JOURNAL_STREAM") == "" // systemd.exec(5)
	}
	return false
}

// emit writes an event, with --json.
func (t *terminal) emit(event any) {
	if t.json != nil {
		t.json.write(event)
	}
}

// askedFor returns those flags that also matter when the command line turns out
// to be wrong.
func askedFor(args []string, getenv func(string) string) OutputFlags {
	f := OutputFlags{LogFormat: getenv("MALCOLM_LOG_FORMAT")}
	f.JSON, _ = strconv.ParseBool(getenv("MALCOLM_JSON"))
	for i, a := range args {
		switch {
		case a == "--":
			return f
		case a == "--json":
			f.JSON = true
		case a == "--log-format" && i+1 < len(args):
			f.LogFormat = args[i+1]
		case strings.HasPrefix(a, "--log-format="):
			f.LogFormat = strings.TrimPrefix(a, "--log-format=")
		}
	}
	return f
}

// isInteractive reports whether stderr is a terminal that bars and tables may
// be drawn on: nobody asked for silence, records or JSON.
func (t *terminal) isInteractive() bool {
	return t.screen != nil && !t.flags.Quiet && !t.flags.JSON && t.flags.LogFormat != "json"
}

// A getWatcher is told what a run of Get, Repair or Verify does. Both methods
// are called by one goroutine.
type getWatcher interface {
	event(e transfer.GetEvent)
	// ended is called once, behind the last event.
	ended(o outcome)
}

// An outcome is how a run of Get, Repair or Verify ended.
type outcome struct {
	got      *transfer.Result       // of Get and Repair
	verified *transfer.VerifyResult // of Verify, when it came so far
	path     string                 // of the file that was verified
	err      error
	late     *lateReceiptError // the file is there, and its receipt is not; nil: it is, or none is asked for
	resume   string            // the command that continues; empty: none
}

// getWatchers are told in their order. What draws on the terminal comes first,
// so that it is restored before the end is told.
type getWatchers []getWatcher

// watchGet chooses who watches a run of cfg. local says that what is kept is a
// local file's and not an earlier run's.
func (t *terminal) watchGet(cfg transfer.GetConfig, local bool) getWatchers {
	view := &getView{terminal: t, only: len(cfg.Targets) == 1 && !cfg.AllAddresses, local: local, silent: t.flags.JSON}
	watchers := getWatchers{view}
	switch {
	case t.isInteractive() && cfg.Interval > 0:
		view.silent, view.bars = true, &getBars{t: t, f: getFrame{local: local}}
		watchers = getWatchers{view.bars, view}
	case cfg.Map:
		watchers = getWatchers{mapPrinter{t}, view}
	}
	if t.json != nil {
		watchers = append(watchers, newGetJSON(t.json, cfg))
	}
	return watchers
}

func (w getWatchers) event(e transfer.GetEvent) {
	for _, each := range w {
		each.event(e)
	}
}

// ended tells how the run ended. What it returns is for [terminal.finish].
func (w getWatchers) ended(o outcome) error {
	for _, each := range w {
		each.ended(o)
	}
	switch {
	case o.err != nil:
		return &reportedError{err: o.err, more: resumeHints(o)}
	case o.late != nil:
		return o.late
	}
	return nil
}

// A serveWatcher is told what Serve does. Both methods are called by one
// goroutine.
type serveWatcher interface {
	event(e transfer.ServeEvent)
	// ended is called once, behind the last event.
	ended(err error)
}

type serveWatchers []serveWatcher

// watchServe chooses who watches a run of Serve; view is what writes lines.
func (t *terminal) watchServe(view *serveView) serveWatchers {
	watchers := serveWatchers{view}
	if t.isInteractive() && view.interval > 0 {
		view.silent = true
		watchers = serveWatchers{&serveTable{t: t}, view}
	}
	if t.json != nil {
		view.silent = true
		watchers = append(watchers, &serveJSON{out: t.json, file: view.file, host: view.host})
	}
	return watchers
}

func (w serveWatchers) event(e transfer.ServeEvent) {
	for _, each := range w {
		each.event(e)
	}
}

func (w serveWatchers) ended(err error) {
	for _, each := range w {
		each.ended(err)
	}
}
