// Package mend plans how a directory becomes what a tree says: what stays, what
// is replaced, fetched or made, and what is there that the tree does not have.
// It is pure.
//
// Only what lies at the path of an entry is replaced. Everything else is extra
// and may be removed only when the user says so (--delete), also when it is in
// the way: a file where the tree has a directory, or a directory with something
// in it where the tree has a file or a link. Sockets, devices and pipes are
// never removed. A tree cannot have them, so nothing follows from their absence
// in it.
package mend

import (
	"fmt"
	"iter"
	"strings"

	"malcolm/wire"
)

// A Kind is what lies at a path.
type Kind int

const (
	File      Kind = iota + 1
	Directory      // with or without something in it
	Link
	Special // anything else: a socket, a device, a pipe
)

// Bytes says what is known of the bytes of a file that is there.
type Bytes int

const (
	Unread Bytes = iota // they could not be read, or need not be, as the size is wrong
	Right               // their checksum is that of the entry
	Wrong               // it is not
)

// A Found is what lies at a path in the directory.
type Found struct {
	Path       string // below the directory, its parts joined by "/"
	Kind       Kind
	Size       int64  // of a file, in bytes
	Executable bool   // of a file
	Target     string // of a link
	Bytes      Bytes  // of a file at the path of a file of the tree
}

// An Action is what a step does.
type Action int

const (
	Leave   Action = iota + 1 // it is right
	SetMode                   // only the executable bit is wrong
	Replace                   // a file takes the place of what is there
	Fetch                     // a file is missing
	Make                      // a link or an empty directory is missing, or takes the place of what is there
	Extra                     // the tree does not have it: removed with --delete
	Keep                      // the tree does not have it, and it is never removed: a [Special]
)

// A Step is one part of a plan.
type Step struct {
	Action Action
	Entry  *wire.Entry // what is to be there; nil: nothing
	Found  *Found      // what is there; nil: nothing
	InWay  bool        // with Extra and Keep: an entry of the tree cannot be there before it is gone
	Full   bool        // Found is a directory with something in it; all of that is extra, or kept
}

// Plan yields the steps by which a directory becomes what entries say, in the
// order of their paths: of a directory that goes, what is in it comes behind
// it. entries are those of a tree. found are all files, links, directories and
// special files in the directory, each once, in the order of [wire.PathLess];
// without those that a filter leaves out, if it chose the entries. Directories
// that are as they must be, and those that come with what is in them, are no
// steps. A step is for the caller until it goes on.
func Plan(entries []wire.Entry, found iter.Seq[Found]) iter.Seq[Step] {
	return func(yield func(Step) bool) {
		p := plan{entries: entries, yield: yield}
		before, have := Found{}, false
		for f := range found {
			if have && !p.take(before, isBeneath(f.Path, before.Path)) {
				return
			}
			before, have = f, true
		}
		if have && !p.take(before, false) {
			return
		}
		for p.next < len(p.entries) && p.lacks() {
		}
	}
}

// A plan is how far a plan has come.
type plan struct {
	entries []wire.Entry
	next    int    // the first entry without a step
	way     string // a directory in the way, in which everything is; "": there is no such one
	yield   func(Step) bool
}

// isBeneath reports whether a path lies beneath a directory.
func isBeneath(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && strings.HasPrefix(path, dir)
}

// lacks plans the next entry, at whose path nothing is.
func (p *plan) lacks() bool {
	e := &p.entries[p.next]
	p.next++
	return p.yield(Step{Action: toBring(e), Entry: e})
}

func toBring(e *wire.Entry) Action {
	if e.IsFile() {
		return Fetch
	}
	return Make
}

