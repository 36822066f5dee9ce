package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"malcolm/transfer/manifest"
	"malcolm/transfer/source"
	"malcolm/transfer/tree"
	"malcolm/transfer/tree/each"
	"malcolm/transfer/tree/filter"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// maxListings is how many groups have their listings fetched when the whole
// directories have no majority.
const maxListings = 8

// mostDiffering bounds the paths that are named when there is no majority.
const mostDiffering = 10_000

// A PathVote is what groups have at a path on which they differ.
type PathVote struct {
	Path   string
	Groups []int         // their numbers in the vote's result
	Has    []*wire.Entry // what each has there; nil: nothing
}

// Parts are how a vote ended on less than whole directories.
type Parts struct {
	Votes int          // for what a filter chooses of the winner; 0: that did not decide
	Each  []wire.Entry // the tree that each path's own majority makes; nil: that did not decide
	// Without a majority: Differ are the first paths on which groups differ
	// whose listings could be fetched. Count is how many such paths there
	// are.
	Differ []PathVote
	Count  int
}

// voteOnParts votes on less than whole directories, when these have no
// majority: on what a filter chooses, and on each path if the user asked for
// that. If that finds a majority, r gets a winner. If not, the paths on which
// the groups differ are named.
func (s *Session) voteOnParts(jury *vote.Jury, r *vote.Result, b Ballot) (p Parts, err error) {
	listings, err := s.groupListings(r, b.Filter)
	if err != nil || len(listings) == 0 {
		return p, err
	}
	if b.Filter != nil {
		winner, says, why := each.Whole(jury, listings)
		if winner >= 0 {
			group := listings[winner].Group
			r.Winner, r.Reason, r.Name = group, why, jury.Name(says, group)
			p.Votes = jury.Votes(says)[group]
			return p, nil
		}
	}
	if b.Each {
		if p.Each, err = s.mergeListings(jury, r, listings); err != nil || p.Each != nil {
			return p, err
		}
	}
	p.Differ, p.Count = differing(listings)
	return p, nil
}

// groupListings fetches the listings of groups, and chooses from them by a
// filter, which may be nil.
func (s *Session) groupListings(r *vote.Result, f *filter.Filter) (listings []each.Listing, err error) {
	for i := range r.Groups {
		if !r.Groups[i].Tree || len(listings) == maxListings {
			continue
		}
		entries, err := s.listingOf(&r.Groups[i])
		if err != nil {
			return nil, err
		}
		if f != nil {
			entries = f.Entries(entries)
		}
		if len(entries) > 0 {
			listings = append(listings, each.Listing{Group: i, Entries: entries})
		}
	}
	return listings, nil
}

// mergeListings has each path decided by its own majority. If all have one, r
// gets one more group, which has no server and wins: the tree that the paths
// make.
func (s *Session) mergeListings(jury *vote.Jury, r *vote.Result, listings []each.Listing) ([]wire.Entry, error) {
	entries, err := each.Paths(jury, listings)
	switch {
	case errors.Is(err, each.ErrUndecided), errors.Is(err, each.ErrTooFew):
		return nil, nil
	case err != nil:
		return nil, &ListingError{err}
	case len(entries) == 0:
		return nil, nil
	}
	listing, err := wire.AppendListing(nil, entries)
	if err != nil {
		return nil, &ListingError{err}
	}
	sum, err := obtain(s.loop, func(ctx context.Context) ([32]byte, error) {
		_, sum, err := manifest.Build(ctx, bytes.NewReader(listing), int64(len(listing)), manifest.BuildOptions{})
		return sum, err
	})
	if err != nil {
		return nil, err
	}
	r.Groups = append(r.Groups, vote.Group{Tree: true, Size: int64(len(listing)), Checksum: sum})
	r.Winner, r.Reason = len(r.Groups)-1, vote.Decided
	r.Name = jury.Name(make([]int, jury.Groups()), 0) // as if all said the same
	return entries, nil
}

// differing returns the first paths on which listings differ, and how many
// there are.
func differing(listings []each.Listing) (first []PathVote, count int) {
	if len(listings) < 2 {
		return nil, 0
	}
	lists := make([][]wire.Entry, len(listings))
	groups := make([]int, len(listings))
	for i, l := range listings {
		lists[i], groups[i] = l.Entries, l.Group
	}
	for v := range tree.Differences(lists...) {
		if count++; len(first) < mostDiffering {
			first = append(first, PathVote{Path: v.Path, Groups: groups, Has: slices.Clone(v.Entries)})
		}
	}
	return first, count
}

// listingOf fetches the listing of a group from one of its servers. It is nil
// if no server sends it, or if it is broken. The error is why the run ended.
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

// wrongList is the fault of a server whose list differs from what it announced.
func wrongList(what string, err error) error {
	return &source.Fault{What: source.Wrong, Words: fmt.Sprintf("its %s is wrong: %v", what, err), Err: err}
}
