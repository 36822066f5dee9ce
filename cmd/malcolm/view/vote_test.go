package view

import (
	"testing"

	"malcolm/transfer/fetch"
	"malcolm/transfer/vote"
)

// groupOf is a group of servers, each on a host of its own, that proved ids IDs
// and have votes votes.
func groupOf(checksum [32]byte, ids, votes int, servers ...int) vote.Group {
	g := vote.Group{Size: giB, Checksum: checksum, Servers: servers, IDs: make([]vote.ID, ids), Votes: votes}
	for _, s := range servers {
		g.Hosts = append(g.Hosts, string(rune('a'+s)))
	}
	return g
}

func TestVoteLine(t *testing.T) {
	five := targetsOn("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.7", "10.0.0.8")
	other := [32]byte{1}
	tests := []struct {
		name   string
		result vote.Result
		chosen bool
		want   string
	}{
		{"one ID", vote.Result{
			Groups: []vote.Group{groupOf(sum9f, 1, 1, 0, 1, 2, 3)}, Total: 1, Answered: []int{0, 1, 2, 3},
		}, false, "4 of 4 servers agree on 9f86d081… (1.0 GiB); one server ID, so not cross-checked"},
		{"a minority", vote.Result{
			Groups:   []vote.Group{groupOf(sum9f, 2, 2, 0, 1, 2), groupOf(other, 1, 1, 3)},
			Total:    3,
			Answered: []int{0, 1, 2, 3},
		}, false, "3 of 4 servers, 2 of 3 votes, agree on 9f86d081… (1.0 GiB); 10.0.0.7:10003 has another file, left out"},
		{"a minority of two servers", vote.Result{
			Groups:   []vote.Group{groupOf(sum9f, 2, 2, 0, 1), groupOf(other, 1, 1, 2, 3)},
			Total:    3,
			Answered: []int{0, 1, 2, 3},
		}, false, "2 of 4 servers, 2 of 3 votes, agree on 9f86d081… (1.0 GiB); 10.0.0.3:10002, 10.0.0.7:10003 have another file, left out"},
		{"a liar under one identity", vote.Result{
			Groups:   []vote.Group{groupOf(sum9f, 1, 1, 0, 1, 2, 4), groupOf(other, 1, 0, 3)},
			Total:    1,
			Answered: []int{0, 1, 2, 3, 4},
		}, false, "4 of 5 servers agree on 9f86d081… (1.0 GiB); 10.0.0.7:10003 has another file, left out; one server ID, so not cross-checked"},
		{"all agree", vote.Result{
			Groups: []vote.Group{groupOf(sum9f, 3, 3, 0, 1, 2)}, Total: 3, Answered: []int{0, 1, 2},
		}, false, "3 of 3 servers, 3 of 3 votes, agree on 9f86d081… (1.0 GiB)"},
		{"failed and silent ones count", vote.Result{
			Groups: []vote.Group{groupOf(sum9f, 2, 2, 0, 1)}, Total: 2,
			Answered: []int{0, 1}, Failed: []int{2}, Silent: []int{3},
		}, false, "2 of 4 servers, 2 of 2 votes, agree on 9f86d081… (1.0 GiB)"},
		{"the only one", vote.Result{
			Groups: []vote.Group{groupOf(sum9f, 1, 1, 0)}, Total: 1, Answered: []int{0},
		}, false, "1 of 1 server says 9f86d081… (1.0 GiB); one host, so not cross-checked"},
		{"the checksum decides", vote.Result{
			Groups: []vote.Group{groupOf(other, 2, 2, 0, 1), groupOf(sum9f, 1, 1, 3)},
			Total:  3, Answered: []int{0, 1, 3}, Winner: 1,
		}, true, "1 of 3 servers, 1 of 3 votes, have the checksum asked for: 9f86d081… (1.0 GiB); 10.0.0.1:10000, 10.0.0.2:10001 have another file, left out"},
	}
	for _, test := range tests {
		e := fetch.Voted{Targets: five, Result: test.result, Chosen: test.chosen}
		if got := voteLine(e); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	targets := targetsOn("a", "b", "c", "d", "e")
	for want, servers := range map[string][]int{
		"":                                  nil,
		"b:10001":                           {1},
		"a:10000, c:10002, e:10004":         {0, 2, 4},
		"a:10000, b:10001, c:10002, 1 more": {0, 1, 2, 3},
		"b:10001, c:10002, d:10003, 2 more": {1, 2, 3, 4, 0},
	} {
		if got := names(targets, servers); got != want {
			t.Errorf("%v: got %q, want %q", servers, got, want)
		}
	}
}