// take plans what is found; isFull: it is a directory with something in it.
func (p *plan) take(f Found, isFull bool) bool {
	for p.next < len(p.entries) && wire.PathLess(p.entries[p.next].Path, f.Path) {
		if !p.lacks() {
			return false
		}
	}
	if p.way != "" && isBeneath(f.Path, p.way) {
		return p.extra(f, isFull, true)
	}
	if p.next == len(p.entries) {
		return p.extra(f, isFull, false)
	}
	e := &p.entries[p.next]
	switch {
	case isBeneath(e.Path, f.Path):
		return f.Kind == Directory || p.extra(f, isFull, true)
	case e.Path != f.Path:
		return p.extra(f, isFull, false)
	case f.Kind == Directory && isFull && e.Kind != wire.EntryDirectory:
		p.way = f.Path
		fallthrough
	case f.Kind == Special:
		return p.extra(f, isFull, true) && p.lacks()
	}
	p.next++
	return p.yield(Step{Action: correct(e, f), Entry: e, Found: &f, Full: isFull})
}

func (p *plan) extra(f Found, isFull, inWay bool) bool {
	s := Step{Action: Extra, Found: &f, InWay: inWay, Full: isFull}
	if f.Kind == Special {
		s.Action = Keep
	}
	return p.yield(s)
}

// correct returns what is done about what is at the path of an entry and may be
// replaced.
func correct(e *wire.Entry, f Found) Action {
	switch {
	case e.Kind == wire.EntryDirectory && f.Kind == Directory:
		return Leave
	case e.Kind == wire.EntryLink && f.Kind == Link && f.Target == e.Target:
		return Leave
	case !e.IsFile():
		return Make
	case f.Kind != File || f.Size != e.Size || f.Bytes != Right:
		return Replace
	case f.Executable != (e.Kind == wire.EntryExecutable):
		return SetMode
	}
	return Leave
}

// Totals are the numbers of a plan.
type Totals struct {
	Leave, SetMode, Replace, Fetch, Make int
	Extra                                int   // without directories with something in them
	Keep                                 int   // special files
	InWay                                int   // of Extra: in the way
	Stuck                                int   // of Keep: in the way, so the plan cannot be carried out
	Found                                int   // all steps with something there, without directories with something in them
	Bytes                                int64 // of the files to replace and to fetch
}

// Add counts a step.
func (t *Totals) Add(s Step) {
	if s.Found != nil && !s.Full {
		t.Found++
	}
	switch s.Action {
	case Leave:
		t.Leave++
	case SetMode:
		t.SetMode++
	case Replace:
		t.Replace++
		t.Bytes += s.Entry.Size
	case Fetch:
		t.Fetch++
		t.Bytes += s.Entry.Size
	case Make:
		t.Make++
	case Extra:
		if !s.Full {
			t.Extra++
		}
		if s.InWay {
			t.InWay++
		}
	case Keep:
		t.Keep++
		if s.InWay {
			t.Stuck++
		}
	}
}

// DefaultDelete bounds what is removed without the user's own bound: this many
// entries, or a tenth of all that is there, whichever is less.
const DefaultDelete = 100

// ByDefault is the bound of what is removed that the user did not set.
const ByDefault = -1

// A TooManyError says that more would be removed than is allowed.
type TooManyError struct {
	Extra, Found int // what would be removed, and all that is there
	Allowed      int
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("%d of %d entries would be removed, and at most %d may be", e.Extra, e.Found, e.Allowed)
}

// CheckDelete reports whether the extra entries of a plan may be removed. most
// is the user's bound (--max-delete), or [ByDefault]: [DefaultDelete] or a
// tenth, rounded up, of all that is there; and nothing where nothing is of the
// tree, since that is probably another directory. The error is a
// [*TooManyError].
func (t *Totals) CheckDelete(most int) error {
	if most == ByDefault {
		most = min(DefaultDelete, (t.Found+9)/10)
		if t.Extra+t.Keep == t.Found {
			most = 0
		}
	}
	if t.Extra > most {
		return &TooManyError{Extra: t.Extra, Found: t.Found, Allowed: most}
	}
	return nil
}
