package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// The levels of what stderr gets. Hints belong to the line before them: those
// behind an error are written when it is.
const (
	levelWarnHint = slog.LevelWarn + 1
	levelHint     = slog.LevelError + 1
)

// nameHints writes the levels of hints as "HINT".
func nameHints(_ []string, a slog.Attr) slog.Attr {
	if level, ok := a.Value.Any().(slog.Level); ok && a.Key == slog.LevelKey && (level == levelHint || level == levelWarnHint) {
		a.Value = slog.StringValue("HINT")
	}
	return a
}

// tell writes a record of a level to stderr, if the flags ask for so much.
func (t *terminal) tell(level slog.Level, text string) {
	t.log.Log(context.Background(), level, text)
}

// A lineHandler writes records as lines for people, as the rules of the terminal
// say.
type lineHandler struct{ t *terminal }

func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.t.least }

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	var prefix string
	switch r.Level {
	case slog.LevelWarn:
		prefix = h.t.Yellow("malcolm: warning: ")
	case slog.LevelError:
		prefix = h.t.Red("malcolm: error: ")
	case levelHint, levelWarnHint:
		prefix = h.t.Dim("malcolm: hint: ")
	}
	_, err := fmt.Fprintln(lineWriter(h), prefix+r.Message)
	return err
}

// WithAttrs and WithGroup return h: lines have no attributes.
func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup: see WithAttrs.
func (h lineHandler) WithGroup(string) slog.Handler { return h }

// A lineWriter writes whole lines to where a terminal's stderr goes.
type lineWriter struct{ t *terminal }

func (w lineWriter) Write(line []byte) (int, error) {
	w.t.mu.Lock()
	n, err := w.t.err.Write(line)
	w.t.mu.Unlock()
	if err = outputError("stderr", err); w.t.abort != nil && isPipe(err) {
		w.t.abort(err)
	}
	return n, err
}

// divert sends the lines for stderr through w, which must not write to t
// itself, until restore is called. It is how bars keep lines above them.
func (t *terminal) divert(w io.Writer) (restore func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.err
	t.err = w
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.err = before
	}
}
