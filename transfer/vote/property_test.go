package vote_test

import (
	"cmp"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/vote"
)

// Few values of each kind, so that servers agree, share IDs and tie often.
var (
	drawOffer = rapid.Custom(func(t *rapid.T) vote.Offer {
		return vote.Offer{
			ID:       vote.ID{rapid.SampledFrom([]byte("wxyz")).Draw(t, "id")},
			Size:     rapid.SampledFrom([]int64{10, 10, 10, 20}).Draw(t, "size"),
			Checksum: [32]byte{rapid.SampledFrom([]byte("AAAABBC")).Draw(t, "content")},
			Name:     rapid.SampledFrom([]string{"f", "f", "g", ""}).Draw(t, "name"),
		}
	})
	drawHeard = rapid.OneOf(drawOffer, drawOffer, drawOffer, rapid.Just(failure))
	drawAll   = rapid.SliceOfN(drawHeard, 0, mostServers)
	drawDelay = rapid.SampledFrom([]time.Duration{
		0, 0, 0, 1, 1, ms, 300 * ms, 500 * ms, 999 * ms, time.Second - 1, time.Second, time.Second + 1, 3 * time.Second,
	})
)

func drawOptions(t *rapid.T) vote.Options {
	o := vote.Options{Quorum: rapid.IntRange(-1, 4).Draw(t, "quorum")}
	if content := rapid.SampledFrom([]byte{0, 0, 0, 'A', 'B', 'D'}).Draw(t, "checksum"); content != 0 {
		o.Checksum = checksum(content)
	}
	return o
}

// drawEvents lets most servers be heard, in any order, and some of them again. Now and then the first are ports of one
// process that say the same: such a group holds the majority for a while and can lose it.
func drawEvents(t *rapid.T, n int) []event {
	order := drawOrder(t, n)
	order = append(order[:rapid.IntRange(0, n).Draw(t, "heard")], rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 2).Draw(t, "again")...)
	ports := rapid.SampledFrom([]int{0, 0, n/2 + 1}).Draw(t, "ports of one process")
	same := drawOffer.Draw(t, "their offer")
	var events []event
	for i, s := range order {
		e := event{after: drawDelay.Draw(t, "after"), server: s, offer: same}
		if i >= ports {
			e.offer = drawHeard.Draw(t, "offer")
		}
		events = append(events, e)
	}
	return events
}

// castIn is cast in another order of arrival.
func castIn(o vote.Options, offers []vote.Offer, order []int) *vote.Ballot {
	b := vote.New(len(offers), o)
	for _, i := range order {
		if offers[i] == failure {
			b.Fail(i, start)
		} else {
			b.Answer(i, offers[i], start)
		}
	}
	return b
}

func drawOrder(t *rapid.T, n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return rapid.Permutation(order).Draw(t, "order")
}

// plain writes a result so that equal ones are equal strings.
func plain(r vote.Result) string {
	s := fmt.Sprintf("total %s answered %v failed %v silent %v winner %d reason %d name %q IDs %d",
		r.Total.RatString(), r.Answered, r.Failed, r.Silent, r.Winner, r.Reason, r.Name, r.DistinctIDs)
	for _, g := range r.Groups {
		s += fmt.Sprintf("\n%c %d servers %v IDs ", g.Checksum[0], g.Size, g.Servers)
		for _, id := range g.IDs {
			s += string(rune(id[0]))
		}
		s += " votes " + g.Votes.RatString()
	}
	return s
}

func TestAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A majority that is lost within its second is rare: one ballot a check would seldom see it.
		for range 20 {
			compareWithReference(t)
		}
	})
}

