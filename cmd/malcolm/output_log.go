package main

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"malcolm/cmd/malcolm/spool"
)

// The levels of stderr beyond those of slog. A hint belongs to the line before
// it: it is written if that line is. A report is the status, valid until the
// next one.
const (
	levelReport   = slog.LevelInfo - 1
	levelWarnHint = slog.LevelWarn + 1
	levelHint     = slog.LevelError + 1
)

// nameLevels names the levels that slog does not know.
func nameLevels(_ []string, a slog.Attr) slog.Attr {
	if level, ok := a.Value.Any().(slog.Level); ok && a.Key == slog.LevelKey {
		switch level {
		case levelHint, levelWarnHint:
			a.Value = slog.StringValue("HINT")
		case levelReport:
			a.Value = slog.StringValue(slog.LevelInfo.String())
		}
	}
	return a
}

// classOf says what may be left out when stderr is read slowly.
func classOf(level slog.Level) spool.Class {
	switch {
	case level >= slog.LevelError:
		return spool.Result
	case level == levelReport:
		return spool.Report
	}
	return spool.Event
}

// tell writes a record to stderr, if the flags ask for its level.
func (t *terminal) tell(level slog.Level, text string) {
	t.log.Log(context.Background(), level, text)
}

// put writes lines where a terminal's stderr lines go now.
func (t *terminal) put(level slog.Level, lines []byte) {
	t.mu.Lock()
	to := t.said
	t.mu.Unlock()
	to.Put(classOf(level), lines)
}

// divert sends the lines for stderr to another sink until restore is called.
// The sink must not write to t itself. Bars use it to keep lines above them.
func (t *terminal) divert(to sink) (restore func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.said
	t.said = to
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.said = before
	}
}

// A formatter is a slog.Handler that can also return a record's text.
type formatter interface {
	format(r slog.Record) []byte
}

// lineOf is a record's text on stderr; nil: the flags do not ask for its level.
func (t *terminal) lineOf(level slog.Level, text string) []byte {
	if level < t.least {
		return nil
	}
	return t.log.Handler().(formatter).format(slog.NewRecord(time.Now(), level, text, 0))
}

// A lineHandler writes records as lines for people, by the rules of the
// terminal.
type lineHandler struct {
	t     *terminal
	timed bool // each line begins with the time
}

func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.t.least }

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	h.t.put(r.Level, h.format(r))
	return nil
}

func (h lineHandler) format(r slog.Record) []byte {
	var prefix, clock string
	if h.timed {
		clock = r.Time.Format("2006-01-02 15:04:05 ")
	}
	switch r.Level {
	case slog.LevelWarn:
		prefix = h.t.Yellow("malcolm: warning: ")
	case slog.LevelError:
		prefix = h.t.Red("malcolm: error: ")
	case levelHint, levelWarnHint:
		prefix = h.t.Dim("malcolm: hint: ")
	}
	return []byte(clock + prefix + h.t.inLocale(r.Message) + "\n")
}

// WithAttrs and WithGroup return h: lines have no attributes.
func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup: see WithAttrs.
func (h lineHandler) WithGroup(string) slog.Handler { return h }

// A recordHandler writes records as JSON.
type recordHandler struct {
	slog.Handler // writes to record
	t            *terminal
	record       *lockedBuffer // shared by all handlers that come from the same one
}

type lockedBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func newRecordHandler(t *terminal) recordHandler {
	b := new(lockedBuffer)
	return recordHandler{slog.NewJSONHandler(b, &slog.HandlerOptions{Level: t.least, ReplaceAttr: nameLevels}), t, b}
}

func (h recordHandler) Handle(_ context.Context, r slog.Record) error {
	h.t.put(r.Level, h.format(r))
	return nil
}

func (h recordHandler) format(r slog.Record) []byte {
	h.record.Lock()
	defer h.record.Unlock()
	h.record.Reset()
	h.Handler.Handle(context.Background(), r) // memory has no errors
	return slices.Clone(h.record.Bytes())
}

func (h recordHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

func (h recordHandler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}
