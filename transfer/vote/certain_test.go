package vote_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"malcolm/transfer/vote"
)

func TestCertain(t *testing.T) {
	none := vote.Offer{Size: -2} // nothing was heard
	for _, test := range []struct {
		name    string
		options vote.Options
		hosts   string
		offers  []vote.Offer
		certain bool
	}{
		{"two of three", vote.Options{}, "abc", []vote.Offer{offer('x', 'A'), offer('y', 'A'), none}, true},
		{"one of two", vote.Options{}, "ab", []vote.Offer{offer('x', 'A'), none}, false},
		{"one alone", vote.Options{}, "a", []vote.Offer{offer('x', 'A')}, true},
		{"nobody", vote.Options{}, "a", []vote.Offer{none}, false},
		{"four of six", vote.Options{}, "abcdef", []vote.Offer{
			offer('u', 'A'), offer('v', 'A'), offer('w', 'A'), offer('x', 'A'), none, none}, true},
		{"two more may prove IDs that have answered", vote.Options{}, "abcde", []vote.Offer{
			offer('u', 'A'), offer('v', 'A'), offer('w', 'A'), none, none}, false},
		{"a failure may be mended", vote.Options{}, "abcde", []vote.Offer{
			offer('u', 'A'), offer('v', 'A'), offer('w', 'A'), failure, none}, false},
		{"one ID for two hosts", vote.Options{}, "abc", []vote.Offer{offer('x', 'A'), offer('x', 'A'), none}, false},
		{"a host that may turn", vote.Options{}, "aa", []vote.Offer{offer('x', 'A'), none}, false},
		{"a host that cannot turn", vote.Options{}, "aaaa", []vote.Offer{
			offer('x', 'A'), offer('x', 'A'), offer('x', 'A'), none}, true},
		{"hosts that cannot turn, and have one ID so far", vote.Options{}, "aaaabbbb", []vote.Offer{
			offer('x', 'A'), offer('x', 'A'), offer('x', 'A'), none, offer('x', 'A'), offer('x', 'A'), offer('x', 'A'), none}, false},
		{"a host that counts for it, with another answer of its own", vote.Options{}, "aaaa", []vote.Offer{
			offer('x', 'A'), offer('x', 'A'), offer('x', 'A'), offer('y', 'B')}, true},
		{"against another", vote.Options{}, "abcd", []vote.Offer{
			offer('x', 'A'), offer('y', 'A'), offer('z', 'B'), none}, false},
		{"a quorum that is met", vote.Options{Quorum: 2}, "abc", []vote.Offer{offer('x', 'A'), offer('y', 'A'), none}, true},
		{"a quorum that is not met", vote.Options{Quorum: 3}, "abc", []vote.Offer{offer('x', 'A'), offer('y', 'A'), none}, false},
		{"a mirror never answers", vote.Options{}, "a ", []vote.Offer{offer('x', 'A'), failure}, true},
		{"a checksum decides", vote.Options{Checksum: checksum('A')}, "abc", []vote.Offer{
			offer('x', 'B'), offer('y', 'B'), none}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			servers := on(test.hosts, 0)
			for i := range servers {
				if servers[i].Host == " " {
					servers[i].Host = ""
				}
			}
			b := vote.New(servers, test.options)
			for i, of := range test.offers {
				if of != none {
					tell(b, i, of, start)
				}
			}
			if r, got := b.Certain(); got != test.certain {
				t.Errorf("certain: got %t, want %t: %+v", got, test.certain, r)
			}
		})
	}
}

// What is certain wins, whatever comes after it: answers, failures, and IDs
// that have answered before.
func TestCertainWins(t *testing.T) {
	certain, open := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			if early, ok := playCertain(t); ok && early {
				certain++
			} else if !ok {
				open++
			}
		}
	})
	if certain < 50 || open < 50 {
		t.Errorf("%d votes were certain before their close and %d never, want some of both", certain, open)
	}
}

// playCertain plays a vote. ok: its winner was certain, early: before the close
// and before the last event.
func playCertain(t *rapid.T) (early, ok bool) {
	servers := drawServers(t, rapid.IntRange(1, mostServers).Draw(t, "n"))
	b := vote.New(servers, vote.Options{Quorum: rapid.IntRange(0, 3).Draw(t, "quorum")})
	var won vote.Group
	now := start
	for _, e := range drawEvents(t, len(servers)) {
		if ids := servers[e.server].IDs; answers(e.offer) && len(ids) > 0 && !slices.Contains(ids, e.offer.ID) {
			e.offer.ID = ids[0] // the caller lets no other one vote
		}
		now = now.Add(e.after)
		tell(b, e.server, e.offer, now)
		r, certain := b.Certain()
		switch {
		case ok && !certain:
			t.Fatalf("no longer certain: %s", plain(r))
		case ok && !sameFile(won)(r.Groups[r.Winner]):
			t.Fatalf("another one is certain: %s", plain(r))
		case ok:
			early = true
		case certain:
			ok, won = true, r.Groups[r.Winner]
		}
	}
	r := b.Result()
	if ok && (r.Winner < 0 || !sameFile(won)(r.Groups[r.Winner])) {
		t.Fatalf("what was certain has not won: %s", plain(r))
	}
	return early, ok
}
