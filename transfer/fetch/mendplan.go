package fetch

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"malcolm/transfer/tree"
	"malcolm/wire"
)

const (
	// mostDeleted is how many entries a repair removes unless the user
	// allows more, or one in deletedPart of those that are there.
	mostDeleted = 100
	deletedPart = 10
)

// A DeleteError says that more entries would be removed than are allowed.
type DeleteError struct {
	Path   string // of the directory
	Extra  int    // entries to be removed
	Of     int    // entries that are there
	Allows int
}

func (e *DeleteError) Error() string {
	return fmt.Sprintf("%d of the %d entries of %q are not in the tree, and no more than %d may be removed", e.Extra, e.Of, e.Path, e.Allows)
}

// An InTheWayError says that something that is not in the tree has the place of
// something that is.
type InTheWayError struct {
	Path     string
	Unchosen bool // a filter has not chosen it: it is not to be changed
}

func (e *InTheWayError) Error() string {
	if e.Unchosen {
		return fmt.Sprintf("%q was not chosen, and is in the place of an entry that was", e.Path)
	}
	return fmt.Sprintf("%q is not in the tree, and is in the place of an entry that is", e.Path)
}

// A mendPlan says how a local directory becomes a tree.
type mendPlan struct {
	fetch []wire.Entry // that are missing, or are replaced
	modes []wire.Entry // files whose bytes are right, and whose mode is not
	extra []wire.Entry // that are not in the tree
}

// withoutFilled returns entries without the empty directories in which another
// list has something: they differ only by that. Both lists are in order.
func withoutFilled(entries, other []wire.Entry) []wire.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e wire.Entry) bool {
		if e.Kind != wire.EntryDirectory {
			return false
		}
		first := sort.Search(len(other), func(i int) bool { return wire.PathLess(e.Path, other[i].Path) })
		return first < len(other) && strings.HasPrefix(other[first].Path, e.Path+"/")
	})
}

// planMend compares a tree with what lies in a directory. Both are in order.
func planMend(want, have []wire.Entry) (p mendPlan) {
	for d := range tree.Diff(want, have) {
		switch {
		case d.Change == tree.Added:
			p.extra = append(p.extra, *d.After)
		case d.Change == tree.Executable:
			p.modes = append(p.modes, *d.Before)
		default:
			p.fetch = append(p.fetch, *d.Before)
		}
	}
	return p
}

// isDone reports whether nothing is to be written.
func (p *mendPlan) isDone() bool { return len(p.fetch) == 0 && len(p.modes) == 0 }

// blocker returns an extra entry whose place an entry needs that is missing: it
// lies above or beneath that one's path.
func (p *mendPlan) blocker() (path string, ok bool) {
	extra := make(map[string]bool, len(p.extra))
	above := make(map[string]string) // directories that extra entries lie in
	for i := range p.extra {
		at := p.extra[i].Path
		extra[at] = true
		for dir := range dirsOf(at) {
			if _, ok := above[dir]; ok {
				break
			}
			above[dir] = at
		}
	}
	for i := range p.fetch {
		e := &p.fetch[i]
		for dir := range dirsOf(e.Path) {
			if extra[dir] {
				return dir, true
			}
		}
		if at, ok := above[e.Path]; ok && e.Kind != wire.EntryDirectory {
			return at, true
		}
	}
	return "", false
}

// dirsOf yields the directories above a path, the nearest first.
func dirsOf(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			i := strings.LastIndexByte(path, '/')
			if i < 0 {
				return
			}
			if path = path[:i]; !yield(path) {
				return
			}
		}
	}
}

// mayDelete returns an error if the extra entries are more than may be removed
// of all that are there; most is what the user allows, 0: nothing was said.
// Then nothing is removed from a directory in which nothing is of the tree: it
// is probably another one.
func (p *mendPlan) mayDelete(path string, of, most int) error {
	allows := most
	if most == 0 {
		allows = min(mostDeleted, max(1, of/deletedPart))
		if len(p.extra) == of {
			allows = 0
		}
	}
	if len(p.extra) > allows {
		return &DeleteError{Path: path, Extra: len(p.extra), Of: of, Allows: allows}
	}
	return nil
}
