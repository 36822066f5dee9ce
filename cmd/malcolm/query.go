package main

import (
	"context"
	"time"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/metrics"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
	"malcolm/transfer/source/malcolm"
	"malcolm/transfer/source/pool"
)

// A query is what a command's flags say of the servers and the file.
type query struct {
	targets  []source.Target
	all      bool // each address of a host is a server
	reach    malcolm.Config
	supply   supply        // of the mirrors
	moving   *moving       // what may change of the targets; nil: nothing
	servers  fetch.Servers // without its sources
	ballot   fetch.Ballot
	sha256   *[32]byte // that the file must have as well; nil: not checked
	showMap  bool
	files    bool          // each file of a directory is told
	interval time.Duration // between two reports; 0: no reports
	pool     *pool.Pool    // that keeps the connections; nil: they end with the session
	// save keeps what the run found out about the ways to the servers; nil:
	// it is not kept.
	save    func()
	metrics *metrics.Metrics // nil: nobody asks for them
	// progress gets the status, besides the view; nil: only the view gets
	// it.
	progress func(fetch.Snapshot)
}

// limit bounds the bytes of the file a second, over all servers.
func (q *query) limit(rate flags.Rate) { q.servers.Limit, q.reach.Limit = int64(rate), int64(rate) }

// want sets the checksum that the file or directory must have: from --checksum,
// and from the tickets. nil: no such flag or ticket.
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
	alone := len(q.targets) == 1 && !q.all && q.moving == nil
	return view.Run{Targets: q.targets, Alone: alone, Map: q.showMap, Interval: q.interval, Advice: serverHints}
}

// session runs do with a session of its own, and shows what happens in it.
func session[T any](ctx context.Context, q query, show shower, do func(*fetch.Session) (T, error)) (none T, err error) {
	q.servers.Sources, err = q.sources(ctx)
	if err != nil {
		return none, err
	}
	if q.pool != nil {
		for i, src := range q.servers.Sources {
			if src.Target().IsMirror() {
				continue // its links are kept by origin
			}
			q.servers.Sources[i] = q.pool.Source(src)
		}
	}
	if q.save != nil {
		defer q.save()
	}
	s := fetch.Open(ctx, q.servers, fetch.Watch{Map: q.showMap, Files: q.files, Events: show.Event})
	defer q.follow(ctx, s)()
	defer q.metrics.Watch(s.Snapshot)()
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
