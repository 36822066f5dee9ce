package fetch

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"malcolm/transfer/localfile"
	"malcolm/transfer/scan"
	"malcolm/transfer/tree"
	"malcolm/transfer/tree/filter"
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
	return fmt.Sprintf("%q is not right: among its entries %s", e.Path, strings.Join(parts, ", "))
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
// most of the sources hold, or what the ballot's filter chooses of both. If it
// differs, the error is a
// [*TreeMismatchError] and there is a result. It reads all files, several at a
// time.
func (s *Session) VerifyTree(b Ballot, path string) (*VerifyTreeResult, error) {
	s.anew()
	here, err := s.agreeBeside(b, path, b.Filter)
	if err != nil {
		return nil, err
	}
	return s.compareTree(path, here)
}

// agreeBeside obtains the tree that most of the sources hold, and what a filter
// chooses of a local directory.
func (s *Session) agreeBeside(b Ballot, path string, f *filter.Filter) (*localTree, error) {
	local, err := localfile.OfferDirectory(path)
	if err != nil {
		return nil, err
	}
	if err := s.agreeOnTree(b); err != nil {
		return nil, err
	}
	return s.scanLocal(local, f)
}

// compareTree compares what lies in a local directory with the tree.
func (s *Session) compareTree(path string, here *localTree) (*VerifyTreeResult, error) {
	r, err := here.compare(path, s.download.offer.Checksum, s.download.listed)
	r.Servers = s.reports()
	return r, err
}

// compare compares what lies in a directory with what its listing says.
func (here *localTree) compare(path string, listing [32]byte, l listed) (*VerifyTreeResult, error) {
	r := &VerifyTreeResult{Listing: listing, Want: l.tree.Totals(), Have: here.totals, Unread: here.left}
	want, have := l.tree.Entries(), here.entries
	for difference := range tree.Diff(withoutFilled(want, have), withoutFilled(have, l.all)) {
		r.Differences = append(r.Differences, difference)
	}
	if len(r.Differences) == 0 && r.Unread.Count == 0 {
		return r, nil
	}
	wrong := &TreeMismatchError{Path: path, Unread: r.Unread.Count}
	wrong.count(r.Differences)
	return r, wrong
}

// VerifyKnownTree compares a local directory with a tree whose listing has a
// checksum, or what a filter chooses of both. Its result and errors are those
// of [Session.VerifyTree], and [*NotInTreeError]. progress gets what is read.
func VerifyKnownTree(ctx context.Context, path string, listing [32]byte, want *tree.Tree, f *filter.Filter, progress *scan.Progress) (*VerifyTreeResult, error) {
	dir, err := localfile.OfferDirectory(path)
	if err != nil {
		return nil, err
	}
	l, err := listAll(ctx, want.Entries(), f)
	if err != nil {
		return nil, err
	}
	here, err := scanDirectory(ctx, dir, l.tree.Entries(), f, progress)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return here.compare(path, listing, l)
}

// A localTree is what lies in a local directory, or a filter chose of that.
type localTree struct {
	entries []wire.Entry // in the order of a listing
	totals  tree.Totals
	left    scan.LeftOut
}

// scanLocal reads what a filter chooses of a local directory, beside the loop.
func (s *Session) scanLocal(dir *localfile.Directory, f *filter.Filter) (*localTree, error) {
	var progress scan.Progress
	want := s.download.tree.Entries()
	c := &s.download.checks
	c.toCheck, c.checked, c.hashed = s.download.tree.Totals().Bytes, 0, &progress.Bytes
	defer func() { c.toCheck, c.hashed = 0, nil }()
	return obtain(s.loop, func(ctx context.Context) (*localTree, error) { return scanDirectory(ctx, dir, want, f, &progress) })
}

// scanDirectory reads what a filter chooses of a directory. want is what the
// directory should hold.
func scanDirectory(ctx context.Context, dir *localfile.Directory, want []wire.Entry, f *filter.Filter, progress *scan.Progress) (*localTree, error) {
	scanner := scan.New(scan.Config{AllowEmpty: true, Filter: f, Parts: []scan.Part{{
		Path: dir.Path(), Open: func() (scan.Dir, error) { return openBeneath(dir) },
	}}})
	snapshot, err := scanner.Scan(ctx, nil, progress)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	entries, err := wire.ParseListing(snapshot.Listing().Bytes())
	if err != nil {
		return nil, err
	}
	if f != nil {
		if entries, err = withUnchosen(dir, want, entries); err != nil {
			return nil, err
		}
	}
	return &localTree{entries, snapshot.Totals(), snapshot.LeftOut()}, nil
}

// withUnchosen adds directories to what was chosen of a local directory: those
// in which nothing was chosen, if the tree has them as empty directories. They
// are there.
func withUnchosen(dir *localfile.Directory, want, have []wire.Entry) ([]wire.Entry, error) {
	beneath, err := dir.Open()
	if err != nil {
		return nil, err
	}
	defer beneath.Close()
	var there []wire.Entry
	for _, e := range withoutFilled(want, have) {
		if e.Kind == wire.EntryDirectory && beneath.List(e.Path, func(fs.FileInfo) {}) == nil {
			there = append(there, e)
		}
	}
	return merged(have, there), nil
}

// openBeneath opens a directory for a scan.
func openBeneath(dir *localfile.Directory) (scan.Dir, error) {
	b, err := dir.Open()
	if err != nil {
		return nil, err // no *Beneath, not even nil
	}
	return b, nil
}
