package vote_test

import (
	"math/big"
	"reflect"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/vote"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// offer is a short way to write one: the identity, the content, and a file of 1,000 bytes named "f".
func offer(id, content byte) vote.Offer {
	return vote.Offer{ID: vote.ID{id}, Size: 1000, Checksum: [32]byte{content}, Name: "f"}
}

func named(id, content byte, name string) vote.Offer {
	o := offer(id, content)
	o.Name = name
	return o
}

func sized(id, content byte, size int64) vote.Offer {
	o := offer(id, content)
	o.Size = size
	return o
}

// repeat returns n servers of one process that hold the same file.
func repeat(n int, o vote.Offer) []vote.Offer {
	return slices.Repeat([]vote.Offer{o}, n)
}

func checksum(content byte) *[32]byte { return &[32]byte{content} }

// failure among offers is a server that fails.
var failure = vote.Offer{Size: -1}

// cast lets all servers answer or fail at the same moment, in the order of the command line.
func cast(o vote.Options, offers []vote.Offer) *vote.Ballot {
	b := vote.New(len(offers), o)
	for i, of := range offers {
		if of == failure {
			b.Fail(i, start)
		} else {
			b.Answer(i, of, start)
		}
	}
	return b
}

// votesOf writes the groups as their contents and votes, in their order.
func votesOf(r vote.Result) []string {
	var s []string
	for _, g := range r.Groups {
		s = append(s, string(rune(g.Checksum[0]))+" "+vote.FormatVotes(g.Votes))
	}
	return s
}

func TestResult(t *testing.T) {
	tests := []struct {
		name    string
		options vote.Options
		offers  []vote.Offer

		groups []string
		winner int
		reason vote.Reason
		ids    int
	}{
		{"one server", vote.Options{}, repeat(1, offer('x', 'A')),
			[]string{"A 1"}, 0, vote.Decided, 1},
		{"ten ports of one process against two", vote.Options{},
			append(repeat(10, offer('x', 'A')), offer('y', 'B'), offer('z', 'B')),
			[]string{"B 2", "A 1"}, 0, vote.Decided, 2},
		{"ten ports of one process against one", vote.Options{},
			append(repeat(10, offer('x', 'A')), offer('y', 'B')),
			[]string{"A 1", "B 1"}, -1, vote.NoMajority, 0},
		{"three processes of one user, three files", vote.Options{},
			[]vote.Offer{offer('x', 'A'), offer('x', 'B'), offer('x', 'C')},
			[]string{"A 1/3", "B 1/3", "C 1/3"}, -1, vote.NoMajority, 0},
		{"four good servers and a liar under one ID", vote.Options{},
			append(repeat(4, offer('x', 'A')), offer('x', 'B')),
			[]string{"A 4/5", "B 1/5"}, 0, vote.Decided, 1},
		{"the liar is first on the command line", vote.Options{},
			append([]vote.Offer{offer('x', 'B')}, repeat(4, offer('x', 'A'))...),
			[]string{"A 4/5", "B 1/5"}, 0, vote.Decided, 1},
		{"two of three IDs", vote.Options{},
			[]vote.Offer{offer('x', 'B'), offer('y', 'A'), offer('z', 'A')},
			[]string{"A 2", "B 1"}, 0, vote.Decided, 2},
		{"three of four servers, two of three votes", vote.Options{},
			[]vote.Offer{offer('x', 'A'), offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 2", "B 1"}, 0, vote.Decided, 2},
		{"tie", vote.Options{},
			[]vote.Offer{offer('x', 'B'), offer('y', 'A')},
			[]string{"B 1", "A 1"}, -1, vote.NoMajority, 0},
		{"most votes but exactly half", vote.Options{},
			[]vote.Offer{offer('w', 'A'), offer('x', 'A'), offer('y', 'B'), offer('z', 'C')},
			[]string{"A 2", "B 1", "C 1"}, -1, vote.NoMajority, 0},
		{"thirds that floats would not add to one half", vote.Options{},
			[]vote.Offer{offer('x', 'A'), offer('x', 'A'), offer('x', 'B'), offer('y', 'A'), offer('y', 'A'),
				offer('y', 'A'), offer('y', 'A'), offer('y', 'A'), offer('y', 'B'), offer('z', 'B')},
			[]string{"A 3/2", "B 3/2"}, -1, vote.NoMajority, 0},
		{"same checksum, other size", vote.Options{},
			[]vote.Offer{sized('x', 'A', 5), sized('y', 'A', 6)},
			[]string{"A 1", "A 1"}, -1, vote.NoMajority, 0},
		{"a server that failed has no vote", vote.Options{},
			[]vote.Offer{failure, offer('x', 'A'), failure, failure},
			[]string{"A 1"}, 0, vote.Decided, 1},
		{"nobody answers", vote.Options{}, repeat(3, failure),
			nil, -1, vote.NobodyAnswered, 0},
		{"nobody is asked", vote.Options{}, nil,
			nil, -1, vote.NobodyAnswered, 0},
		{"nobody answers, checksum", vote.Options{Checksum: checksum('A')}, repeat(3, failure),
			nil, -1, vote.NobodyAnswered, 0},

		{"quorum met", vote.Options{Quorum: 2},
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 2", "B 1"}, 0, vote.Decided, 2},
		{"quorum of two, one ID", vote.Options{Quorum: 2}, repeat(4, offer('x', 'A')),
			[]string{"A 1"}, -1, vote.TooFewIDs, 0},
		{"quorum of three, other IDs disagree", vote.Options{Quorum: 3},
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 2", "B 1"}, -1, vote.TooFewIDs, 0},
		{"quorum of one", vote.Options{Quorum: 1}, repeat(2, offer('x', 'A')),
			[]string{"A 1"}, 0, vote.Decided, 1},
		{"a tie is no majority whatever the quorum", vote.Options{Quorum: 2},
			[]vote.Offer{offer('x', 'A'), offer('y', 'B')},
			[]string{"A 1", "B 1"}, -1, vote.NoMajority, 0},

		{"checksum against a majority", vote.Options{Checksum: checksum('B')},
			[]vote.Offer{offer('w', 'A'), offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 3", "B 1"}, 1, vote.Decided, 1},
		{"checksum in a tie", vote.Options{Checksum: checksum('B')},
			[]vote.Offer{offer('x', 'A'), offer('y', 'B')},
			[]string{"A 1", "B 1"}, 1, vote.Decided, 1},
		{"checksum with a quorum: the checksum decides by itself", vote.Options{Checksum: checksum('A'), Quorum: 2},
			[]vote.Offer{offer('x', 'A')},
			[]string{"A 1"}, 0, vote.Decided, 1},
		{"nobody has the checksum", vote.Options{Checksum: checksum('C')},
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 2", "B 1"}, -1, vote.ChecksumNotOffered, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := cast(tt.options, tt.offers)
			if !b.Closed(start) {
				t.Fatal("open although everybody was heard")
			}
			r := b.Result()
			if got := votesOf(r); !slices.Equal(got, tt.groups) {
				t.Errorf("groups: got %q, want %q", got, tt.groups)
			}
			if r.Winner != tt.winner || r.Reason != tt.reason || r.DistinctIDs != tt.ids {
				t.Errorf("winner, reason, IDs: got %d, %d, %d, want %d, %d, %d",
					r.Winner, r.Reason, r.DistinctIDs, tt.winner, tt.reason, tt.ids)
			}
			wantName := ""
			if tt.winner >= 0 {
				wantName = "f"
			}
			if r.Name != wantName {
				t.Errorf("name: got %q, want %q", r.Name, wantName)
			}
		})
	}
}

func TestResultIsComplete(t *testing.T) {
	b := vote.New(6, vote.Options{})
	b.Answer(4, offer('x', 'A'), start)
	b.Fail(3, start)
	b.Answer(2, offer('y', 'B'), start)
	b.Answer(1, offer('x', 'A'), start)
	b.Answer(0, offer('z', 'A'), start)
	got := b.Result()
	want := vote.Result{
		Groups: []vote.Group{
			{Size: 1000, Checksum: [32]byte{'A'}, Servers: []int{0, 1, 4}, IDs: []vote.ID{{'z'}, {'x'}}, Votes: big.NewRat(2, 1)},
			{Size: 1000, Checksum: [32]byte{'B'}, Servers: []int{2}, IDs: []vote.ID{{'y'}}, Votes: big.NewRat(1, 1)},
		},
		Total:       big.NewRat(3, 1),
		Answered:    []int{0, 1, 2, 4},
		Failed:      []int{3},
		Silent:      []int{5},
		Winner:      0,
		Reason:      vote.Decided,
		Name:        "f",
		DistinctIDs: 2,
	}
	if len(got.Groups) != 2 || got.Groups[0].Votes.Cmp(want.Groups[0].Votes) != 0 ||
		got.Groups[1].Votes.Cmp(want.Groups[1].Votes) != 0 || got.Total.Cmp(want.Total) != 0 {
		t.Fatalf("votes: got %v of %v", votesOf(got), got.Total)
	}
	// Equal fractions may differ in how big.Rat keeps them.
	got.Total, got.Groups[0].Votes, got.Groups[1].Votes = want.Total, want.Groups[0].Votes, want.Groups[1].Votes
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestName(t *testing.T) {
	tests := []struct {
		name   string
		offers []vote.Offer
		want   string
	}{
		{"most votes, not most servers",
			append(repeat(10, named('x', 'A', "ports")), named('y', 'A', "ids"), named('z', 'A', "ids")), "ids"},
		{"shares of one ID", []vote.Offer{named('x', 'A', "a"), named('x', 'A', "b"), named('x', 'A', "b")}, "b"},
		{"tie: first on the command line", []vote.Offer{named('x', 'A', "z"), named('y', 'A', "a")}, "z"},
		{"tie of three, given by several", []vote.Offer{
			named('x', 'A', "c"), named('y', 'A', "b"), named('z', 'A', "a"), named('y', 'A', "b")}, "c"},
		{"only the winner's servers are asked", []vote.Offer{
			named('v', 'B', "other"), named('w', 'B', "other"), named('x', 'A', "a"), named('y', 'A', "b"), named('z', 'A', "b")}, "b"},
		// x gives a third of a vote here, since its other two ports are in another group, y a half and z a whole one.
		{"shares count all ports of the ID", []vote.Offer{
			named('x', 'A', "third"), named('x', 'B', "f"), named('x', 'B', "f"), named('y', 'A', "half"), named('y', 'B', "f"),
			named('z', 'A', "one")}, "one"},
		{"an empty name is a name", []vote.Offer{named('x', 'A', ""), named('y', 'A', ""), named('z', 'A', "a")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := cast(vote.Options{}, tt.offers).Result()
			if r.Winner != 0 || r.Name != tt.want {
				t.Errorf("got %q of winner %d, want %q of winner 0", r.Name, r.Winner, tt.want)
			}
		})
	}
}

// The tie is broken by the number of the server, not by the order of the answers.
func TestNameTieInOtherOrder(t *testing.T) {
	b := vote.New(2, vote.Options{})
	b.Answer(1, named('y', 'A', "second"), start)
	b.Answer(0, named('x', 'A', "first"), start)
	if got := b.Result().Name; got != "first" {
		t.Errorf("got %q, want %q", got, "first")
	}
}

func TestResultSharesNoMemory(t *testing.T) {
	want := checksum('A')
	b := vote.New(2, vote.Options{Checksum: want})
	want[0] = 'B'
	b.Answer(0, offer('x', 'B'), start)
	b.Answer(1, offer('y', 'A'), start)
	r := b.Result()
	if r.Winner != 1 {
		t.Fatalf("winner: got %d, want 1", r.Winner)
	}
	r.Total.SetInt64(9)
	r.Groups[0].Votes.SetInt64(9)
	r.Groups[0].Servers[0] = 9
	again := b.Result()
	if vote.FormatVotes(again.Total) != "2" || vote.FormatVotes(again.Groups[0].Votes) != "1" || again.Groups[0].Servers[0] != 0 {
		t.Errorf("a result changed the ballot: %+v", again)
	}
}

func TestFormatVotes(t *testing.T) {
	for want, r := range map[string]*big.Rat{
		"0": new(big.Rat), "2": big.NewRat(4, 2), "1/3": big.NewRat(1, 3), "4/5": big.NewRat(8, 10), "5/2": big.NewRat(5, 2),
	} {
		if got := vote.FormatVotes(r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
