package vote

// Certain returns the result so far. ok says that its winner is final, whatever
// the other servers do until the vote closes. The votes, the groups behind the
// winner and its name may still change. Once true, ok stays true. With
// [Options].Checksum it is true only after the close.
func (b *Ballot) Certain() (r Result, ok bool) {
	r = b.Result()
	if r.Winner < 0 || b.checksum != nil {
		return r, false
	}
	w := &r.Groups[r.Winner]
	return r, b.standing(w.file()).wins(r.Total, b.quorum)
}

// A standing is the worst case for a group.
type standing struct {
	least  int // its votes
	others int // the most votes of any other group
	total  int // the most votes of all
}

// wins reports whether a group that now has the majority of total votes is sure
// to win. total does not fall. If IDs answer for two groups, both can have the
// majority: then neither wins.
func (s standing) wins(total, quorum int) bool {
	return 2*s.least > s.total && 2*s.others <= total && s.least >= quorum
}

// standing returns the worst case for a group, whatever the servers without an
// answer do.
func (b *Ballot) standing(f file) standing {
	heard, coming := b.answered(), b.mayCome()
	all, agree := make(map[host]int), make(map[host]int)
	for _, s := range heard {
		all[s.host()]++
		if s.file() == f {
			agree[s.host()]++
		}
	}
	// Such a host counts for f, whatever its others offer.
	isFirm := func(h host) bool { return 2*agree[h] > all[h]+coming[h] }
	open := 0 // hosts that may come and may count for another group
	for h := range coming {
		if !isFirm(h) {
			open++
		}
	}
	var firm, others, known []*server
	for _, s := range heard {
		h := s.host()
		switch {
		case s.file() == f && isFirm(h):
			firm = append(firm, s)
		case s.file() != f && coming[h] == 0 && !isFirm(h):
			others = append(others, s)
		}
		if coming[h] == 0 {
			known = append(known, s)
		}
	}
	return standing{
		least:  apart(pairs(firm)),
		others: apart(pairs(others)) + open,
		total:  apart(pairs(known)) + len(coming), // each of which may prove an ID that nobody else has
	}
}

// mayCome returns the hosts that servers without an answer may vote for, with
// the number of these servers. Such a host has one vote at most.
func (b *Ballot) mayCome() map[host]int {
	hosts := make(map[host]int)
	for _, s := range b.servers {
		switch {
		case b.closed || s.state == answered:
		case len(s.IDs) > 0:
			for _, id := range s.IDs {
				hosts[host{id: id}]++
			}
		case s.Host != "":
			hosts[host{name: s.Host}]++
		}
	}
	return hosts
}
