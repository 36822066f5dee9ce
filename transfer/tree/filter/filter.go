// Package filter chooses some entries of a tree by patterns and by a list of
// paths. It is pure. The same rules choose while a directory is scanned and
// from a listing.
//
// # Patterns
//
// A pattern is matched against paths in the tree, whose parts are joined by
// "/". It is made of parts too:
//
//   - any bytes within a part, also a dot at its front
//     ?        one character; a byte that is no UTF-8 is one
//     [a-z]    one of these characters; [^a-z] and [!a-z]: any other one
//     \c       the character c itself
//     {a,b*}   one of these patterns, which may have slashes and braces
//     **       as a whole part: any number of parts, at the end at least one
//
// As in a .gitignore file a pattern without a slash, or with one at its end
// only, matches at any depth; another one matches from the root of the tree,
// whether or not it begins with a slash. A slash at the end means directories
// only. Every other byte stands for itself, and upper and lower case differ.
// With braces, these rules hold for each pattern that they expand to.
//
// # Which entries are chosen
//
// A pattern takes in a path if it matches the path or a directory above it. The
// first pattern in the order of the command line that takes in a path decides,
// as in rsync and rclone. (In a .gitignore file the last one does: there the
// more general lines are in files higher up.) A path that no pattern takes in
// is left out if there is any --include, else it is chosen. So --include alone
// means only these, --exclude alone means all but these, and
//
//	--include build/keep.txt --exclude build/
//
// keeps one file of build, and nothing else.
//
// A directory that is not empty is no entry. So, unlike in rsync, the
// directories above a chosen file need no --include. A directory is left out
// when everything beneath it is. An empty directory is an entry like a file.
//
// A list of paths (--files-from) chooses these entries, and everything beneath
// those that are directories. With patterns too, an entry must be chosen by
// both.
package filter

import (
	"slices"
	"sort"
	"strings"

	"malcolm/wire"
)

// A Filter chooses entries of trees. It does not change; any goroutine may use
// it. Nil chooses every entry.
type Filter struct {
	rules []Rule
	only  bool    // what no pattern takes in is left out
	steps []step  // of all patterns of all rules
	start []int32 // the steps that the first part of a path may match
	paths *Paths
	whole string // the name of a directory of the root that is chosen with all beneath it; empty: none
}

// New returns the filter of rules in the order of the command line, and of a
// list of paths (nil: all paths). It returns nil if the filter would choose
// everything.
func New(rules []Rule, paths *Paths) *Filter {
	if len(rules) == 0 && paths == nil {
		return nil
	}
	f := &Filter{rules: slices.Clone(rules), paths: paths}
	for i, r := range rules {
		f.only = f.only || r.include
		for _, steps := range r.patterns {
			first := int32(len(f.steps))
			for _, s := range steps {
				s.rule = i
				f.steps = append(f.steps, s)
			}
			f.start = f.push(f.start, first)
		}
	}
	return f
}

// Chooses reports whether an entry with that path and kind is chosen.
func (f *Filter) Chooses(path string, kind wire.EntryKind) bool {
	return len(f.Entries([]wire.Entry{{Path: path, Kind: kind}})) > 0
}

// WithDirectory returns a filter that also chooses what lies beneath the
// directory with that name in the root. Of nil it returns nil.
func (f *Filter) WithDirectory(name string) *Filter {
	if f == nil {
		return nil
	}
	with := *f
	with.whole = name
	return &with
}

// A Dir is a directory of a tree, as a filter sees it. It does not change. A
// way down through the directories costs one step a part, whatever the depth.
type Dir struct {
	f       *Filter
	isRoot  bool
	live    []int32 // the steps that the next part may match, ascending; of rules before decided
	decided int     // the first rule that takes the directory in; len(rules): none does
	listed  listed
}

// Root returns the root of a tree. No pattern takes it in.
func (f *Filter) Root() Dir {
	if f == nil {
		return Dir{}
	}
	return Dir{f: f, isRoot: true, live: f.start, decided: len(f.rules), listed: f.paths.root()}
}

