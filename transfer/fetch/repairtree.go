package fetch

import (
	"context"
	"os"
	"time"

	"malcolm/transfer/localfile"
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
// hold. Right entries are left alone, wrong and missing ones are fetched and
// put in their places, each in one step. What is not in the tree is left alone
// without MendTree.Delete.
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
	here, err := s.scanLocal(local)
	if err != nil {
		return err
	}
	whole := s.download.tree
	in := &mender{root: root, dir: dir, split: m.SplitLinks, result: r, dirs: make(map[string]bool)}
	have, err := obtain(s.loop, func(context.Context) ([]wire.Entry, error) { return in.finishMoves(whole.Entries(), here.entries) })
	if err != nil {
		return err
	}
	plan := m.plan(whole.Entries(), have)
	if err := in.check(&plan, len(have), m); err != nil {
		return err
	}
	if len(plan.fetch) > 0 {
		if err := s.fetchMissing(plan.fetch, m.Disk, root); err != nil {
			return err
		}
	}
	result := &s.download.result
	result.Name, result.Path = "", ""
	if err := s.loop.do(func(context.Context) error { return in.apply(&plan, have, m.Delete) }); err != nil {
		return err
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
	here, err := s.agreeBeside(b, dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &localfile.Error{Op: "open", Path: dir, Err: err}
	}
	defer s.closeRoot(root)
	r, err := s.compareTree(dir, here)
	in := &mender{root: root, dir: dir, split: m.SplitLinks}
	if refused := in.rehearse(s.download.tree.Entries(), here.entries, m); refused != nil {
		return r, refused
	}
	return r, err
}

// rehearse is what a repair does before it fetches, without a change.
func (m *mender) rehearse(want, have []wire.Entry, how MendTree) error {
	rest, moved, err := m.unmoved(want, have)
	if err != nil {
		return err
	}
	have = merged(rest, moved)
	plan := how.plan(want, have)
	return m.check(&plan, len(have), how)
}

// plan compares a tree with what lies in a directory, without what RepairTree
// itself has left there. Both are in order.
func (m *MendTree) plan(want, have []wire.Entry) mendPlan {
	if !m.Delete { // else a directory goes with what is removed from it, and is made anew
		want = withoutFilled(want, have)
	}
	return planMend(want, withoutFilled(have, want))
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

// fetchMissing fetches entries of the tree into one of their own.
func (s *Session) fetchMissing(entries []wire.Entry, disk Disk, root *os.Root) error {
	var times []time.Time
	if disk.RemoteTime {
		all, err := s.remoteTimes()
		if err != nil {
			return err
		}
		if all == nil {
			s.emit(NoModTime{})
		} else {
			times = timesAmong(all, s.download.tree.Entries(), entries)
		}
	}
	part, err := tree.New(entries)
	if err != nil {
		return err
	}
	s.change(s.newTreeDownload(listed{tree: part, all: entries, chosen: s.download.chosen}))
	s.countFiles()
	s.download.result.Name = mendName
	fsys := disk.open(root)
	decision, err := s.decideTree(fsys, Output{Resume: true, Force: true})
	if err != nil || s.download.result.AlreadyRight {
		return err
	}
	return s.fillTree(&treeFilling{Disk: disk, fsys: fsys, decision: decision, times: times})
}

// timesAmong returns the times of some entries, from those of all. Both are in
// order.
func timesAmong(times []time.Time, all, some []wire.Entry) []time.Time {
	list := make([]time.Time, 0, len(some))
	i := 0
	for at := range some {
		for all[i].Path != some[at].Path {
			i++
		}
		list = append(list, times[i])
	}
	return list
}