func compareWithReference(t *rapid.T) {
	o := drawOptions(t)
	n := rapid.IntRange(1, mostServers).Draw(t, "servers")
	events := drawEvents(t, n)
	asks := rapid.Bool().Draw(t, "asks Closed between events") // must make no difference

	b := vote.New(n, o)
	now := start
	for _, e := range events {
		if asks {
			b.Closed(now.Add(e.after / 2))
		}
		now = now.Add(e.after)
		if e.offer == failure {
			b.Fail(e.server, now)
		} else {
			b.Answer(e.server, e.offer, now)
		}
	}
	want := runReference(n, o, events)
	if at, ok := b.CloseAt(); ok != want.closes || ok && !at.Equal(start.Add(want.at)) {
		t.Fatalf("closes at %v, %t, want %v, %t", at.Sub(start), ok, want.at, want.closes)
	}
	if got, wantClosed := b.Closed(now), want.closes && !now.Before(start.Add(want.at)); got != wantClosed {
		t.Fatalf("closed: got %t, want %t", got, wantClosed)
	}
	if got := plain(b.Result()); got != want.result {
		t.Fatalf("got  %s\nwant %s", got, want.result)
	}
}

func TestOrderOfAnswersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offers := drawAll.Draw(t, "offers")
		o := drawOptions(t)
		order := drawOrder(t, len(offers))
		got, want := castIn(o, offers, order).Result(), cast(o, offers).Result()
		if o.Checksum != nil {
			// The first that has it closes the vote: who is in it depends on the order, whether there is a winner does not.
			if got.Reason != want.Reason {
				t.Fatalf("reason: got %d, want %d", got.Reason, want.Reason)
			}
			return
		}
		if plain(got) != plain(want) {
			t.Fatalf("in order %v: %s\nin order: %s", order, plain(got), plain(want))
		}
	})
}

func TestVotesSumToDistinctIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offers := drawAll.Draw(t, "offers")
		ids := make(map[vote.ID]bool)
		for _, of := range offers {
			if of != failure {
				ids[of.ID] = true
			}
		}
		r := cast(vote.Options{}, offers).Result()
		sum := new(big.Rat)
		for _, g := range r.Groups {
			sum.Add(sum, g.Votes)
		}
		want := big.NewRat(int64(len(ids)), 1)
		if sum.Cmp(want) != 0 || r.Total.Cmp(want) != 0 {
			t.Fatalf("sum %v, total %v, want %v", sum, r.Total, want)
		}
	})
}

func TestWinnerHasMoreThanHalfAndIsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offers := drawAll.Draw(t, "offers")
		quorum := rapid.IntRange(0, 3).Draw(t, "quorum")
		r := cast(vote.Options{Quorum: quorum}, offers).Result()
		var majorities []int
		for i, g := range r.Groups {
			if new(big.Rat).Mul(g.Votes, big.NewRat(2, 1)).Cmp(r.Total) > 0 {
				majorities = append(majorities, i)
			}
		}
		if len(majorities) > 1 {
			t.Fatalf("%d majorities", len(majorities))
		}
		won := len(majorities) == 1 && len(r.Groups[majorities[0]].IDs) >= quorum
		if won != (r.Winner >= 0) || won != (r.Reason == vote.Decided) || won && r.Winner != majorities[0] {
			t.Fatalf("winner %d, reason %d, majorities %v", r.Winner, r.Reason, majorities)
		}
	})
}

// However many ports a process adds, and whatever they say, all of them together have one vote; when all say the same, not
// even the groups' votes change.
func TestPortsAddNoWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		others := rapid.SliceOfN(drawOffer.Filter(func(o vote.Offer) bool { return o.ID[0] != 'w' }), 0, 6).Draw(t, "others")
		own := rapid.SliceOfN(drawOffer, 1, 12).Draw(t, "own")
		for i := range own {
			own[i].ID = vote.ID{'w'}
		}
		without := cast(vote.Options{}, others).Result()
		with := cast(vote.Options{}, slices.Concat(others, own)).Result()
		gained := new(big.Rat)
		for _, g := range with.Groups {
			gained.Add(gained, g.Votes)
			if i := slices.IndexFunc(without.Groups, sameFile(g)); i >= 0 {
				gained.Sub(gained, without.Groups[i].Votes)
			}
		}
		if gained.Cmp(big.NewRat(1, 1)) != 0 {
			t.Fatalf("%d ports of one process weigh %v", len(own), gained)
		}

		one := cast(vote.Options{}, slices.Concat(others, own[:1])).Result()
		many := cast(vote.Options{}, slices.Concat(others, repeat(len(own), own[0]))).Result()
		if got, want := votesOf(many), votesOf(one); !slices.Equal(got, want) || many.Winner != one.Winner {
			t.Fatalf("one port %q, %d equal ports %q", want, len(own), got)
		}
	})
}

