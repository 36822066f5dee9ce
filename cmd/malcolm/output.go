package main

import (
	"log/slog"
	"os"
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/screen"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/partfile"
)

// OutputFlags are every command's flags about what it writes, and how.
type OutputFlags struct {
	JSON      bool   `name:"json" help:"Write one JSON object a line to stdout, for scripts."`
	Quiet     bool   `short:"q" xor:"loudness" help:"Write errors only."`
	Verbose   bool   `short:"v" xor:"loudness" help:"Also say what malcolm decides: what it tries again, moves, or fetches twice."`
	LogFormat string `enum:"text,json" default:"text" placeholder:"FORMAT" help:"Format of stderr: text, or json with one record a line. Default ${default}."`
	LogTime   string `enum:"auto,always,never" default:"auto" placeholder:"WHEN" help:"Begin each line of stderr with the time: auto, always or never. auto: with serve, get, repair, verify and index, unless stderr is a terminal or the journal."`
	ColorFlags
}

// output gives [run] the flags of its command.
func (f OutputFlags) output() OutputFlags { return f }

// use makes t write as the flags say.
func (t *terminal) use(f OutputFlags, timed bool) {
	t.flags, t.least, t.log = f, levelReport, slog.New(lineHandler{t, timed})
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
	// Libraries log the same way.
	slog.SetLogLoggerLevel(slog.LevelWarn)
	slog.SetDefault(t.log)
}

// isTimed reports whether a command's lines begin with the time. By default
// short commands have no times, and a terminal has none: a person sees when a
// line comes.
func (f OutputFlags) isTimed(cmd command, sys system) bool {
	if f.LogTime != "auto" {
		return f.LogTime == "always"
	}
	switch cmd.(type) {
	case *getCmd, *serveCmd, *repairCmd, *verifyCmd, *indexCmd:
		file, _ := sys.stderr.(*os.File)
		return !screen.IsTerminal(file) && sys.getenv("JOURNAL_STREAM") == "" // systemd.exec(5)
	}
	return false
}

// askedFor returns the flags that matter even when the command line is wrong.
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

// isInteractive reports whether stderr is a terminal to draw bars and tables
// on: nobody asked for silence, records or JSON.
func (t *terminal) isInteractive() bool {
	return t.screen != nil && !t.flags.Quiet && !t.flags.JSON && t.flags.LogFormat != "json"
}

// view returns where views show their output.
func (t *terminal) view() view.Terminal {
	return view.Terminal{Printer: t, Look: t.Look, Drawn: t.isInteractive(), JSON: t.flags.JSON, Debug: t.debug}
}

// ended shows how a run of Get, Repair or Verify ended, and writes its receipt,
// if one is wanted. command continues the run. The error is for
// [terminal.finish].
func (t *terminal) ended(show *view.Get, o view.Outcome, command string) error {
	if t.receipt != nil && o.Err == nil && o.Got != nil {
		if err := t.receipt.Done(o); err != nil { // the file is told even so
			t.receipt = nil // no second try for the error
			o.Late = &lateReceiptError{path: o.Got.Path, err: err}
		}
	}
	if t.sums != nil && o.Err == nil && o.Late == nil && o.Got != nil {
		if err := t.sums.write(o.Got, t); err != nil {
			o.Late = &lateReceiptError{path: o.Got.Path, err: err, sums: true}
		}
	}
	o.Unread, o.Hints, o.Resume = isPipe(o.Err), hints(o.Err), resumeHints(o, command)
	show.Ended(o)
	if o.Err != nil {
		return &reportedError{err: o.Err, more: o.Resume}
	}
	return o.Late
}

// openReceipt checks that the receipt can be written. An empty path means no
// receipt.
func (t *terminal) openReceipt(path flags.Path) (err error) {
	if path == "" {
		return nil
	}
	if strings.HasSuffix(string(path), partfile.PartSuffix) || strings.HasSuffix(string(path), partfile.JournalSuffix) {
		return usage("--receipt " + human.Quote(string(path)) + ": that ending is for unfinished files")
	}
	t.receipt, err = view.OpenReceipt(string(path))
	return err
}

// A lateReceiptError says that the file is there but its receipt is not, or the
// file of checksums.
type lateReceiptError struct {
	path string // of the file
	err  error
	sums bool // it is the file of checksums
}

func (e *lateReceiptError) Error() string { return e.err.Error() }

func (e *lateReceiptError) Unwrap() error { return e.err }
