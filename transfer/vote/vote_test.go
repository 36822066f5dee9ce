package vote_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"malcolm/transfer/vote"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// offer returns an offer with that identity and content, of a file of 1,000
// bytes named "f".
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

// on returns a server for each letter of hosts, which names its host; if hosts
// is empty, n servers of different hosts.
func on(hosts string, n int) (servers []vote.Server) {
	if hosts == "" {
		hosts = "abcdefghijklmnopqrstuvw"[:n]
	}
	for _, h := range hosts {
		servers = append(servers, vote.Server{Host: string(h)})
	}
	return servers
}

func checksum(content byte) *[32]byte { return &[32]byte{content} }

// failure stands in a list of offers for a server that fails.
var failure = vote.Offer{Size: -1}

// cast lets all servers answer or fail at the same moment, in the order of the
// command line.
func cast(o vote.Options, hosts string, offers []vote.Offer) *vote.Ballot {
	b := vote.New(on(hosts, len(offers)), o)
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
		s = append(s, fmt.Sprintf("%c %d", g.Checksum[0], g.Votes))
	}
	return s
}

func TestResult(t *testing.T) {
	tests := []struct {
		name    string
		options vote.Options
		hosts   string // one letter a server; empty: all are different
		offers  []vote.Offer

		groups []string
		total  int
		winner int
		reason vote.Reason
	}{
		{"one server", vote.Options{}, "", repeat(1, offer('x', 'A')),
			[]string{"A 1"}, 1, 0, vote.Decided},
		{"ten ports of one host against two hosts", vote.Options{}, "aaaaaaaaaabc",
			append(repeat(10, offer('x', 'A')), offer('y', 'B'), offer('z', 'B')),
			[]string{"B 2", "A 1"}, 3, 0, vote.Decided},
		{"a key for each port is one vote all the same", vote.Options{}, "aaaabc",
			[]vote.Offer{offer('1', 'A'), offer('2', 'A'), offer('3', 'A'), offer('4', 'A'), offer('y', 'B'), offer('z', 'B')},
			[]string{"B 2", "A 1"}, 3, 0, vote.Decided},
		{"ten ports of one host against one", vote.Options{}, "aaaaaaaaaab",
			append(repeat(10, offer('x', 'A')), offer('y', 'B')),
			[]string{"A 1", "B 1"}, 2, -1, vote.NoMajority},
		{"ten hosts of one ID against two", vote.Options{}, "",
			append(repeat(10, offer('x', 'A')), offer('y', 'B'), offer('z', 'B')),
			[]string{"B 2", "A 1"}, 3, 0, vote.Decided},
		{"one host, three files", vote.Options{}, "aaa",
			[]vote.Offer{offer('x', 'A'), offer('x', 'B'), offer('x', 'C')},
			[]string{"A 0", "B 0", "C 0"}, 1, -1, vote.NoMajority},
		{"one host, half of it lies", vote.Options{}, "aabb",
			[]vote.Offer{offer('x', 'A'), offer('x', 'B'), offer('y', 'A'), offer('y', 'A')},
			[]string{"A 1", "B 0"}, 2, -1, vote.NoMajority},
		{"four good servers and a liar of one host", vote.Options{}, "aaaaa",
			append(repeat(4, offer('x', 'A')), offer('x', 'B')),
			[]string{"A 1", "B 0"}, 1, 0, vote.Decided},
		{"the liar is first on the command line", vote.Options{}, "aaaaa",
			append([]vote.Offer{offer('y', 'B')}, repeat(4, offer('x', 'A'))...),
			[]string{"A 1", "B 0"}, 1, 0, vote.Decided},
		{"one ID answers for two files", vote.Options{}, "ab",
			[]vote.Offer{offer('x', 'A'), offer('x', 'B')},
			[]string{"A 1", "B 1"}, 1, -1, vote.NoMajority},
		{"two IDs answer for two files, and one more host", vote.Options{}, "abcde",
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('z', 'A'), offer('x', 'B'), offer('y', 'B')},
			[]string{"A 3", "B 2"}, 3, -1, vote.NoMajority},
		{"a relay to an honest server takes no vote from it", vote.Options{}, "abbc",
			[]vote.Offer{offer('x', 'A'), offer('x', 'A'), offer('e', 'B'), offer('z', 'A')},
			[]string{"A 2", "B 0"}, 3, 0, vote.Decided},
		{"a relay to all honest servers takes no vote from them", vote.Options{}, "abccddd",
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('x', 'A'), offer('y', 'A'), offer('e', 'B'), offer('f', 'B'), offer('y', 'A')},
			[]string{"A 2", "B 1"}, 3, 0, vote.Decided},
		{"the hosts can be told apart only by moving one", vote.Options{}, "aab",
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('x', 'A')},
			[]string{"A 2"}, 2, 0, vote.Decided},
		{"two of three", vote.Options{}, "",
			[]vote.Offer{offer('x', 'B'), offer('y', 'A'), offer('z', 'A')},
			[]string{"A 2", "B 1"}, 3, 0, vote.Decided},
		{"tie", vote.Options{}, "",
			[]vote.Offer{offer('x', 'B'), offer('y', 'A')},
			[]string{"B 1", "A 1"}, 2, -1, vote.NoMajority},
		{"most votes but exactly half", vote.Options{}, "",
			[]vote.Offer{offer('w', 'A'), offer('x', 'A'), offer('y', 'B'), offer('z', 'C')},
			[]string{"A 2", "B 1", "C 1"}, 4, -1, vote.NoMajority},
		{"same checksum, other size", vote.Options{}, "",
			[]vote.Offer{sized('x', 'A', 5), sized('y', 'A', 6)},
			[]string{"A 1", "A 1"}, 2, -1, vote.NoMajority},
		{"a server that failed has no vote", vote.Options{}, "",
			[]vote.Offer{failure, offer('x', 'A'), failure, failure},
			[]string{"A 1"}, 1, 0, vote.Decided},
		{"nor has it a part of its host's", vote.Options{}, "aaa",
			[]vote.Offer{failure, offer('x', 'A'), failure},
			[]string{"A 1"}, 1, 0, vote.Decided},
		{"nobody answers", vote.Options{}, "", repeat(3, failure),
			nil, 0, -1, vote.NobodyAnswered},
		{"nobody is asked", vote.Options{}, "", nil,
			nil, 0, -1, vote.NobodyAnswered},
		{"nobody answers, checksum", vote.Options{Checksum: checksum('A')}, "", repeat(3, failure),
			nil, 0, -1, vote.NobodyAnswered},

		{"quorum met", vote.Options{Quorum: 2}, "",
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 2", "B 1"}, 3, 0, vote.Decided},
		{"quorum of two, one host", vote.Options{Quorum: 2}, "aaaa",
			[]vote.Offer{offer('1', 'A'), offer('2', 'A'), offer('3', 'A'), offer('4', 'A')},
			[]string{"A 1"}, 1, -1, vote.TooFewVotes},
		{"quorum of two, one ID", vote.Options{Quorum: 2}, "", repeat(4, offer('x', 'A')),
			[]string{"A 1"}, 1, -1, vote.TooFewVotes},
		{"quorum of three, others disagree", vote.Options{Quorum: 3}, "",
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 2", "B 1"}, 3, -1, vote.TooFewVotes},
		{"quorum of one", vote.Options{Quorum: 1}, "", repeat(2, offer('x', 'A')),
			[]string{"A 1"}, 1, 0, vote.Decided},
		{"a tie is no majority whatever the quorum", vote.Options{Quorum: 2}, "",
			[]vote.Offer{offer('x', 'A'), offer('y', 'B')},
			[]string{"A 1", "B 1"}, 2, -1, vote.NoMajority},

		{"checksum against a majority", vote.Options{Checksum: checksum('B')}, "",
			[]vote.Offer{offer('w', 'A'), offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 3", "B 1"}, 4, 1, vote.Decided},
		{"checksum of a part of a host", vote.Options{Checksum: checksum('B')}, "aaa",
			[]vote.Offer{offer('x', 'A'), offer('x', 'A'), offer('x', 'B')},
			[]string{"A 1", "B 0"}, 1, 1, vote.Decided},
		{"checksum in a tie", vote.Options{Checksum: checksum('B')}, "",
			[]vote.Offer{offer('x', 'A'), offer('y', 'B')},
			[]string{"A 1", "B 1"}, 2, 1, vote.Decided},
		{"checksum with a quorum: the checksum decides by itself", vote.Options{Checksum: checksum('A'), Quorum: 2}, "",
			[]vote.Offer{offer('x', 'A')},
			[]string{"A 1"}, 1, 0, vote.Decided},
		{"nobody has the checksum", vote.Options{Checksum: checksum('C')}, "",
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('z', 'B')},
			[]string{"A 2", "B 1"}, 3, -1, vote.ChecksumNotOffered},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := cast(tt.options, tt.hosts, tt.offers)
			if !b.Closed(start) {
				t.Fatal("open although everybody was heard")
			}
			r := b.Result()
			if got := votesOf(r); !slices.Equal(got, tt.groups) || r.Total != tt.total {
				t.Errorf("groups: got %q of %d, want %q of %d", got, r.Total, tt.groups, tt.total)
			}
			if r.Winner != tt.winner || r.Reason != tt.reason {
				t.Errorf("winner, reason: got %d, %d, want %d, %d", r.Winner, r.Reason, tt.winner, tt.reason)
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

// An ID that the user named is a host of its own: ports of one host then have
// several votes, and hosts with one ID have one.
func TestNamedIDs(t *testing.T) {
	named := func(host string, ids ...byte) vote.Server {
		s := vote.Server{Host: host}
		for _, id := range ids {
			s.IDs = append(s.IDs, vote.ID{id})
		}
		return s
	}
	tests := []struct {
		name    string
		servers []vote.Server
		offers  []vote.Offer
		votes   []string
		total   int
		most    int
	}{
		{"two IDs of a host", []vote.Server{named("a", 'x'), named("a", 'y')},
			[]vote.Offer{offer('x', 'A'), offer('y', 'B')}, []string{"A 1", "B 1"}, 2, 2},
		{"two IDs for any server of a host", []vote.Server{named("a", 'x', 'y'), named("a", 'x', 'y'), named("a", 'x', 'y')},
			[]vote.Offer{offer('x', 'A'), offer('y', 'A'), offer('x', 'A')}, []string{"A 2"}, 2, 2},
		{"one ID for all", []vote.Server{named("a", 'x'), named("b", 'x')},
			[]vote.Offer{offer('x', 'A'), offer('x', 'A')}, []string{"A 1"}, 1, 1},
		{"one ID whose servers disagree", []vote.Server{named("a", 'x'), named("b", 'x')},
			[]vote.Offer{offer('x', 'A'), offer('x', 'B')}, []string{"A 0", "B 0"}, 1, 1},
		{"more IDs than servers", []vote.Server{named("a", 'x', 'y', 'z')},
			[]vote.Offer{offer('z', 'A')}, []string{"A 1"}, 1, 1},
		{"beside the other servers of its host", []vote.Server{named("a", 'x'), named("a"), named("a")},
			[]vote.Offer{offer('x', 'A'), offer('u', 'A'), offer('v', 'A')}, []string{"A 2"}, 2, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := vote.Most(tt.servers); got != tt.most {
				t.Errorf("most: got %d, want %d", got, tt.most)
			}
			b := vote.New(tt.servers, vote.Options{})
			for i, o := range tt.offers {
				b.Answer(i, o, start)
			}
			if r := b.Result(); !slices.Equal(votesOf(r), tt.votes) || r.Total != tt.total {
				t.Errorf("got %q of %d, want %q of %d", votesOf(r), r.Total, tt.votes, tt.total)
			}
		})
	}
}

func TestResultIsComplete(t *testing.T) {
	b := vote.New(on("ababcd", 0), vote.Options{})
	b.Answer(4, offer('x', 'A'), start)
	b.Fail(3, start)
	b.Answer(2, offer('y', 'B'), start)
	b.Answer(1, offer('x', 'A'), start)
	b.Answer(0, offer('y', 'A'), start)
	got := b.Result()
	want := vote.Result{
		Groups: []vote.Group{
			{Size: 1000, Checksum: [32]byte{'A'}, Servers: []int{0, 1, 4}, Hosts: []string{"a", "b", "c"}, IDs: []vote.ID{{'y'}, {'x'}}, Votes: 1},
			{Size: 1000, Checksum: [32]byte{'B'}, Servers: []int{2}, Hosts: []string{"a"}, IDs: []vote.ID{{'y'}}, Votes: 0},
		},
		Total:    2,
		Answered: []int{0, 1, 2, 4},
		Failed:   []int{3},
		Silent:   []int{5},
		Winner:   -1,
		Reason:   vote.NoMajority,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNameWithMostVotesWins(t *testing.T) {
	tests := []struct {
		name   string
		hosts  string
		offers []vote.Offer
		want   string
	}{
		{"most votes, not most servers", "aaaaaaaaaabc",
			append(repeat(10, named('x', 'A', "ports")), named('y', 'A', "hosts"), named('z', 'A', "hosts")), "hosts"},
		{"most servers of one host", "aaa",
			[]vote.Offer{named('x', 'A', "a"), named('x', 'A', "b"), named('x', 'A', "b")}, "b"},
		{"no name has most of a host: first on the command line", "aa",
			[]vote.Offer{named('x', 'A', "z"), named('x', 'A', "a")}, "z"},
		{"tie: first on the command line", "", []vote.Offer{named('x', 'A', "z"), named('y', 'A', "a")}, "z"},
		{"tie of three", "",
			[]vote.Offer{named('x', 'A', "c"), named('y', 'A', "b"), named('z', 'A', "a")}, "c"},
		{"only the winner's servers are asked", "",
			[]vote.Offer{named('v', 'B', "other"), named('w', 'B', "other"), named('x', 'A', "a"), named('y', 'A', "b"), named('z', 'A', "b")}, "b"},
		{"hosts that count for another file are not asked", "aaabc",
			[]vote.Offer{named('x', 'A', "no"), named('x', 'B', "f"), named('x', 'B', "f"), named('y', 'A', "yes"), named('z', 'A', "third")}, "yes"},
		{"an empty name is a name", "", []vote.Offer{named('x', 'A', ""), named('y', 'A', ""), named('z', 'A', "a")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := cast(vote.Options{}, tt.hosts, tt.offers).Result()
			if r.Winner != 0 || r.Name != tt.want {
				t.Errorf("got %q of winner %d, want %q of winner 0", r.Name, r.Winner, tt.want)
			}
		})
	}
}

// The tie is broken by the number of the server, not by the order of the
// answers.
func TestNameTieInOtherOrder(t *testing.T) {
	b := vote.New(on("ab", 0), vote.Options{})
	b.Answer(1, named('y', 'A', "second"), start)
	b.Answer(0, named('x', 'A', "first"), start)
	if got := b.Result().Name; got != "first" {
		t.Errorf("got %q, want %q", got, "first")
	}
}

// A checksum wins even if no host counts for its group. Its servers then give
// the name.
func TestNameOfChecksumWithoutVotes(t *testing.T) {
	b := cast(vote.Options{Checksum: checksum('B')}, "aaa", []vote.Offer{named('x', 'A', "a"), named('x', 'A', "a"), named('x', 'B', "b")})
	if r := b.Result(); r.Winner != 1 || r.Groups[1].Votes != 0 || r.Name != "b" {
		t.Errorf("got %+v, want the second group and its name", r)
	}
}

func TestResultSharesNoMemory(t *testing.T) {
	want := checksum('A')
	servers := []vote.Server{{Host: "a", IDs: []vote.ID{{'x'}}}, {Host: "b"}}
	b := vote.New(servers, vote.Options{Checksum: want})
	want[0] = 'B'
	servers[0].IDs[0] = vote.ID{'y'}
	b.Answer(0, offer('x', 'B'), start)
	b.Answer(1, offer('y', 'A'), start)
	r := b.Result()
	if r.Winner != 1 || r.Total != 2 {
		t.Fatalf("winner %d, total %d, want 1 and 2", r.Winner, r.Total)
	}
	r.Groups[0].Servers[0], r.Groups[0].Hosts[0] = 9, "z"
	if again := b.Result(); again.Groups[0].Servers[0] != 0 || again.Groups[0].Hosts[0] != "a" {
		t.Errorf("a result changed the ballot: %+v", again)
	}
}