func sameFile(g vote.Group) func(vote.Group) bool {
	return func(o vote.Group) bool { return o.Size == g.Size && o.Checksum == g.Checksum }
}

// The order of the command line decides ties and nothing else.
func TestNumbersOnlyBreakTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offers := drawAll.Draw(t, "offers")
		order := drawOrder(t, len(offers))
		moved := make([]vote.Offer, len(offers))
		for to, from := range order {
			moved[to] = offers[from]
		}
		o := vote.Options{Quorum: rapid.IntRange(0, 3).Draw(t, "quorum")}
		a, b := cast(o, offers).Result(), cast(o, moved).Result()
		if a.Reason != b.Reason || a.DistinctIDs != b.DistinctIDs || a.Winner != b.Winner {
			t.Fatalf("winner, reason, IDs: %d, %d, %d and %d, %d, %d",
				a.Winner, a.Reason, a.DistinctIDs, b.Winner, b.Reason, b.DistinctIDs)
		}
		if a.Winner >= 0 && !sameFile(a.Groups[a.Winner])(b.Groups[b.Winner]) {
			t.Fatal("another group wins")
		}
		if a.Name != b.Name && !nameTies(offers, a) {
			t.Fatalf("names %q and %q without a tie", a.Name, b.Name)
		}
		for i := range a.Groups {
			if a.Groups[i].Votes.Cmp(b.Groups[i].Votes) != 0 {
				t.Fatalf("votes at place %d: %v and %v", i, a.Groups[i].Votes, b.Groups[i].Votes)
			}
			j := slices.IndexFunc(b.Groups, sameFile(a.Groups[i]))
			if j < 0 || b.Groups[j].Votes.Cmp(a.Groups[i].Votes) != 0 || len(b.Groups[j].IDs) != len(a.Groups[i].IDs) {
				t.Fatalf("group %d weighs otherwise", i)
			}
		}
	})
}

// nameTies reports whether another name has as many votes of the winner as the one chosen.
func nameTies(offers []vote.Offer, r vote.Result) bool {
	votes := make(map[string]int)
	for _, s := range r.Groups[r.Winner].Servers {
		votes[offers[s].Name] += share(offers, s)
	}
	for name, v := range votes {
		if name != r.Name && v == votes[r.Name] {
			return true
		}
	}
	return false
}

// The rest is a second implementation of the rules, written for plainness: it holds all events and looks at every moment
// afresh, and counts in whole parts of a vote.

const (
	mostServers = 8
	wholeVote   = 840 // divisible by 1 to mostServers
)

type event struct {
	after  time.Duration // after the event before
	server int
	offer  vote.Offer // or failure
}

type outcome struct {
	closes bool
	at     time.Duration
	result string
}

var unheard = vote.Offer{Size: -2}

func answers(of vote.Offer) bool { return of.Size >= 0 }

// share is the part of a vote that a server has among all that answered.
func share(offers []vote.Offer, server int) int {
	n := 0
	for _, of := range offers {
		if answers(of) && of.ID == offers[server].ID {
			n++
		}
	}
	return wholeVote / n
}

func runReference(n int, o vote.Options, events []event) outcome {
	moments := [][]vote.Offer{slices.Repeat([]vote.Offer{unheard}, n)}
	times := []time.Duration{0}
	at := time.Duration(0)
	for _, e := range events {
		at += e.after
		next := slices.Clone(moments[len(moments)-1])
		if next[e.server] == unheard {
			next[e.server] = e.offer
		}
		moments, times = append(moments, next), append(times, at)
	}
	for i, m := range moments {
		if !slices.Contains(m, unheard) || slices.ContainsFunc(m, func(of vote.Offer) bool {
			return o.Checksum != nil && answers(of) && of.Checksum == *o.Checksum
		}) {
			return outcome{true, times[i], referenceResult(o, m)}
		}
		h := referenceHolder(m)
		if o.Checksum != nil || h == nil {
			continue
		}
		began := i
		for began > 0 && reflect.DeepEqual(referenceHolder(moments[began-1]), h) {
			began--
		}
		if closes := times[began] + time.Second; i == len(moments)-1 || times[i+1] >= closes {
			return outcome{true, closes, referenceResult(o, m)}
		}
	}
	return outcome{result: referenceResult(o, moments[len(moments)-1])}
}

