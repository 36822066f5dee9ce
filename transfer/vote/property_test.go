package vote_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"malcolm/transfer/vote"
)

const mostServers = 8

// Few values of each kind, so that servers agree, share hosts and IDs and tie
// often.
var (
	drawOffer = rapid.Custom(func(t *rapid.T) vote.Offer {
		return vote.Offer{
			ID:       vote.ID{rapid.SampledFrom([]byte("wxyz")).Draw(t, "id")},
			Size:     rapid.SampledFrom([]int64{10, 10, 10, 20}).Draw(t, "size"),
			Checksum: [32]byte{rapid.SampledFrom([]byte("AAAABBC")).Draw(t, "content")},
			Name:     rapid.SampledFrom([]string{"f", "f", "g", ""}).Draw(t, "name"),
		}
	})
	drawHeard  = rapid.OneOf(drawOffer, drawOffer, drawOffer, rapid.Just(failure))
	drawEvent  = rapid.OneOf(drawOffer, drawOffer, drawOffer, rapid.Just(failure), rapid.Just(indexing))
	drawAll    = rapid.SliceOfN(drawHeard, 0, mostServers)
	drawServer = rapid.Custom(func(t *rapid.T) vote.Server {
		s := vote.Server{Host: rapid.SampledFrom([]string{"a", "a", "b", "c", "d"}).Draw(t, "host")}
		for _, id := range []byte(rapid.SampledFrom([]string{"", "", "", "w", "wx", "yz"}).Draw(t, "named IDs")) {
			s.IDs = append(s.IDs, vote.ID{id})
		}
		return s
	})
	drawDelay = rapid.SampledFrom([]time.Duration{
		0, 0, 0, 1, 1, ms, 300 * ms, 500 * ms, 999 * ms, time.Second - 1, time.Second, time.Second + 1, 3 * time.Second,
	})
)

func drawServers(t *rapid.T, n int) []vote.Server {
	return rapid.SliceOfN(drawServer, n, n).Draw(t, "servers")
}

func drawOptions(t *rapid.T) vote.Options {
	o := vote.Options{Quorum: rapid.IntRange(-1, 4).Draw(t, "quorum")}
	if content := rapid.SampledFrom([]byte{0, 0, 0, 'A', 'B', 'D'}).Draw(t, "checksum"); content != 0 {
		o.Checksum = checksum(content)
	}
	return o
}

type event struct {
	after  time.Duration // after the event before
	server int
	offer  vote.Offer // or failure, or indexing
}

// drawEvents lets most servers be heard, in any order, and some of them again.
func drawEvents(t *rapid.T, n int) []event {
	order := drawOrder(t, n)
	order = append(order[:rapid.IntRange(0, n).Draw(t, "heard")], rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 4).Draw(t, "again")...)
	var events []event
	for _, s := range order {
		events = append(events, event{after: drawDelay.Draw(t, "after"), server: s, offer: drawEvent.Draw(t, "event")})
	}
	return events
}

func drawOrder(t *rapid.T, n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return rapid.Permutation(order).Draw(t, "order")
}

// castIn tells a new ballot of all offers at once, in the given order.
func castIn(o vote.Options, servers []vote.Server, offers []vote.Offer, order []int) *vote.Ballot {
	b := vote.New(servers, o)
	for _, i := range order {
		tell(b, i, offers[i], start)
	}
	return b
}

// TestTruthWins plays honest hosts, each with an ID of its own, against lying
// ones. A lying host may have any number of servers and keys, show honest
// servers by forwarding to them, fail, come back, and choose its moments.
// Nobody is left out for being slow: at least one server of an honest host does
// not fail before it answers.
func TestTruthWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 10 {
			playTruth(t)
		}
	})
}

