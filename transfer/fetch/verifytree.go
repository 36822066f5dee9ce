package fetch

import (
	"context"
	"fmt"
	"strings"

	"malcolm/transfer/localfile"
	"malcolm/transfer/scan"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// VerifyTreeResult is what [Session.VerifyTree] found.
type VerifyTreeResult struct {
	Listing [32]byte    // the checksum of the tree that was voted for
	Want    tree.Totals // of that tree
	Have    tree.Totals // of the local directory
	// Differences are the paths that differ, in order: Before is what the
	// servers hold, After what lies here.
	Differences []tree.Difference
	// Unread is what lies here and is in no comparison: it cannot be read,
	// or no tree can have it.
	Unread  scan.LeftOut
	Servers []ServerReport
}

// A TreeMismatchError says that a local directory is not the tree that was
// asked for.
type TreeMismatchError struct {
	Path    string
	Missing int // entries of the tree that are not there
	Wrong   int // entries that are there, and other than in the tree
	Extra   int // entries that are not in the tree
	Unread  int // what could not be compared
}

func (e *TreeMismatchError) Error() string {
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{
		{e.Missing, "is missing", "are missing"},
		{e.Wrong, "differs", "differ"},
		{e.Extra, "is extra", "are extra"},
		{e.Unread, "cannot be compared", "cannot be compared"},
	} {
		switch {
		case p.n == 1:
			parts = append(parts, "1 "+p.one)
		case p.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.many))
		}
	}
	return fmt.Sprintf("%q is not right: of its entries %s", e.Path, strings.Join(parts, ", "))
}

// count counts the differences.
func (e *TreeMismatchError) count(list []tree.Difference) {
	for i := range list {
		switch list[i].Change {
		case tree.Removed:
			e.Missing++
		case tree.Added:
			e.Extra++
		default:
			e.Wrong++
		}
	}
}

// VerifyTree compares a local directory, entry by entry, with the tree that
// most of the sources hold. If it differs, the error is a
// [*TreeMismatchError] and there is a result. It reads all files, several at a
// time.
func (s *Session) VerifyTree(b Ballot, path string) (*VerifyTreeResult, error) {
	s.anew()
	here, err := s.agreeBeside(b, path)
	if err != nil {
		return nil, err
	}
	return s.compareTree(path, here)
}

// agreeBeside obtains the tree that most of the sources hold, and what lies in
// a local directory.
func (s *Session) agreeBeside(b Ballot, path string) (*localTree, error) {
	local, err := localfile.OfferDirectory(path)
	if err != nil {
		return nil, err
	}
	if err := s.agreeOnTree(b); err != nil {
		return nil, err
	}
	return s.scanLocal(local)
}

// compareTree compares what lies in a local directory with the tree.
func (s *Session) compareTree(path string, here *localTree) (*VerifyTreeResult, error) {
	d := s.download
	r := &VerifyTreeResult{
		Listing: d.offer.Checksum, Want: d.tree.Totals(), Have: here.totals, Unread: here.left, Servers: s.reports(),
	}
	want := d.tree.Entries()
	for difference := range tree.Diff(withoutFilled(want, here.entries), withoutFilled(here.entries, want)) {
		r.Differences = append(r.Differences, difference)
	}
	if len(r.Differences) == 0 && r.Unread.Count == 0 {
		return r, nil
	}
	wrong := &TreeMismatchError{Path: path, Unread: r.Unread.Count}
	wrong.count(r.Differences)
	return r, wrong
}

// A localTree is what lies in a local directory.
type localTree struct {
	entries []wire.Entry // in the order of a listing
	totals  tree.Totals
	left    scan.LeftOut
}

// scanLocal reads a local directory, beside the loop.
func (s *Session) scanLocal(dir *localfile.Directory) (*localTree, error) {
	scanner := scan.New(scan.Config{AllowEmpty: true, Parts: []scan.Part{{
		Path: dir.Path(), Open: func() (scan.Dir, error) { return openBeneath(dir) },
	}}})
	var progress scan.Progress
	c := &s.download.checks
	c.toCheck, c.checked, c.hashed = s.download.tree.Totals().Bytes, 0, &progress.Bytes
	defer func() { c.toCheck, c.hashed = 0, nil }()
	return obtain(s.loop, func(ctx context.Context) (*localTree, error) {
		snapshot, err := scanner.Scan(ctx, nil, &progress)
		if err != nil {
			return nil, err
		}
		defer snapshot.Close()
		entries, err := wire.ParseListing(snapshot.Listing())
		if err != nil {
			return nil, err
		}
		return &localTree{entries, snapshot.Totals(), snapshot.LeftOut()}, nil
	})
}

// openBeneath opens a directory for a scan.
func openBeneath(dir *localfile.Directory) (scan.Dir, error) {
	b, err := dir.Open()
	if err != nil {
		return nil, err // no *Beneath, not even nil
	}
	return b, nil
}
