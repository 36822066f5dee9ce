package fetch

import (
	"context"
	"fmt"

	"malcolm/transfer/source"
	"malcolm/transfer/tree/each"
	"malcolm/transfer/tree/filter"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// maxListings is how many groups have their listings fetched when the whole
// directories have no majority.
const maxListings = 8

// voteOnChoice votes on what a filter chooses of each group's directory, when
// the whole directories have no majority: one stray file must not decide. If
// there is a majority then, r gets a winner, and votes are its votes; else both
// stay as they are.
func (s *Session) voteOnChoice(jury *vote.Jury, r *vote.Result, f *filter.Filter) (votes int, err error) {
	var listings []each.Listing
	for i := range r.Groups {
		if !r.Groups[i].Tree || len(listings) == maxListings {
			continue
		}
		entries, err := s.listingOf(&r.Groups[i])
		if err != nil {
			return 0, err
		}
		if entries = f.Entries(entries); len(entries) > 0 {
			listings = append(listings, each.Listing{Group: i, Entries: entries})
		}
	}
	winner, says, why := each.Whole(jury, listings)
	if winner < 0 {
		return 0, nil
	}
	group := listings[winner].Group
	r.Winner, r.Reason, r.Name = group, why, jury.Name(says, group)
	return jury.Votes(says)[group], nil
}

// listingOf fetches the listing of a group from one of its servers. Nil: no one
// sends it, or it is broken. The error is why the run ended.
func (s *Session) listingOf(g *vote.Group) ([]wire.Entry, error) {
	for _, i := range g.Servers {
		c := s.roster.servers[i].conns.pick()
		if c == nil {
			continue
		}
		way := c.way
		entries, err := obtain(s.loop, func(ctx context.Context) ([]wire.Entry, error) {
			b, err := fetchList(ctx, way, timesList{g.Checksum, g.Size})
			if err != nil {
				return nil, err
			}
			return wire.ParseListing(b)
		})
		if err == nil {
			return entries, nil
		}
		if s.loop.fatal != nil || s.loop.ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, nil
}

// wrongList is the fault of a server whose list is not what it says.
func wrongList(what string, err error) error {
	return &source.Fault{What: source.Wrong, Words: fmt.Sprintf("its %s is wrong: %v", what, err), Err: err}
}
