// Package each lets the servers of trees vote on less than a whole tree: on the
// part of it that a filter chooses, or on each path. It is pure.
//
// The votes are those of the servers' groups (see [vote.Jury]), of which the
// listings of some are known. A group whose listing is not known cannot win,
// but its votes are in the total.
//
// At a path a group says what its listing has there: an entry, or that it has
// none. Only equal entries are the same answer. So a path may have a majority;
// the majority may also be that the path is absent. If a path has no majority,
// there is no tree.
//
// Majorities of paths make a tree: any two of them share a group, and that
// group's listing is a tree. There is one exception, an ID that answers for
// several groups. So the result is checked, and refused if it is no tree.
package each

import (
	"errors"
	"iter"
	"slices"

	"malcolm/transfer/tree"
	"malcolm/transfer/vote"
	"malcolm/wire"
)

// A Listing is the entries that a group offers, or a part of them.
type Listing struct {
	Group   int // its number for the jury
	Entries []wire.Entry
}

// unknown is the answer of a group whose listing is not known.
const unknown = -1

// Whole votes on listings, such as filtered ones. Groups with equal entries
// give the same answer; says has these answers, for [vote.Jury.Votes] and
// [vote.Jury.Name]. winner is the place in listings of the first one that wins,
// or -1.
func Whole(jury *vote.Jury, listings []Listing) (winner int, says []int, why vote.Reason) {
	says = slices.Repeat([]int{unknown}, jury.Groups())
	for i, l := range listings {
		says[l.Group] = i
		for first, other := range listings[:i] {
			if slices.Equal(other.Entries, l.Entries) {
				says[l.Group] = first
				break
			}
		}
	}
	group, why := jury.Decide(says)
	if group < 0 {
		return -1, says, why
	}
	return says[group], says, why
}

// ErrUndecided says that there are paths without a majority.
var ErrUndecided = errors.New("there are paths without a majority")

// ErrTooFew says that the groups with known listings have no majority together.
// So no path can have a majority, wherever the others have entries.
var ErrTooFew = errors.New("the listings of too few servers are known for a majority")

// A NoTreeError says that the entries with a majority at their paths are no
// tree.
type NoTreeError struct {
	Path   string // of the entry that is in the way, or that has no place
	Reason string // as a listing would be refused
}

// Error says the reason without the path, which its caller quotes.
func (e *NoTreeError) Error() string {
	return "each path has a majority, and the whole is no tree: " + e.Reason
}

// Paths votes on each path, and returns the entries that have a majority; there
// may be no such entry. The error is [ErrUndecided], as [Undecided] tells,
// [ErrTooFew] or a [*NoTreeError]. The listings are trees.
func Paths(jury *vote.Jury, listings []Listing) ([]wire.Entry, error) {
	says := slices.Repeat([]int{unknown}, jury.Groups())
	for _, l := range listings { // of a path that is in none of them
		says[l.Group] = 0
	}
	if winner, _ := jury.Decide(says); winner < 0 {
		return nil, ErrTooFew
	}
	var entries []wire.Entry
	for p := range decisions(jury, listings) {
		if p.winner < 0 {
			return nil, ErrUndecided
		}
		if e := p.Entries[p.winner]; e != nil {
			entries = append(entries, *e)
		}
	}
	if i, reason := wire.FirstFault(len(entries), func(i int) *wire.Entry { return &entries[i] }); reason != "" {
		return nil, &NoTreeError{Path: entries[i].Path, Reason: reason}
	}
	return entries, nil
}

// Undecided yields the paths without a majority, in order, with what the
// listings have there and why there is no majority. The entries are for the
// caller until it goes on.
func Undecided(jury *vote.Jury, listings []Listing) iter.Seq2[tree.Versions, vote.Reason] {
	return func(yield func(tree.Versions, vote.Reason) bool) {
		for p := range decisions(jury, listings) {
			if p.winner < 0 && !yield(p.Versions, p.why) {
				return
			}
		}
	}
}

// A decision is a vote on one path.
type decision struct {
	tree.Versions
	winner int // the place in listings of the first one that wins, or -1
	why    vote.Reason
}

func decisions(jury *vote.Jury, listings []Listing) iter.Seq[decision] {
	return func(yield func(decision) bool) {
		entries := make([][]wire.Entry, len(listings))
		for i, l := range listings {
			entries[i] = l.Entries
		}
		says := slices.Repeat([]int{unknown}, jury.Groups())
		var classes []int
		for v := range tree.Paths(entries...) {
			classes = v.Classes(classes[:0])
			for i, l := range listings {
				says[l.Group] = classes[i]
			}
			d := decision{Versions: v, winner: -1}
			var group int
			if group, d.why = jury.Decide(says); group >= 0 {
				d.winner = says[group]
			}
			if !yield(d) {
				return
			}
		}
	}
}
