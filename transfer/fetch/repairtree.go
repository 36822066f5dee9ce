package fetch

import (
	"context"
	"os"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/partfile"
	"malcolm/transfer/tree"
	"malcolm/wire"
)

// What a directory lacks is fetched into a tree of its own within it, under
// mendName. When all of that is there and durable, its entries are moved to
// their places, each in one step.

// mendName is the name of that tree. mendPrefix begins the paths in it, and in
// the unfinished one.
const (
	mendName   = ".malcolm-repair"
	mendPrefix = mendName + "/"
	partPrefix = mendName + partfile.PartSuffix + "/"
)

// A MendTree says how [Session.RepairTree] writes.
type MendTree struct {
	// Delete removes what the tree does not have.
	Delete bool
	// MaxDelete is how many entries may be removed; 0: 100, or a tenth of
	// those that are there if that is less.
	MaxDelete int
	// SplitLinks allows replacing files that have other names, which keep
	// the old bytes.
	SplitLinks bool
	Disk
}

// A RepairTreeResult is what [Session.RepairTree] did.
type RepairTreeResult struct {
	*Result
	Replaced int      // entries that were there and wrong, or had the wrong mode
	Made     int      // entries that were missing
	Removed  int      // entries that were not in the tree
	Extra    []string // paths that are not in the tree and were left alone
}

// RepairTree makes a local directory equal to the tree that most of the sources
// hold, or what the ballot's filter chooses of both. Right entries are left
// alone, wrong and missing ones are fetched and put in their places, each in
// one step. What is not in the tree is left alone without MendTree.Delete. What
// the filter does not choose is neither read nor changed; but what an earlier
// run has fetched and not moved is moved first, whatever that one's filter was.
func (s *Session) RepairTree(b Ballot, dir string, m MendTree) (*RepairTreeResult, error) {
	s.anew()
	r := &RepairTreeResult{}
	err := s.repairTree(b, dir, m, r)
	r.Result = s.finish()
	return r, err
}

func (s *Session) repairTree(b Ballot, dir string, m MendTree, r *RepairTreeResult) error {
	local, err := localfile.OfferDirectory(dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return &localfile.Error{Op: "open", Path: dir, Err: err}
	}
	defer s.closeRoot(root)
	if err := s.agreeOnTree(b); err != nil {
		return err
	}
	here, err := s.scanLocal(local, b.Filter.WithDirectory(mendName))
	if err != nil {
		return err
	}
	want, all := s.download.tree.Entries(), s.download.all
	in := &mender{root: root, dir: dir, split: m.SplitLinks, chosen: b.Filter, result: r, dirs: make(map[string]bool)}
	have, err := obtain(s.loop, func(context.Context) ([]wire.Entry, error) { return in.finishMoves(all, here.entries) })
	if err != nil {
		return err
	}
	have = b.Filter.Entries(have)
	plan := m.plan(want, all, have)
	if err := in.check(&plan, len(have), m); err != nil {
		return err
	}
	times, err := s.wantedTimes(m.Disk)
	if err != nil {
		return err
	}
	if len(plan.fetch) > 0 {
		if err := s.fetchMissing(plan.fetch, m.Disk, root, times, func(t *tree.Tree) *oldFiles { return newOldFiles(local, t, have) }); err != nil {
			return err
		}
	}
	result := &s.download.result
	result.Name, result.Path = "", ""
	if err := s.loop.do(func(context.Context) error { return in.apply(&plan, have, m.Delete) }); err != nil {
		return err
	}
	if times != nil {
		late, err := obtain(s.loop, func(context.Context) (error, error) { return in.setTimes(want, times.Directories), nil })
		if err != nil {
			return err
		}
		if late != nil {
			s.emit(Lacks{Comfort: partfile.Times, Err: late})
		}
	}
	result.Path = dir
	result.AlreadyRight = plan.isDone() && r.Removed == 0
	return nil
}

// RehearseRepairTree is [Session.VerifyTree] for a directory that
// [Session.RepairTree] is to mend. Where that would change nothing, since it
// may not, the error is the same, and there is a result.
func (s *Session) RehearseRepairTree(b Ballot, dir string, m MendTree) (*VerifyTreeResult, error) {
	s.anew()
	here, err := s.agreeBeside(b, dir, b.Filter.WithDirectory(mendName))
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &localfile.Error{Op: "open", Path: dir, Err: err}
	}
	defer s.closeRoot(root)
	r, err := s.compareTree(dir, here)
	in := &mender{root: root, dir: dir, split: m.SplitLinks, chosen: b.Filter}
	if refused := in.rehearse(s.download.listed, here.entries, m); refused != nil {
		return r, refused
	}
	return r, err
}

// rehearse is what a repair does before it fetches, without a change.
func (m *mender) rehearse(l listed, have []wire.Entry, how MendTree) error {
	rest, moved, err := m.unmoved(l.all, have)
	if err != nil {
		return err
	}
	have = m.chosen.Entries(merged(rest, moved))
	plan := how.plan(l.tree.Entries(), l.all, have)
	return m.check(&plan, len(have), how)
}

// plan compares a tree, or what was chosen of all its entries, with what lies
// in a directory, without what RepairTree itself has left there. All are in
// order.
func (m *MendTree) plan(want, all, have []wire.Entry) mendPlan {
	if !m.Delete { // else a directory goes with what is removed from it, and is made anew
		want = withoutFilled(want, have)
	}
	return planMend(want, withoutFilled(have, all))
}

// agreeOnTree has the sources vote, and fetches the listing of their tree.
func (s *Session) agreeOnTree(b Ballot) error {
	if err := s.agreeEarly(b, nil); err != nil {
		return err
	}
	if s.download.offer.Kind != wire.KindTree {
		return &FileOfferedError{Name: s.download.result.Name}
	}
	return s.obtainTree(b)
}

// fetchMissing fetches entries of the tree into one of their own. Right chunks
// of the files that old says are replaced are copied. times are those of the
// whole tree; nil: not known.
func (s *Session) fetchMissing(entries []wire.Entry, disk Disk, root *os.Root, times *wire.Times, old func(*tree.Tree) *oldFiles) error {
	if times != nil {
		times = timesAmong(times, s.download.tree.Entries(), entries)
	}
	part, err := tree.New(entries)
	if err != nil {
		return err
	}
	l := listed{tree: part, all: entries, chosen: s.download.chosen}
	if l.lacked, err = listedSum(entries); err != nil {
		return err
	}
	s.change(s.newTreeDownload(l))
	s.countFiles()
	s.download.result.Name = mendName
	fsys := disk.open(root)
	decision, err := s.decideTree(fsys, Output{Resume: true, Force: true})
	if err != nil || s.download.result.AlreadyRight {
		return err
	}
	return s.fillTree(&treeFilling{Disk: disk, fsys: fsys, decision: decision, times: times, old: old(part)})
}

// listedSum returns the checksum of the listing of some entries. The journal of
// a repair has it: a later run that lacks something else numbers the chunks in
// another way, and takes nothing from it.
func listedSum(entries []wire.Entry) (sum [32]byte, err error) {
	listing, err := wire.AppendListing(nil, entries)
	if err != nil {
		return sum, err
	}
	return manifest.Sum(listing), nil
}
