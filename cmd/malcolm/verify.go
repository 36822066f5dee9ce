package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
)

type verifyCmd struct {
	File    flags.Path `arg:"" help:"The local file or directory."`
	Targets []string   `arg:"" optional:"" name:"target" help:"The same as -a: host:10001-10004 other:9000. Or files of values, as index writes them, and no servers: data.mp4.malcolm."`
	ChooseFlags
	MetricsFlags
	ServerFlags
}

// Help is what kong prints after the flags.
func (*verifyCmd) Help() string {
	return `Examples:
  malcolm verify data.mp4 host:10001-10004 other:9000
  malcolm verify data.mp4 data.mp4.malcolm
  malcolm verify f.iso --checksum 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The chunks that differ go to stdout, one a line: chunk, offset and length in bytes. Exit code 3 when there are any. Of a directory these are the paths, behind one of the words missing, differs, extra, unread. Without servers, --checksum can only say right or wrong.`
}

func (c *verifyCmd) run(ctx context.Context, args []string, t *terminal) error {
	if c.Checksum != nil && c.Checksum.Kind == flags.OfSHA256 {
		return usage("verify takes a BLAKE3; for a SHA-256 there is sha256sum")
	}
	shown, err := t.measure(ctx, c.MetricsFlags, "verify", c.Interval.Duration())
	if err != nil {
		return err
	}
	if files, others := valuesFiles(c.Targets); len(files) > 0 {
		if len(others)+len(c.Addresses)+len(c.Ports) > 0 {
			return usage("name servers or a file of values, not both: each alone decides what is right")
		}
		return c.checkBeside(ctx, t, files)
	}
	if c.Checksum != nil && len(c.Addresses)+len(c.Targets) == 0 {
		if c.Checksum.Kind == flags.OfTree {
			return usage("--checksum tree:HEX needs servers: only they have the listing")
		}
		return c.checkOnly(ctx, t)
	}
	q, err := c.query(c.Targets, t)
	if err != nil {
		return err
	}
	if err := c.chooseFrom(string(c.File), &q, t); err != nil {
		return err
	}
	q.metrics = shown
	if isDirectory(string(c.File)) {
		dir := string(c.File)
		err := compareTree(ctx, t, q, dir, func(s *fetch.Session) (*fetch.VerifyTreeResult, error) { return s.VerifyTree(q.ballot, dir) })
		if _, differs := errors.AsType[*fetch.TreeMismatchError](err); differs {
			return &mendableError{err: err, command: repairCommand(t.shown(args))}
		}
		return err
	}
	path := string(c.File)
	r, err := compare(ctx, t, q, path, func(s *fetch.Session) (*fetch.VerifyResult, error) {
		return s.Verify(q.ballot, fetch.Local{Path: path})
	})
	if _, differs := errors.AsType[*fetch.MismatchError](err); differs {
		return &mendableError{err: err, command: repairCommand(t.shown(args))}
	}
	if err != nil {
		return err
	}
	view.Right(t, string(c.File), r.Size, r.Checksum)
	return nil
}

// A mendableError says that a file differs from the servers', and which command
// repairs it.
type mendableError struct {
	err     error // a [*fetch.MismatchError] or [*fetch.TreeMismatchError]
	command string
}

func (e *mendableError) Error() string { return e.err.Error() }

func (e *mendableError) Unwrap() error { return e.err }

// repairCommand is the command that repairs what args verify. Every flag of
// verify is one of repair, with the same meaning.
func repairCommand(args []string) string {
	args = slices.Clone(args)
	if i := slices.Index(args, "verify"); i >= 0 {
		args[i] = "repair"
	}
	return commandLine(args)
}

// compare compares a file in a session, and lists the chunks that differ.
func compare(ctx context.Context, t *terminal, q query, path string, do func(*fetch.Session) (*fetch.VerifyResult, error)) (*fetch.VerifyResult, error) {
	show := view.NewGet(t.view(), q.run())
	r, err := session(ctx, q, show, do)
	t.ended(show, view.Outcome{Verified: r, Path: path, Err: err}, "")
	return r, err
}

// isDirectory reports whether a path is a directory's, or leads to one.
func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// compareTree compares a directory in a session, and lists the paths that
// differ.
func compareTree(ctx context.Context, t *terminal, q query, path string, do func(*fetch.Session) (*fetch.VerifyTreeResult, error)) error {
	show := view.NewGet(t.view(), q.run())
	r, err := session(ctx, q, show, do)
	t.ended(show, view.Outcome{Path: path, Err: err}, "")
	if r != nil {
		view.Differences(t, path, r)
	}
	return err
}

// checkOnly compares the file's checksum with the given one.
func (c *verifyCmd) checkOnly(ctx context.Context, t *terminal) error {
	var done atomic.Int64
	stop := view.Hashing(t.view(), c.Interval.Duration(), string(c.File), &done)
	size, err := fetch.VerifyChecksum(ctx, string(c.File), c.Checksum.Sum, &done)
	stop()
	_, differs := errors.AsType[*fetch.MismatchError](err)
	if err == nil || differs {
		view.Hashed(t, string(c.File), size, c.Checksum.Sum, err == nil)
	}
	return err
}
