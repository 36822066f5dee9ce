package vote

import (
	"cmp"
	"slices"
)

// Reason says why a result has a winner or has none. The zero value is not a
// reason.
type Reason int

const (
	Decided            Reason = iota + 1 // there is a winner
	NobodyAnswered                       // no server answered
	NoMajority                           // no group, or two groups, have more than half of the votes; a tie is one case
	TooFewVotes                          // the first group has the majority but fewer votes than the quorum
	ChecksumNotOffered                   // servers answered, none with the checksum asked for
)

// Group is the servers that offered the same file.
type Group struct {
	Tree     bool  // a directory: size and checksum are those of its listing
	Size     int64 // bytes
	Checksum [32]byte
	Servers  []int    // ascending
	Hosts    []string // as typed: distinct, in the order of Servers
	IDs      []ID     // distinct, in the order of Servers
	Votes    int      // 0 if no host counts for it
}

func (g *Group) file() file { return file{g.Tree, g.Size, g.Checksum} }

// Result is the state of a vote. It shares no memory with the ballot.
type Result struct {
	Groups []Group // most votes first, ties: the lowest server number first
	Total  int     // votes of all servers that answered; the groups' need not add up to it

	// Numbers of servers, ascending; each server is in exactly one of the
	// three.
	Answered, Failed, Silent []int

	Winner int // index in Groups, or -1
	Reason Reason
	Name   string // the winner's file name: the one most of its votes give, ties: first on the command line; "" without a winner
}

// Result returns the state of the vote, at any time. Once the ballot is closed
// it is final.
func (b *Ballot) Result() Result {
	heard := b.answered()
	votes := tally(heard, (*server).file)
	r := Result{Groups: b.groups(votes), Total: apart(pairs(heard)), Winner: -1}
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
	r.Winner, r.Reason = b.decide(r.Groups, votes, r.Total)
	if r.Winner >= 0 {
		r.Name = b.name(r.Groups[r.Winner])
	}
	return r
}

// groups returns the groups in their final order.
func (b *Ballot) groups(votes map[file]int) (groups []Group) {
	places := make(map[file]int)
	for i := range b.servers {
		s := &b.servers[i]
		if s.state != answered {
			continue
		}
		f := s.file()
		at, ok := places[f]
		if !ok {
			at = len(groups)
			places[f] = at
			groups = append(groups, Group{Tree: f.tree, Size: f.size, Checksum: f.checksum, Votes: votes[f]})
		}
		g := &groups[at]
		g.Servers = append(g.Servers, i)
		if !slices.Contains(g.Hosts, s.Host) {
			g.Hosts = append(g.Hosts, s.Host)
		}
		if !slices.Contains(g.IDs, s.offer.ID) {
			g.IDs = append(g.IDs, s.offer.ID)
		}
	}
	slices.SortStableFunc(groups, func(x, y Group) int { return cmp.Compare(y.Votes, x.Votes) })
	return groups
}

// decide returns the winner among groups in their final order, or -1, and the
// reason.
func (b *Ballot) decide(groups []Group, votes map[file]int, total int) (winner int, why Reason) {
	if len(groups) == 0 {
		return -1, NobodyAnswered
	}
	if b.checksum != nil {
		i := slices.IndexFunc(groups, func(g Group) bool { return b.isWanted(g.Tree, g.Checksum) })
		if i < 0 {
			return -1, ChecksumNotOffered
		}
		return i, Decided
	}
	if _, ok := majority(votes, total); !ok {
		return -1, NoMajority
	}
	if groups[0].Votes < b.quorum {
		return -1, TooFewVotes
	}
	return 0, Decided
}

// name returns the file name that most votes of a group give, ties: the first
// on the command line. If no host counts for the group, all of its servers are
// asked.
func (b *Ballot) name(g Group) string {
	group := counted(b.answered(), (*server).file)[g.file()]
	if len(group) == 0 {
		for _, s := range g.Servers {
			group = append(group, &b.servers[s])
		}
	}
	return nameOf(group)
}

// nameOf returns the file name that most votes of servers give, ties: the first
// on the command line.
func nameOf(servers []*server) string {
	votes := tally(servers, (*server).name)
	best := servers[0].name()
	for _, s := range servers {
		if votes[s.name()] > votes[best] {
			best = s.name()
		}
	}
	return best
}