func playTruth(t *rapid.T) {
	h, e := rapid.IntRange(0, 4).Draw(t, "honest"), rapid.IntRange(0, 4).Draw(t, "lying")
	var servers []vote.Server
	var acts []timed
	for i := range h + e {
		isHonest := i < h
		ports := rapid.IntRange(1, 4).Draw(t, "servers")
		for port := range ports {
			servers = append(servers, vote.Server{Host: fmt.Sprint("host ", i)})
			n := len(servers) - 1
			if isHonest {
				acts = append(acts, drawHonest(t, n, byte(i), port > 0)...)
			} else {
				acts = append(acts, drawLiar(t, n, h)...)
			}
		}
	}
	order := rapid.Permutation(acts).Draw(t, "ties")
	slices.SortStableFunc(order, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	b := vote.New(servers, vote.Options{})
	now := start
	for _, a := range order {
		now = start.Add(a.at)
		tell(b, a.server, a.offer, now)
	}
	// The patience runs out.
	for n := range servers {
		b.Fail(n, now.Add(time.Hour))
	}
	r := b.Result()
	switch won := r.Winner >= 0; {
	case h > e && (!won || r.Groups[r.Winner].Checksum != *checksum('T')):
		t.Fatalf("%d honest hosts against %d: the truth lost: %+v", h, e, r)
	case e <= h && won && r.Groups[r.Winner].Checksum != *checksum('T'):
		t.Fatalf("%d honest hosts against %d: a lie won: %+v", h, e, r)
	}
}

// timed is an event at a time after the start.
type timed struct {
	at     time.Duration
	server int
	offer  vote.Offer
}

func drawAt(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 40).Draw(t, "at")) * 100 * ms
}

func honestOffer(id byte) vote.Offer { return offer(100+id, 'T') }

// drawHonest draws what one server of an honest host does. It answers the
// truth, and may fail or index before. With mayFail it may also fail for good.
func drawHonest(t *rapid.T, n int, id byte, mayFail bool) []timed {
	at := drawAt(t)
	var acts []timed
	switch rapid.IntRange(0, 3).Draw(t, "honest act") {
	case 0:
		if mayFail {
			return []timed{{at, n, failure}}
		}
	case 1:
		if mayFail {
			acts = append(acts, timed{at, n, failure})
			at += time.Duration(rapid.IntRange(0, 20).Draw(t, "back after")) * 100 * ms
		}
	case 2:
		acts = append(acts, timed{at, n, indexing})
		at += drawAt(t)
	}
	return append(acts, timed{at, n, honestOffer(id)})
}

func drawLiar(t *rapid.T, n, honest int) (acts []timed) {
	for range rapid.IntRange(0, 3).Draw(t, "acts") {
		of := offer(rapid.SampledFrom([]byte("0123456789abcdef")).Draw(t, "key"), rapid.SampledFrom([]byte("LLLM")).Draw(t, "lie"))
		switch rapid.IntRange(0, 7).Draw(t, "act") {
		case 0:
			of = failure
		case 1:
			of = indexing
		case 2, 3:
			if honest > 0 {
				of = honestOffer(byte(rapid.IntRange(0, honest-1).Draw(t, "relay to")))
			}
		case 4: // a key of its own that tells the truth
			of.Checksum = *checksum('T')
		}
		acts = append(acts, timed{drawAt(t), n, of})
	}
	return acts
}

// plain writes a result so that equal ones are equal strings.
func plain(r vote.Result) string {
	s := fmt.Sprintf("total %d answered %v failed %v silent %v winner %d reason %d name %q",
		r.Total, r.Answered, r.Failed, r.Silent, r.Winner, r.Reason, r.Name)
	for _, g := range r.Groups {
		s += fmt.Sprintf("\n%c %d servers %v hosts %v IDs ", g.Checksum[0], g.Size, g.Servers, g.Hosts)
		for _, id := range g.IDs {
			s += string(rune(id[0]))
		}
		s += fmt.Sprintf(" votes %d", g.Votes)
	}
	return s
}

func TestAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A majority that is lost within its second is rare, so each
		// check plays 20 ballots.
		for range 20 {
			compareWithReference(t)
		}
	})
}

