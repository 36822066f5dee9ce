package vote_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"malcolm/transfer/vote"
)

// A jury that is asked what each group says decides as a ballot in which each
// server offers what its group says.
func TestJuryIsABallot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offers := drawAll.Draw(t, "offers")
		servers := drawServers(t, len(offers))
		o := vote.Options{Quorum: rapid.IntRange(-1, 4).Draw(t, "quorum")}
		order := make([]int, len(offers))
		for i := range order {
			order[i] = i
		}
		b := castIn(o, servers, offers, order)
		j := b.Jury()
		groups := b.Result().Groups
		if j.Groups() != len(groups) || j.Total() != b.Result().Total {
			t.Fatalf("%d groups, %d votes in all, want %+v", j.Groups(), j.Total(), b.Result())
		}
		for range 3 { // the same jury again
			says := rapid.SliceOfN(rapid.IntRange(-1, 2), len(groups), len(groups)).Draw(t, "says")
			said := slices.Clone(offers)
			for g := range groups {
				for _, i := range groups[g].Servers {
					said[i].Size = 100 + int64(says[g])
					said[i].Checksum = [32]byte{}
					if says[g] < 0 { // like no other
						said[i].Checksum = [32]byte{byte(1 + g)}
					}
				}
			}
			compareWithBallot(t, j, says, groups, castIn(o, servers, said, order).Result())
		}
	})
}

func compareWithBallot(t *rapid.T, j *vote.Jury, says []int, groups []vote.Group, want vote.Result) {
	winner, why := j.Decide(says)
	votes := j.Votes(says)
	first := -1
	for g := range groups {
		for _, w := range want.Groups {
			if !slices.Contains(w.Servers, groups[g].Servers[0]) {
				continue
			}
			if votes[g] != w.Votes {
				t.Fatalf("says %v: group %d has %d votes, want %d", says, g, votes[g], w.Votes)
			}
			if want.Winner >= 0 && first < 0 && sameFile(want.Groups[want.Winner])(w) {
				first = g
			}
		}
	}
	switch {
	case first >= 0 && says[first] < 0:
		if winner != -1 || why != vote.NoMajority {
			t.Fatalf("says %v: group %d wins (%d), and nobody knows what it says", says, winner, why)
		}
	case winner != first || why != want.Reason:
		if want.Reason == vote.TooFewVotes && why == vote.NoMajority && winner < 0 && slices.Contains(says, -1) {
			return // it is not known what has too few votes
		}
		t.Fatalf("says %v: group %d wins (%d), want %d (%d)", says, winner, why, first, want.Reason)
	case winner >= 0:
		if got := j.Name(says, winner); got != want.Name {
			t.Fatalf("says %v: name %q, want %q", says, got, want.Name)
		}
	}
}

// Without an answer there is no winner.
func TestJuryWithoutAnswersHasNoWinner(t *testing.T) {
	j := vote.New(nil, vote.Options{}).Jury()
	if winner, why := j.Decide(nil); winner != -1 || why != vote.NobodyAnswered {
		t.Errorf("group %d wins (%d)", winner, why)
	}
}