// Chooses reports whether the entry with that name in the directory is chosen.
// isDir says that it is a directory, which must be empty to be an entry.
func (d Dir) Chooses(name string, isDir bool) bool {
	if d.f == nil {
		return true
	}
	decided := d.decided
	for _, i := range d.live {
		if s := &d.f.steps[i]; s.rule < decided && s.ends(name, isDir) {
			decided = s.rule
		}
	}
	return d.f.includes(decided) && d.listed.has(name, isDir)
}

// includes reports whether a path is chosen that a rule decides.
func (f *Filter) includes(decided int) bool {
	if decided == len(f.rules) {
		return !f.only
	}
	return f.rules[decided].include
}

// Sub returns the directory with that name in the directory. If some is false,
// nothing beneath it can be chosen: it need not be read.
func (d Dir) Sub(name string) (sub Dir, some bool) {
	if d.f == nil {
		return d, true
	}
	if d.isRoot && d.f.whole != "" && name == d.f.whole {
		return Dir{}, true
	}
	sub = Dir{f: d.f, decided: d.decided, listed: d.listed.sub(name)}
	for _, i := range d.live {
		if s := &d.f.steps[i]; s.ends(name, isDirectory) {
			sub.decided = min(sub.decided, s.rule)
		}
	}
	some = d.f.includes(sub.decided)
	for _, i := range d.live {
		s := &d.f.steps[i]
		switch {
		case s.rule >= sub.decided:
			continue
		case s.deep:
			sub.live = d.f.push(sub.live, i)
		case !s.last && s.matches(name):
			sub.live = d.f.push(sub.live, i+1)
		default:
			continue
		}
		some = some || d.f.rules[s.rule].include
	}
	return sub, some && sub.listed.some()
}

const isDirectory = true

// push appends step i to live, and the step behind it if it may match no part.
// The caller pushes steps in ascending order, so a step that is there already
// is at the end.
func (f *Filter) push(live []int32, i int32) []int32 {
	for _, next := range []int32{i, i + 1} {
		if n := len(live); n == 0 || live[n-1] < next {
			live = append(live, next)
		}
		if !f.steps[i].deep {
			break
		}
	}
	return live
}

// Entries returns the chosen ones of a listing's entries, in order. They make a
// tree like all of them. The result may be entries itself.
func (f *Filter) Entries(entries []wire.Entry) []wire.Entry {
	if f == nil {
		return entries
	}
	var chosen []wire.Entry
	w := walk{at: f.Root(), some: true}
	for i := range entries {
		if e := &entries[i]; w.chooses(e) {
			chosen = append(chosen, *e)
		}
	}
	return chosen
}

// A walk goes through the entries of a listing in order.
type walk struct {
	path  string // of the entry before
	at    Dir    // the directory of the entry before, or the highest one above it in which nothing is chosen
	some  bool   // something may be chosen in at
	end   int    // the length of the path of at, with a slash; 0: the root
	above []level
}

// A level is a directory on the way to an entry.
type level struct {
	dir Dir
	end int
}

// chooses reports whether the next entry is chosen.
func (w *walk) chooses(e *wire.Entry) bool {
	same := shared(w.path, e.Path)
	w.path = e.Path
	for w.end > same {
		top := len(w.above) - 1
		w.at, w.end, w.some = w.above[top].dir, w.above[top].end, true
		w.above = w.above[:top]
	}
	for w.some {
		name, _, more := strings.Cut(e.Path[w.end:], "/")
		if !more {
			return w.at.Chooses(name, e.Kind == wire.EntryDirectory)
		}
		w.above = append(w.above, level{w.at, w.end})
		w.at, w.some = w.at.Sub(name)
		w.end += len(name) + 1
	}
	return false
}

// shared returns the length of what two paths have in common at their front.
func shared(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Missing returns the paths of the list that are neither entries nor above any,
// in order.
func (f *Filter) Missing(entries []wire.Entry) (missing []string) {
	if f == nil || f.paths == nil {
		return nil
	}
	for _, p := range f.paths.sorted {
		i := sort.Search(len(entries), func(i int) bool { return !wire.PathLess(entries[i].Path, p.name) })
		if i < len(entries) && p.takesIn(&entries[i]) {
			continue
		}
		missing = append(missing, p.name)
	}
	return missing
}
