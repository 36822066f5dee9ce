package vote_test

import (
	"testing"

	"malcolm/transfer/vote"
)

// A file that has the bytes of a directory's listing is not that directory.
func TestTreesAreNotFiles(t *testing.T) {
	tree := offer(2, 7)
	tree.Tree = true
	file := offer(1, 7)
	r := cast(vote.Options{}, "abc", []vote.Offer{file, tree, offer(3, 7)}).Result()
	if len(r.Groups) != 2 || r.Winner != 0 || r.Groups[0].Tree || r.Groups[0].Votes != 2 || !r.Groups[1].Tree {
		t.Errorf("result %+v, want two groups, and that of the files to win", r)
	}
	for _, wanted := range []bool{false, true} {
		r := cast(vote.Options{Checksum: checksum(7), Tree: wanted}, "abc", []vote.Offer{file, tree, offer(3, 7)}).Result()
		if r.Winner < 0 || r.Groups[r.Winner].Tree != wanted {
			t.Errorf("wanted a tree: %t; result %+v", wanted, r)
		}
	}
	if r := cast(vote.Options{Checksum: checksum(7), Tree: true}, "a", []vote.Offer{file}).Result(); r.Reason != vote.ChecksumNotOffered {
		t.Errorf("result %+v, want that nobody offers the tree", r)
	}
}