// referenceHolder returns size and content of the group that holds more than half of the votes and servers, or nil.
func referenceHolder(m []vote.Offer) *[2]int64 {
	for _, candidate := range m {
		votes, total, servers, live := 0, 0, 0, 0
		for s, of := range m {
			if of != failure {
				live++
			}
			if !answers(of) {
				continue
			}
			total += share(m, s)
			if of.Size == candidate.Size && of.Checksum == candidate.Checksum {
				votes += share(m, s)
				servers++
			}
		}
		if answers(candidate) && votes > total-votes && servers > live-servers {
			return &[2]int64{candidate.Size, int64(candidate.Checksum[0])}
		}
	}
	return nil
}

type referenceGroup struct {
	first   int // its first server
	votes   int
	ids     string
	servers []int
}

func referenceResult(o vote.Options, m []vote.Offer) string {
	r := vote.Result{Winner: -1}
	total := 0
	var groups []referenceGroup
	for s, of := range m {
		switch {
		case of == unheard:
			r.Silent = append(r.Silent, s)
		case of == failure:
			r.Failed = append(r.Failed, s)
		default:
			r.Answered = append(r.Answered, s)
			total += share(m, s)
			i := slices.IndexFunc(groups, func(g referenceGroup) bool {
				return m[g.first].Size == of.Size && m[g.first].Checksum == of.Checksum
			})
			if i < 0 {
				i, groups = len(groups), append(groups, referenceGroup{first: s})
			}
			groups[i].votes += share(m, s)
			groups[i].servers = append(groups[i].servers, s)
			if !slices.Contains([]byte(groups[i].ids), of.ID[0]) {
				groups[i].ids += string(rune(of.ID[0]))
			}
		}
	}
	slices.SortStableFunc(groups, func(a, b referenceGroup) int { return cmp.Compare(b.votes, a.votes) })

	r.Reason = vote.NoMajority
	if o.Checksum != nil {
		r.Reason = vote.ChecksumNotOffered
	}
	if len(groups) == 0 {
		r.Reason = vote.NobodyAnswered
	}
	for i, g := range groups {
		switch {
		case o.Checksum != nil && m[g.first].Checksum == *o.Checksum,
			o.Checksum == nil && g.votes > total-g.votes && len(g.ids) >= o.Quorum:
			r.Winner, r.Reason = i, vote.Decided
			r.Name, r.DistinctIDs = referenceName(m, g.servers), len(g.ids)
		case o.Checksum == nil && g.votes > total-g.votes:
			r.Reason = vote.TooFewIDs
		}
	}
	return plainReference(r, m, groups, total)
}

func referenceName(m []vote.Offer, servers []int) string {
	votes := make(map[string]int)
	for _, s := range servers {
		votes[m[s].Name] += share(m, s)
	}
	best := servers[0]
	for _, s := range servers {
		if votes[m[s].Name] > votes[m[best].Name] {
			best = s
		}
	}
	return m[best].Name
}

func plainReference(r vote.Result, m []vote.Offer, groups []referenceGroup, total int) string {
	r.Total = big.NewRat(int64(total), wholeVote)
	for _, g := range groups {
		var ids []vote.ID
		for _, id := range []byte(g.ids) {
			ids = append(ids, vote.ID{id})
		}
		r.Groups = append(r.Groups, vote.Group{
			Size: m[g.first].Size, Checksum: m[g.first].Checksum,
			Servers: g.servers, IDs: ids, Votes: big.NewRat(int64(g.votes), wholeVote),
		})
	}
	return plain(r)
}
