package vote_test

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"malcolm/transfer/vote"
)

// This is a second implementation of the rules, written for plainness. It holds
// all events, looks at every moment afresh, and counts by trying every set of
// servers.

type outcome struct {
	closes bool
	at     time.Duration
	result string
}

func answers(of vote.Offer) bool { return of.Size >= 0 }

func runReference(servers []vote.Server, o vote.Options, events []event) outcome {
	moments := [][]vote.Offer{slices.Repeat([]vote.Offer{indexing}, len(servers))}
	times := []time.Duration{0}
	at := time.Duration(0)
	for _, e := range events {
		at += e.after
		next := slices.Clone(moments[len(moments)-1])
		if !answers(next[e.server]) {
			next[e.server] = e.offer
		}
		moments, times = append(moments, next), append(times, at)
	}
	for i, m := range moments {
		if !slices.Contains(m, indexing) || slices.ContainsFunc(m, func(of vote.Offer) bool {
			return o.Checksum != nil && answers(of) && of.Checksum == *o.Checksum
		}) {
			return outcome{true, times[i], referenceResult(servers, o, m)}
		}
		h := referenceHolder(servers, m)
		if o.Checksum != nil || h == nil {
			continue
		}
		began := i
		for began > 0 && reflect.DeepEqual(referenceHolder(servers, moments[began-1]), h) {
			began--
		}
		if closes := times[began] + time.Second; i == len(moments)-1 || times[i+1] >= closes {
			return outcome{true, closes, referenceResult(servers, o, m)}
		}
	}
	return outcome{result: referenceResult(servers, o, moments[len(moments)-1])}
}

// referenceHost names the host of a server that answered.
func referenceHost(s vote.Server, of vote.Offer) string {
	if slices.Contains(s.IDs, of.ID) {
		return "ID " + string(of.ID[0])
	}
	return "host " + s.Host
}

// referenceVotes tries every set of the servers that answered and for which in
// is true.
func referenceVotes(servers []vote.Server, m []vote.Offer, in func(int) bool) (best int) {
	for set := range 1 << len(m) {
		seen, n, fits := make(map[string]bool), 0, true
		for i, of := range m {
			if set>>i&1 == 0 {
				continue
			}
			if !answers(of) || !in(i) {
				fits = false
				break
			}
			h, id := referenceHost(servers[i], of), "proved "+string(of.ID[0])
			fits = fits && !seen[h] && !seen[id]
			seen[h], seen[id] = true, true
			n++
		}
		if fits {
			best = max(best, n)
		}
	}
	return best
}

func everybody(int) bool { return true }

// referenceCounts reports whether the host of a server counts for what the
// server offers.
func referenceCounts(servers []vote.Server, m []vote.Offer, server int, same func(a, b vote.Offer) bool, in func(int) bool) bool {
	agree, all := 0, 0
	for i, of := range m {
		if answers(of) && in(i) && referenceHost(servers[i], of) == referenceHost(servers[server], m[server]) {
			all++
			if same(of, m[server]) {
				agree++
			}
		}
	}
	return 2*agree > all
}

func oneFile(a, b vote.Offer) bool { return a.Size == b.Size && a.Checksum == b.Checksum }

// referenceGroup returns the votes of what a server offers.
func referenceGroupVotes(servers []vote.Server, m []vote.Offer, server int) int {
	return referenceVotes(servers, m, func(i int) bool {
		return oneFile(m[i], m[server]) && referenceCounts(servers, m, i, oneFile, everybody)
	})
}

// referenceMajority returns a server of the only group with more than half of
// the total, or -1.
func referenceMajority(servers []vote.Server, m []vote.Offer) int {
	total, found := referenceVotes(servers, m, everybody), -1
	for i, of := range m {
		if !answers(of) || 2*referenceGroupVotes(servers, m, i) <= total {
			continue
		}
		if found >= 0 && !oneFile(m[found], of) {
			return -1
		}
		if found < 0 {
			found = i
		}
	}
	return found
}

