package vote

import (
	"cmp"
	"math/big"
	"slices"
)

// Reason says why a result has a winner or has none. The zero value is not a reason.
type Reason int

const (
	Decided            Reason = iota + 1 // there is a winner
	NobodyAnswered                       // no server answered
	NoMajority                           // no group has more than half of the votes that are in; a tie is one case
	TooFewIDs                            // the first group has the majority but fewer distinct IDs than the quorum
	ChecksumNotOffered                   // servers answered, none with the checksum asked for
)

// Group is the servers that offered the same file.
type Group struct {
	Size     int64 // bytes
	Checksum [32]byte
	Servers  []int    // ascending
	IDs      []ID     // distinct, in the order of Servers
	Votes    *big.Rat // more than 0
}

// Result is the state of a vote. It shares no memory with the ballot.
type Result struct {
	Groups []Group  // most votes first, ties: the lowest server number first
	Total  *big.Rat // votes that are in: the distinct IDs that answered

	// Numbers of servers, ascending; each server is in exactly one of the three.
	Answered, Failed, Silent []int

	Winner      int // index in Groups; -1: none
	Reason      Reason
	Name        string // the winner's file name, given by most of its votes, ties: first on the command line; "" without one
	DistinctIDs int    // in the winner; 0 without one
}

// Result returns the state of the vote. It may be called at any time; once the ballot is closed the result is final.
func (b *Ballot) Result() Result {
	r := Result{Groups: b.count(), Total: b.total(), Winner: -1}
	for i, s := range b.servers {
		switch s.state {
		case answered:
			r.Answered = append(r.Answered, i)
		case failed:
			r.Failed = append(r.Failed, i)
		default:
			r.Silent = append(r.Silent, i)
		}
	}
	r.Winner, r.Reason = b.decide(r.Groups)
	if r.Winner >= 0 {
		w := r.Groups[r.Winner]
		r.Name = b.name(w.Servers)
		r.DistinctIDs = len(w.IDs)
	}
	return r
}

// count returns the groups in their final order.
func (b *Ballot) count() []Group {
	groups := make([]Group, 0, len(b.groups))
	for f, g := range b.groups {
		servers := slices.Sorted(slices.Values(g.servers))
		groups = append(groups, Group{
			Size:     f.size,
			Checksum: f.checksum,
			Servers:  servers,
			IDs:      b.distinctIDs(servers),
			Votes:    b.weigh(servers),
		})
	}
	slices.SortFunc(groups, func(x, y Group) int {
		return cmp.Or(y.Votes.Cmp(x.Votes), cmp.Compare(x.Servers[0], y.Servers[0]))
	})
	return groups
}

func (b *Ballot) distinctIDs(servers []int) []ID {
	var ids []ID
	seen := make(map[ID]bool)
	for _, s := range servers {
		id := b.servers[s].offer.ID
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// decide returns the winner among groups in their final order, or -1, and why.
func (b *Ballot) decide(groups []Group) (winner int, why Reason) {
	if len(groups) == 0 {
		return -1, NobodyAnswered
	}
	if b.checksum != nil {
		i := slices.IndexFunc(groups, func(g Group) bool { return g.Checksum == *b.checksum })
		if i < 0 {
			return -1, ChecksumNotOffered
		}
		return i, Decided
	}
	switch first := groups[0]; {
	case !b.moreThanHalf(first.Votes):
		return -1, NoMajority
	case len(first.IDs) < b.quorum:
		return -1, TooFewIDs
	}
	return 0, Decided
}

// name returns the file name that most votes of a group's servers give; of names with equal votes, the one that is given
// first on the command line. The servers are ascending.
func (b *Ballot) name(servers []int) string {
	givers := make(map[string][]int)
	var names []string // in the order of the command line
	for _, s := range servers {
		n := b.servers[s].offer.Name
		if givers[n] == nil {
			names = append(names, n)
		}
		givers[n] = append(givers[n], s)
	}
	best, most := "", new(big.Rat)
	for _, n := range names {
		if votes := b.weigh(givers[n]); votes.Cmp(most) > 0 {
			best, most = n, votes
		}
	}
	return best
}
