package fetch

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"

	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transfer/tree"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// A listed is what a directory's listing says, and what of it is copied. It
// does not change.
type listed struct {
	tree   *tree.Tree   // what is copied; nil: a file, or a listing
	all    []wire.Entry // of the whole directory
	chosen [32]byte     // of the listing of what a filter chose; zero: everything is copied
	lacked [32]byte     // of the listing of what a repair fetches; zero: no repair
}

// readListing reads a listing, and chooses from it by a filter. The errors are
// [*ListingError] and [*NotInTreeError].
func readListing(ctx context.Context, listing []byte, f *filter.Filter) (listed, error) {
	all, err := wire.ParseListing(listing)
	if err != nil {
		return listed{}, &ListingError{err}
	}
	return listAll(ctx, all, f)
}

// listAll chooses from the entries of a directory by a filter, which may be
// nil. The errors are those of readListing.
func listAll(ctx context.Context, all []wire.Entry, f *filter.Filter) (l listed, err error) {
	l.all = all
	entries := l.all
	if f != nil {
		if missing := f.Missing(l.all); len(missing) > 0 {
			return listed{}, &NotInTreeError{Missing: missing}
		}
		if entries = f.Entries(l.all); len(entries) == 0 {
			return listed{}, &NotInTreeError{}
		}
	}
	if len(entries) < len(l.all) {
		part, err := wire.AppendListing(nil, entries)
		if err != nil {
			return listed{}, &ListingError{err}
		}
		_, l.chosen, err = manifest.Build(ctx, bytes.NewReader(part), int64(len(part)), manifest.BuildOptions{})
		if err != nil {
			return listed{}, err
		}
	}
	l.tree, err = tree.New(entries)
	if err != nil {
		return listed{}, &ListingError{err}
	}
	return l, nil
}

// treeSum returns the checksum of the listing of what is copied.
func (d *download) treeSum() [32]byte {
	if d.lacked != [32]byte{} {
		return d.lacked
	}
	if d.chosen != [32]byte{} {
		return d.chosen
	}
	return d.offer.Checksum
}

// A NotInTreeError says that the directory that was voted for lacks what a
// filter names.
type NotInTreeError struct {
	// Missing are the paths of its list that are not there, at least one;
	// nil: the filter chooses nothing. They are the user's: quote them.
	Missing []string
}

func (e *NotInTreeError) Error() string {
	switch n := len(e.Missing); n {
	case 0:
		return "nothing of the directory is chosen"
	case 1:
		return fmt.Sprintf("the directory has no %s", quote(e.Missing[0]))
	default:
		return fmt.Sprintf("the directory lacks %d of the paths, the first is %s", n, quote(e.Missing[0]))
	}
}

// agreeOnAny is agreeEarly with an error if a filter is to choose from a file.
func (s *Session) agreeOnAny(b Ballot, e *early) (isTree bool, err error) {
	if err := s.agreeEarly(b, e); err != nil {
		return false, err
	}
	d := s.download
	isTree = d.offer.Kind == wire.KindTree
	if b.Filter != nil && !isTree {
		return false, &FileOfferedError{Name: d.result.Name}
	}
	return isTree, nil
}

// A ListResult is what [Session.List] found.
type ListResult struct {
	Name     string // as voted
	Tree     bool   // a directory
	Checksum [32]byte
	// Entries are those of the directory, or the file, whose path is the
	// name. They are in order, and not to be changed.
	Entries []wire.Entry
}

// List lets sources vote, and returns the entries of the majority's file or
// directory. At most it fetches a listing, and it writes nothing.
func (s *Session) List(b Ballot) (*ListResult, error) {
	s.anew()
	isTree, err := s.agreeOnAny(b, nil)
	if err != nil {
		return nil, err
	}
	d := s.download
	r := &ListResult{Name: d.result.Name, Tree: isTree, Checksum: d.offer.Checksum}
	if !isTree {
		r.Entries = []wire.Entry{{Path: r.Name, Size: d.offer.Size, Checksum: d.offer.Checksum}}
		return r, nil
	}
	if err := s.obtainTree(b); err != nil {
		return nil, err
	}
	r.Entries = s.download.tree.Entries()
	return r, nil
}

// planTree is Plan for the directory that was voted for.
func (s *Session) planTree(b Ballot, out Output, fsys partfile.FS) (*Plan, error) {
	if err := s.download.settleName(out.Name); err != nil {
		return nil, err
	}
	if err := s.obtainTree(b); err != nil {
		return nil, err
	}
	decision, err := s.weighTree(fsys, out)
	if err != nil {
		return nil, err
	}
	d := s.download
	p := &Plan{
		Name: d.result.Name, Path: fsys.Path(d.result.Name), Size: d.content.Size(), ChunkSize: d.content.LongestChunk(),
		Chunks: d.content.Chunks(), Checksum: d.offer.Checksum, Action: decision.Action, Replace: decision.Replace, Tree: d.treeReport(),
	}
	missing := p.Chunks
	switch decision.Action {
	case partfile.AlreadyRight:
		p.Kept, missing = p.Size, 0
	case partfile.Resume:
		if p.Kept, missing, err = s.wouldKeepTree(fsys); err != nil {
			return nil, err
		}
	}
	p.Missing, p.MissingChunks = p.Size-p.Kept, missing
	p.Servers = s.reports()
	return p, nil
}

// wouldKeepTree is wouldKeep for a directory.
func (s *Session) wouldKeepTree(fsys partfile.FS) (kept int64, missing int, err error) {
	d := s.download
	all, o := d.content, partfile.TreeOptions{Name: d.result.Name, Tree: d.tree, Listing: d.treeSum()}
	var bytes, chunks atomic.Int64
	err = s.hashing(all.Size(), func(ctx context.Context, done *atomic.Int64) error {
		return partfile.KeepableTree(ctx, fsys, o, done, func(chunk int) {
			bytes.Add(all.Length(chunk, 1))
			chunks.Add(1)
		})
	})
	return bytes.Load(), all.Chunks() - int(chunks.Load()), err
}