// referenceHolder returns size and content of the group that may close the
// vote, or nil.
func referenceHolder(servers []vote.Server, m []vote.Offer) *[2]int64 {
	i := referenceMajority(servers, m)
	if i < 0 {
		return nil
	}
	told, hosts, ids, bring := make(map[string]bool), make(map[string]bool), make(map[vote.ID]bool), 0
	for j, of := range m {
		if answers(of) {
			told[referenceHost(servers[j], of)] = true
		}
	}
	for j, of := range m {
		if of != indexing {
			continue
		}
		s, brings := servers[j], false
		if len(s.IDs) == 0 && !told["host "+s.Host] {
			hosts[s.Host] = true
		}
		for _, id := range s.IDs {
			if !told["ID "+string(id[0])] {
				ids[id], brings = true, true
			}
		}
		if brings {
			bring++
		}
	}
	could := referenceVotes(servers, m, everybody) + len(hosts) + min(len(ids), bring)
	if 2*referenceGroupVotes(servers, m, i) <= could {
		return nil
	}
	return &[2]int64{m[i].Size, int64(m[i].Checksum[0])}
}

func referenceResult(servers []vote.Server, o vote.Options, m []vote.Offer) string {
	r := vote.Result{Winner: -1, Total: referenceVotes(servers, m, everybody)}
	for s, of := range m {
		switch of {
		case indexing:
			r.Silent = append(r.Silent, s)
			continue
		case failure:
			r.Failed = append(r.Failed, s)
			continue
		}
		r.Answered = append(r.Answered, s)
		i := slices.IndexFunc(r.Groups, func(g vote.Group) bool { return oneFile(m[g.Servers[0]], of) })
		if i < 0 {
			i = len(r.Groups)
			r.Groups = append(r.Groups, vote.Group{Size: of.Size, Checksum: of.Checksum, Votes: referenceGroupVotes(servers, m, s)})
		}
		g := &r.Groups[i]
		g.Servers = append(g.Servers, s)
		if !slices.Contains(g.Hosts, servers[s].Host) {
			g.Hosts = append(g.Hosts, servers[s].Host)
		}
		if !slices.Contains(g.IDs, of.ID) {
			g.IDs = append(g.IDs, of.ID)
		}
	}
	slices.SortStableFunc(r.Groups, func(a, b vote.Group) int { return cmp.Compare(b.Votes, a.Votes) })

	won := referenceMajority(servers, m)
	r.Reason = vote.NoMajority
	switch {
	case len(r.Groups) == 0:
		r.Reason = vote.NobodyAnswered
	case o.Checksum != nil:
		r.Reason = vote.ChecksumNotOffered
		if i := slices.IndexFunc(r.Groups, func(g vote.Group) bool { return g.Checksum == *o.Checksum }); i >= 0 {
			r.Reason, r.Winner = vote.Decided, i
		}
	case won >= 0 && referenceGroupVotes(servers, m, won) < o.Quorum:
		r.Reason = vote.TooFewVotes
	case won >= 0:
		r.Reason = vote.Decided
		r.Winner = slices.IndexFunc(r.Groups, func(g vote.Group) bool { return oneFile(m[g.Servers[0]], m[won]) })
	}
	if r.Winner >= 0 {
		r.Name = referenceName(servers, m, r.Groups[r.Winner].Servers)
	}
	return plain(r)
}

func referenceName(servers []vote.Server, m []vote.Offer, group []int) string {
	asked := slices.DeleteFunc(slices.Clone(group), func(i int) bool { return !referenceCounts(servers, m, i, oneFile, everybody) })
	if len(asked) == 0 {
		asked = group
	}
	in := func(i int) bool { return slices.Contains(asked, i) }
	sameName := func(a, b vote.Offer) bool { return a.Name == b.Name }
	best, most := m[asked[0]].Name, 0
	for _, s := range asked {
		votes := referenceVotes(servers, m, func(i int) bool {
			return in(i) && m[i].Name == m[s].Name && referenceCounts(servers, m, i, sameName, in)
		})
		if votes > most {
			best, most = m[s].Name, votes
		}
	}
	return best
}
