package main

import (
	"context"

	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
)

type infoCmd struct {
	Targets []string `arg:"" optional:"" name:"target" help:"The same as -a: host:10001-10004 other:9000; a ticket, as serve prints it; or @FILE, a file with one of these a line."`
	List    bool     `help:"Show what the majority's directory has, one entry a line: size in bytes, a tab, the path. Only the listing is fetched."`
	ChooseFlags
	ServerFlags
}

// Help is what kong prints after the flags.
func (*infoCmd) Help() string {
	return `Examples:
  malcolm info host:10001-10004 other:9000
  malcolm info --list -a 127.0.0.1 -p 10001-10004 --quorum 2
  malcolm info --json host:10001 | tail -n 1

Each file that is offered goes to stdout, with its votes, the IDs of its servers, and each server's round trip. Nothing is fetched, written, or remembered of the servers. The exit code is that of the vote: 0, 4, 5 or 7.`
}

func (c *infoCmd) run(ctx context.Context, _ []string, t *terminal) error {
	q, err := c.query(c.Targets, t)
	if err != nil {
		return err
	}
	q.reach.Trust.ReadOnly = true
	if q.ballot.Filter, err = c.filter(t); err != nil {
		return err
	}
	q.ballot.Each = c.Each
	if c.List {
		return list(ctx, t, q)
	}
	if q.ballot.Filter != nil {
		return usage("info: add --list to see what --include, --exclude and --files-from choose")
	}
	show := view.NewInfo(t.view(), q.run())
	r, err := session(ctx, q, show, func(s *fetch.Session) (*fetch.InfoResult, error) { return s.Info(q.ballot) })
	show.Ended(r, err)
	return err
}

// list shows the entries of the majority's directory.
func list(ctx context.Context, t *terminal, q query) error {
	show := view.NewGet(t.view(), q.run())
	r, err := session(ctx, q, show, func(s *fetch.Session) (*fetch.ListResult, error) { return s.List(q.ballot) })
	t.ended(show, view.Outcome{Err: err}, "")
	if err != nil {
		return err
	}
	view.Entries(t, r.Entries)
	return nil
}
