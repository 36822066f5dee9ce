package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
)

type repairCmd struct {
	File    flags.Path `arg:"" help:"The local file or directory."`
	Targets []string   `arg:"" optional:"" name:"target" help:"The same as -a: host:10001-10004 other:9000, or a mirror, https://host/data.bin."`

	DryRun     bool       `help:"Only list the chunks that would be fetched, or what differs in a directory."`
	Delete     bool       `help:"In a directory, remove what the servers' directory does not have."`
	MaxDelete  int        `placeholder:"N" help:"Remove up to N entries. Default: 100, or a tenth of all entries if that is less."`
	SplitLinks bool       `help:"Repair files even if they have other names (hard links), which keep the old bytes."`
	RemoteTime bool       `short:"R" help:"In a directory, set the modification times of the files that are fetched, and of all directories, to those that most servers name."`
	Limit      flags.Rate `placeholder:"RATE" help:"Bytes of the file a second, over all servers, such as 10M (powers of 1024); 0 is no limit."`
	ChooseFlags
	MapFlags
	MetricsFlags
	WriteFlags
	ServerFlags
}

// Help is what kong prints after the flags.
func (*repairCmd) Help() string {
	return `Examples:
  malcolm repair data.mp4 host:10001-10004 other:9000
  malcolm repair --dry-run data.mp4 host:10001-10004
  malcolm repair --delete photos/ host:10001-10004 other:9000

What is right of the file is copied into FILE.part beside it, the rest is fetched, and the file is replaced in one step: it stays as it is until then, and needs its size once more in free space. Owner, mode and extended attributes stay; what cannot be kept is said first. With --dry-run the chunks go to stdout, one a line: chunk, offset and length in bytes.

In a directory, files that are right stay, wrong ones are replaced one by one, missing ones are fetched. What the servers' directory does not have is left alone, or removed with --delete. What --include, --exclude and --files-from do not choose is neither read nor changed. With --dry-run the paths go to stdout, as verify shows them.`
}

func (c *repairCmd) run(ctx context.Context, args []string, t *terminal) error {
	if c.DryRun && c.Receipt != "" {
		return usage("--receipt: --dry-run does nothing, so there is no receipt")
	}
	if err := t.openReceipt(c.Receipt); err != nil {
		return err
	}
	q, err := c.query(c.Targets, t)
	if err != nil {
		return err
	}
	if err := c.chooseFrom(string(c.File), &q, t); err != nil {
		return err
	}
	if q.metrics, err = t.measure(ctx, c.MetricsFlags, "repair", q.interval); err != nil {
		return err
	}
	q.showMap = c.Map
	q.limit(c.Limit)
	if c.MaxDelete < 0 {
		return usage(fmt.Sprintf("--max-delete %d: a number of entries is 1 or more", c.MaxDelete))
	}
	if isDirectory(string(c.File)) {
		return c.repairTree(ctx, args, t, q)
	}
	how := fetch.Mend{SplitLinks: c.SplitLinks, Disk: c.disk(&q)}
	local := fetch.Local{Path: string(c.File)}
	if c.DryRun {
		_, err := compare(ctx, t, q, local.Path, func(s *fetch.Session) (*fetch.VerifyResult, error) {
			return s.RehearseRepair(q.ballot, local, how)
		})
		if _, differs := errors.AsType[*fetch.MismatchError](err); differs {
			return nil
		}
		return err
	}
	run := q.run()
	run.Local = true
	show := view.NewGet(t.view(), run)
	result, err := session(ctx, q, show, func(s *fetch.Session) (*fetch.Result, error) { return s.Repair(q.ballot, local, how) })
	if result == nil { // there was no session
		result = new(fetch.Result)
	}
	return t.ended(show, view.Outcome{Got: result, Err: err}, commandLine(t.shown(args)))
}

// repairTree mends a directory.
func (c *repairCmd) repairTree(ctx context.Context, args []string, t *terminal, q query) error {
	dir := string(c.File)
	how := fetch.MendTree{Delete: c.Delete, MaxDelete: c.MaxDelete, SplitLinks: c.SplitLinks, Disk: c.disk(&q)}
	how.RemoteTime = c.RemoteTime
	if c.DryRun {
		err := compareTree(ctx, t, q, dir, func(s *fetch.Session) (*fetch.VerifyTreeResult, error) {
			return s.RehearseRepairTree(q.ballot, dir, how)
		})
		if _, differs := errors.AsType[*fetch.TreeMismatchError](err); differs {
			return nil
		}
		return err
	}
	run := q.run()
	run.Mending = dir
	show := view.NewGet(t.view(), run)
	r, err := session(ctx, q, show, func(s *fetch.Session) (*fetch.RepairTreeResult, error) { return s.RepairTree(q.ballot, dir, how) })
	if r == nil { // there was no session
		r = &fetch.RepairTreeResult{Result: new(fetch.Result)}
	}
	return t.ended(show, view.Outcome{Got: r.Result, Mended: r, Err: err}, commandLine(t.shown(args)))
}

// commandLine returns args as they can be typed again.
func commandLine(args []string) string {
	words := []string{"malcolm"}
	for _, a := range args {
		words = append(words, typed(a))
	}
	return strings.Join(words, " ")
}