func compareWithReference(t *rapid.T) {
	o := drawOptions(t)
	servers := drawServers(t, rapid.IntRange(1, mostServers).Draw(t, "n"))
	events := drawEvents(t, len(servers))
	asks := rapid.Bool().Draw(t, "asks Closed between events") // must make no difference

	b := vote.New(servers, o)
	now := start
	for _, e := range events {
		if asks {
			b.Closed(now.Add(e.after / 2))
		}
		now = now.Add(e.after)
		tell(b, e.server, e.offer, now)
	}
	want := runReference(servers, o, events)
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
		servers := drawServers(t, len(offers))
		o := drawOptions(t)
		order := drawOrder(t, len(offers))
		slices.Sort(order)
		want := castIn(o, servers, offers, order).Result()
		got := castIn(o, servers, offers, drawOrder(t, len(offers))).Result()
		if o.Checksum != nil {
			// The first server that has it closes the vote. So the
			// order decides who is in it, but not whether there is
			// a winner.
			if got.Reason != want.Reason {
				t.Fatalf("reason: got %d, want %d", got.Reason, want.Reason)
			}
			return
		}
		if plain(got) != plain(want) {
			t.Fatalf("in another order %s\nin order: %s", plain(got), plain(want))
		}
	})
}

// A host has one vote, however many ports, keys and addresses it adds, and
// whatever they say.
func TestHostHasOneVote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		others := rapid.SliceOfN(drawOffer, 0, 6).Draw(t, "others")
		servers := on("", len(others))
		own := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) vote.Offer {
			of := drawOffer.Draw(t, "own")
			of.ID = vote.ID{rapid.Byte().Draw(t, "key")}
			return of
		}), 1, 12).Draw(t, "own")
		all := slices.Clone(servers)
		for range own {
			all = append(all, vote.Server{Host: "own"})
		}
		order := make([]int, len(all))
		for i := range order {
			order[i] = i
		}
		without := castIn(vote.Options{}, servers, others, order[:len(others)]).Result()
		with := castIn(vote.Options{}, all, slices.Concat(others, own), order).Result()
		gained := 0
		for _, g := range with.Groups {
			more := g.Votes
			if i := slices.IndexFunc(without.Groups, sameFile(g)); i >= 0 {
				more -= without.Groups[i].Votes
			}
			if more < 0 {
				t.Fatalf("a host took a vote away: %s\n%s", plain(without), plain(with))
			}
			gained += more
		}
		if gained > 1 || with.Total-without.Total > 1 {
			t.Fatalf("%d servers of one host weigh %d, and %d of the total", len(own), gained, with.Total-without.Total)
		}
	})
}

func sameFile(g vote.Group) func(vote.Group) bool {
	return func(o vote.Group) bool { return o.Size == g.Size && o.Checksum == g.Checksum }
}

// The order of the command line decides ties and names, and nothing else.
func TestNumbersOnlyBreakTies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offers := drawAll.Draw(t, "offers")
		servers := drawServers(t, len(offers))
		order := drawOrder(t, len(offers))
		movedOffers, movedServers := make([]vote.Offer, len(offers)), make([]vote.Server, len(offers))
		for to, from := range order {
			movedOffers[to], movedServers[to] = offers[from], servers[from]
		}
		o := vote.Options{Quorum: rapid.IntRange(0, 3).Draw(t, "quorum")}
		slices.Sort(order)
		a, b := castIn(o, servers, offers, order).Result(), castIn(o, movedServers, movedOffers, order).Result()
		if a.Reason != b.Reason || a.Total != b.Total || a.Winner != b.Winner {
			t.Fatalf("%s\nand %s", plain(a), plain(b))
		}
		if a.Winner >= 0 && !sameFile(a.Groups[a.Winner])(b.Groups[b.Winner]) {
			t.Fatal("another group wins")
		}
		for i := range a.Groups {
			j := slices.IndexFunc(b.Groups, sameFile(a.Groups[i]))
			if j < 0 || b.Groups[j].Votes != a.Groups[i].Votes || b.Groups[i].Votes != a.Groups[i].Votes {
				t.Fatalf("group %d weighs otherwise", i)
			}
		}
	})
}
