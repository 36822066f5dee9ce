package main

import (
	"context"
	"io"
	"os"
	"runtime/debug"

	"malcolm/cmd/malcolm/screen"
	"malcolm/cmd/malcolm/spool"
	"malcolm/transfer/fetch"
)

// stdoutName is the output that means stdout.
const stdoutName = "-"

// streamGCPercent is how much memory may grow between two collections while the
// window is most of it. Collections are cheap then: the window has no pointers.
const streamGCPercent = 20

// A terminalOutputError says that a file was to be written to a terminal.
type terminalOutputError struct{}

func (*terminalOutputError) Error() string { return "-o - would write the file to the terminal" }

// A closedOutputError says that a file was to be written to a closed stdout.
type closedOutputError struct{}

func (*closedOutputError) Error() string {
	return "-o - would lose the file: stdout is closed"
}

// checkStdout refuses flags that make no sense when the file goes to stdout.
func (c *getCmd) checkStdout(t *terminal) error {
	file, _ := t.raw.(*os.File)
	shown, lost := screen.IsTerminal(file), isLost(file)
	for _, f := range []struct {
		set             bool
		flag, name, why string
	}{
		{t.flags.JSON, "--json", "json", "stdout is where the file goes; --receipt FILE writes the last event"},
		{c.DryRun, "--dry-run", "dry-run", "there is nothing to plan: malcolm info shows the vote"},
		{c.Resume, "-r", "resume", "what was written to stdout cannot be read back, so it always begins at the front"},
		{c.Force && !shown && !lost, "--force", "force", "there is no file to replace; with -o - it only lets the file go to a terminal"},
		{c.Name != "", "--name", "name", "stdout has no name"},
		{c.RemoteTime, "-R", "remote-time", "stdout has no modification time"},
		{c.Sums != "", "--sums", "sums", "stdout has no name that could be checked"},
		{c.Recheck, "--recheck", "recheck", "what was written to stdout cannot be read back"},
		{c.Preallocate != "auto", "--preallocate", "preallocate", "no space is reserved for stdout"},
		{c.NoSpaceCheck, "--no-space-check", "no-space-check", "nobody asks for free space for stdout"},
	} {
		if s, ok := c.settings[f.name]; f.set && ok {
			return usage(s.named(f.name) + " with -o -: " + f.why)
		}
		if f.set {
			return usage(f.flag + " with -o -: " + f.why)
		}
	}
	switch {
	case c.Force:
	case shown:
		return &usageError{&terminalOutputError{}}
	case lost:
		return &usageError{&closedOutputError{}}
	}
	return nil
}

// stream writes the file to stdout, and nothing else.
func (c *getCmd) stream(ctx context.Context, t *terminal, q query) error {
	defer debug.SetGCPercent(debug.SetGCPercent(streamGCPercent))
	out := stdoutWriter{Writer: spool.Again(t.raw), raw: t.raw}
	t.mute = true // there is no path
	return watchRun(ctx, t, q, "", func(s *fetch.Session) (*fetch.Result, error) {
		result, err := s.Stream(q.ballot, fetch.Stream{Out: out, Window: int64(c.Window), SHA256: q.sha256})
		if err == nil {
			err = out.close(ctx)
		}
		return result, err
	})
}

// A stdoutWriter is stdout, with errors in words.
type stdoutWriter struct {
	io.Writer
	raw io.Writer // closed at the end
}

func (w stdoutWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	return n, outputError("stdout", err)
}

// close closes stdout, whatever it is. Network file systems say only then that
// written bytes could not be stored, and that may take time.
func (w stdoutWriter) close(ctx context.Context) error {
	file, ok := w.raw.(io.Closer)
	if !ok {
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- file.Close() }()
	select {
	case err := <-closed:
		return outputError("stdout", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
