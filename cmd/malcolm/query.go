package main

import (
	"context"
	"time"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
)

// A query is what a command's flags say of the servers and the file.
type query struct {
	targets  []source.Target
	all      bool // each address of a host is a server
	reach    malcolm.Config
	servers  fetch.Servers // without its sources
	ballot   fetch.Ballot
	sha256   *[32]byte // that the file must have as well; nil: not checked
	showMap  bool
	files    bool          // each file of a directory is told
	interval time.Duration // between two reports; 0: no reports
	// save keeps what the run has found out of the ways to the servers;
	// nil: it is not kept.
	save func()
	// progress is given the status, besides the view; nil: nobody is.
	progress func(fetch.Snapshot)
}

// limit bounds the bytes of the file a second, over all servers.
func (q *query) limit(rate flags.Rate) { q.servers.Limit, q.reach.Limit = int64(rate), int64(rate) }

// want sets what the file or directory must have: the checksum of --checksum,
// and that of the tickets. Nil: no such flag or ticket.
func (q *query) want(flag, ticket *flags.Checksum) error {
	if flag != nil && flag.Kind == flags.OfSHA256 {
		q.sha256, flag = &flag.Sum, nil
	}
	sum := flag
	if ticket != nil {
		if flag != nil && *flag != *ticket {
			return usage("--checksum and the ticket name different files")
		}
		sum = ticket
	}
	if sum != nil {
		q.ballot.Checksum, q.ballot.Tree = &sum.Sum, sum.Kind == flags.OfTree
	}
	return nil
}

// A shower shows what happens in a session.
type shower interface {
	Event(fetch.Event)
	// Ask says how to get the status, until the end is shown.
	Ask(status func() fetch.Snapshot)
}

// run says what to show of a session.
func (q query) run() view.Run {
	alone := len(q.targets) == 1 && !q.all
	return view.Run{Targets: q.targets, Alone: alone, Map: q.showMap, Interval: q.interval, Advice: serverHints}
}

// session runs do with a session of its own, and shows what happens in it.
func session[T any](ctx context.Context, q query, show shower, do func(*fetch.Session) (T, error)) (none T, err error) {
	q.servers.Sources, err = malcolm.Sources(ctx, q.reach, q.targets, q.all)
	if err != nil {
		return none, err
	}
	if q.save != nil {
		defer q.save()
	}
	s := fetch.Open(ctx, q.servers, fetch.Watch{Map: q.showMap, Files: q.files, Events: show.Event})
	defer s.Close()
	show.Ask(func() fetch.Snapshot {
		now := s.Snapshot()
		if q.progress != nil {
			q.progress(now)
		}
		return now
	})
	return do(s)
}
