package vote

import (
	"encoding/binary"
	"slices"
)

// A Jury is the servers that answered a ballot. It votes on anything else that
// is known of their groups, such as a part of what they offer, and as often as
// it is asked. The rules are those of the ballot: its hosts, its IDs, its total
// and its quorum. A checksum that decides has no part in it.
//
// It belongs to one goroutine.
type Jury struct {
	servers []*server
	group   map[*server]int // in Result.Groups
	groups  int
	total   int
	quorum  int
	known   map[string]verdict // of what was asked before
}

type verdict struct {
	winner int
	why    Reason
}

// maxKnown bounds the verdicts that a jury keeps: the ways in which eight
// groups can differ are 4,140.
const maxKnown = 1 << 13

// Jury returns the jury of all servers that have answered so far. Its groups
// are those of [Ballot.Result] at this time.
func (b *Ballot) Jury() *Jury {
	j := &Jury{group: make(map[*server]int), quorum: b.quorum, known: make(map[string]verdict)}
	groups := b.Result().Groups
	for g := range groups {
		for _, i := range groups[g].Servers {
			j.group[&b.servers[i]] = g
		}
	}
	j.groups, j.servers = len(groups), b.answered()
	j.total = apart(pairs(j.servers))
	return j
}

// Groups returns the number of groups.
func (j *Jury) Groups() int { return j.groups }

// Total returns the votes of all servers.
func (j *Jury) Total() int { return j.total }

// Decide votes on what the groups say. Groups with the same number in says, one
// for each group, say the same. A negative number is that of a group of which
// this is not known: it agrees with no other and cannot win. winner is the
// first of the groups that win, or -1.
func (j *Jury) Decide(says []int) (winner int, why Reason) {
	key := make([]byte, 0, 64)
	for _, said := range says {
		key = binary.AppendVarint(key, int64(said))
	}
	if v, ok := j.known[string(key)]; ok {
		return v.winner, v.why
	}
	v := j.decide(says)
	if len(j.known) < maxKnown {
		j.known[string(key)] = v
	}
	return v.winner, v.why
}

func (j *Jury) decide(says []int) verdict {
	if len(j.servers) == 0 {
		return verdict{-1, NobodyAnswered}
	}
	votes := j.votes(says)
	said, ok := majority(votes, j.total)
	switch {
	case !ok || said < 0:
		return verdict{-1, NoMajority}
	case votes[said] < j.quorum:
		return verdict{-1, TooFewVotes}
	}
	return verdict{slices.Index(says, said), Decided}
}

// votes returns the votes of each thing that is said.
func (j *Jury) votes(says []int) map[int]int { return tally(j.servers, j.sayOf(says)) }

func (j *Jury) sayOf(says []int) func(*server) int {
	return func(s *server) int {
		g := j.group[s]
		if says[g] < 0 {
			return -1 - g
		}
		return says[g]
	}
}

// Votes returns the votes of each group for what it says, as in [Jury.Decide]:
// groups that say the same have the same votes.
func (j *Jury) Votes(says []int) []int {
	votes, say := j.votes(says), j.sayOf(says)
	list := make([]int, j.groups)
	for s, g := range j.group {
		list[g] = votes[say(s)]
	}
	return list
}

// Name returns the name that most votes give of the servers that say the same
// as a group, ties: the first on the command line.
func (j *Jury) Name(says []int, group int) string {
	say := j.sayOf(says)
	var agreed []*server
	want := 0
	for _, s := range j.servers {
		if j.group[s] == group {
			want = say(s)
		}
	}
	agreed = counted(j.servers, say)[want]
	if len(agreed) == 0 { // no host counts for it
		for _, s := range j.servers {
			if say(s) == want {
				agreed = append(agreed, s)
			}
		}
	}
	return nameOf(agreed)
}
